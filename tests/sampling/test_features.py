"""Features: invariances of SOAP and of a MACE model, the cache on disk, PCA, and the user's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from hint_plugin.data import write_frames
from hint_plugin.data.structures.geometries import MOLECULES, shaken
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.sampling import FeatureSettings, SoapFeatures, SoapSettings, features_of, survey
from hint_plugin.sampling.cache import BLOCK, feature_matrix
from hint_plugin.sampling.reduce import fit_reduction, load_features

AVERAGES = ("inner", "outer", "elements")


def rotated(atoms: Atoms, seed: int = 0) -> Atoms:
    """Turned, moved and with its atoms in another order."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    order = rng.permutation(len(atoms))
    return Atoms(
        atoms.numbers[order],
        (atoms.positions @ turn.T + [1.0, -2.0, 3.0])[order],
        cell=atoms.cell @ turn.T,
        pbc=atoms.pbc,
    )


@pytest.mark.parametrize("average", AVERAGES)
def test_soap_is_invariant(average):
    pytest.importorskip("dscribe")
    crystal = bulk("NaCl", "rocksalt", a=5.6).repeat((1, 2, 1))
    crystal.rattle(0.1, seed=1)
    slab = crystal.copy()
    slab.pbc = [True, True, False]
    slab.center(vacuum=6.0, axis=2)
    for atoms in (molecule("CH3CH2OH"), crystal, slab):
        compute = SoapFeatures(atoms.numbers, SoapSettings(average=average)).setup()
        first, second = compute([atoms, rotated(atoms)])
        assert np.abs(first).max() > 0.1
        assert second == pytest.approx(first, abs=2e-6 * float(np.abs(first).max()))
    stretched = crystal.copy()
    stretched.positions[0] += 0.1
    here, there = compute([crystal, stretched])  # and it does see a difference
    assert np.abs(here - there).max() > 1e-3 * np.abs(here).max()


@pytest.mark.parametrize("average", AVERAGES)
def test_a_cell_and_its_supercell_are_the_same(average):
    pytest.importorskip("dscribe")
    cell = bulk("NaCl", "rocksalt", a=5.6)
    cell.rattle(0.1, seed=1)
    compute = SoapFeatures(cell.numbers, SoapSettings(average=average)).setup()
    one, many = compute([cell, cell.repeat((2, 1, 3))])
    assert many == pytest.approx(one, abs=2e-6 * float(np.abs(one).max()))


def test_outer_average_and_elements_are_sums_of_atoms():
    dscribe = pytest.importorskip("dscribe.descriptors")
    atoms = molecule("CH3OH")
    soap = dscribe.SOAP(species=["H", "C", "O"], r_cut=5.0, n_max=6, l_max=4, sigma=0.5, periodic=False)
    each = soap.create(atoms)
    outer = SoapFeatures(atoms.numbers, SoapSettings(average="outer")).setup()([atoms])[0]
    assert outer == pytest.approx(each.mean(axis=0), abs=1e-5)
    elements = (
        SoapFeatures(atoms.numbers, SoapSettings(average="elements")).setup()([atoms])[0].reshape(3, -1)
    )
    assert elements.sum(axis=0) == pytest.approx(outer, abs=1e-5)
    assert elements[1] == pytest.approx(each[atoms.numbers == 6][0] / 6, abs=1e-5)


def test_many_elements_are_compressed():
    pytest.importorskip("dscribe")
    for elements, mode in ((4, "off"), (7, "mu1nu1"), (40, "mu2")):
        found = SoapFeatures(range(1, elements + 1))
        assert found.compression == mode
        assert found.setup()([molecule("H2")]).shape == (1, found.dimension)
        assert found.dimension <= 4000
    with pytest.raises(OptionsError, match="features when compressed; the bound is 50"):
        SoapFeatures(range(1, 5), SoapSettings(max_dimension=50))


@pytest.mark.parametrize(
    "settings", [SoapSettings(r_cut=0.5), SoapSettings(n_max=0), SoapSettings(average="x")]
)
def test_soap_options_that_make_no_sense(settings):
    with pytest.raises(OptionsError, match="wanted|wants|need"):
        SoapFeatures([1], settings)


class Slow:
    """Cheap features that do not need DScribe: sums of positions; a pause for each block."""

    dimension = 3

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause

    def identity(self):
        return {"features": "slow"}

    def setup(self):
        def compute(frames):
            time.sleep(self.pause)
            return np.array([a.positions.sum(axis=0) + len(a) for a in frames], dtype=np.float32)

        return compute


@pytest.fixture
def population(tmp_path):
    frames = shaken(MOLECULES[:4], 5 * BLOCK + 10, seed=0)
    write_frames(tmp_path / "a.xyz", frames[: BLOCK + 3])
    write_frames(tmp_path / "b.h5", frames[BLOCK + 3 :])
    return survey([tmp_path / "a.xyz", tmp_path / "b.h5"])


def test_survey(population):
    assert len(population) == 5 * BLOCK + 10
    assert population.elements == (1, 6, 8)
    assert population.place(BLOCK + 2) == (0, BLOCK + 2) and population.place(BLOCK + 3) == (1, 0)
    assert "b.h5, frame 0 (" in population.name(BLOCK + 3)


def test_features_do_not_depend_on_jobs_and_are_kept(population, tmp_path):
    pytest.importorskip("dscribe")
    soap = SoapFeatures(population.elements, SoapSettings(n_max=2, l_max=1))
    one = feature_matrix(population, soap, tmp_path / "one", jobs=1)
    two = feature_matrix(population, soap, tmp_path / "two", jobs=2)
    assert np.array_equal(one, two)
    frames = list(population.frames())
    assert np.array_equal(one, soap.setup()(frames))
    assert {p.name for p in (tmp_path / "one").iterdir()} == {p.name for p in (tmp_path / "two").iterdir()}

    class Broken(SoapFeatures):
        def setup(self):
            raise AssertionError("the cache was not used")

    again = Broken(population.elements, SoapSettings(n_max=2, l_max=1))
    assert np.array_equal(feature_matrix(population, again, tmp_path / "one"), one)
    other = SoapFeatures(population.elements, SoapSettings(n_max=2, l_max=1, sigma=0.6))
    assert not np.array_equal(feature_matrix(population, other, tmp_path / "one"), one)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_killed_run_goes_on(population, tmp_path, jobs):
    """SIGKILL in the middle; the next run keeps the blocks that were done and computes the others."""
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import hint_plugin.sampling.cache as cache\n"
        "from hint_plugin.sampling import survey\n"
        "from pathlib import Path\n"
        "from test_features import Slow\n"
        "cache.FLUSH_EVERY = 0\n"
        "if __name__ == '__main__':\n"
        f"    population = survey([{str(tmp_path / 'a.xyz')!r}, {str(tmp_path / 'b.h5')!r}])\n"
        f"    cache.feature_matrix(population, Slow(0.4), Path({str(tmp_path / 'cache')!r}), jobs={jobs})\n"
    )
    (tmp_path / "run.py").write_text(script)
    process = subprocess.Popen([sys.executable, str(tmp_path / "run.py")], start_new_session=True)
    deadline = time.monotonic() + 60
    marks = None
    while time.monotonic() < deadline and (marks is None or not marks.any()):
        time.sleep(0.02)
        found = list((tmp_path / "cache").glob("*.done.npy")) if (tmp_path / "cache").is_dir() else []
        found = [path for path in found if not path.name.startswith(".")]
        marks = np.load(found[0]) if found else None
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    marks = np.load(found[0])
    assert marks.any() and not marks.all()

    done = []

    class Counting(Slow):
        def setup(self):
            compute = super().setup()

            def counted(frames):
                done.append(len(frames))
                return compute(frames)

            return counted

    matrix = feature_matrix(population, Counting(), tmp_path / "cache")
    assert len(done) == int((~marks).sum())
    assert np.array_equal(matrix, Slow().setup()(list(population.frames())))


def test_two_processes_do_not_fill_one_cache(population, tmp_path):
    """The second one is told; once all is there, both may read."""

    class Greedy(Slow):
        def setup(self):
            with pytest.raises(OptionsError, match="another process computes these features"):
                feature_matrix(population, Slow(), tmp_path / "cache")
            return super().setup()

    matrix = feature_matrix(population, Greedy(), tmp_path / "cache")
    assert np.array_equal(feature_matrix(population, Slow(), tmp_path / "cache"), matrix)


def test_features_that_are_not_finite(population, tmp_path):
    class Bad(Slow):
        def setup(self):
            compute = Slow.setup(self)

            def bad(frames):
                rows = compute(frames)
                rows[3] = np.nan
                return rows

            return bad

    with pytest.raises(DataError, match=r"a.xyz, frame 3 \(.*: its features are not finite"):
        feature_matrix(population, Bad(), tmp_path / "cache")


def test_pca_keeps_distances_in_a_plane():
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 30)) + 7.0
    plane = plane.astype(np.float32)
    found = fit_reduction(plane, "none", 2, 0)
    flat = found.apply(plane)
    assert found.explained == pytest.approx(1, abs=1e-6) and flat.shape == (300, 2)
    for i, j in rng.integers(0, 300, (20, 2)):
        assert np.linalg.norm(flat[i] - flat[j]) == pytest.approx(
            np.linalg.norm(plane[i] - plane[j]), abs=1e-4
        )


def test_standardisation():
    rng = np.random.default_rng(0)
    features = (rng.normal(size=(500, 4)) * [1, 100, 0.01, 0] + [0, 5, 5, 3]).astype(np.float32)
    scaled = fit_reduction(features, "standard", None, 0).apply(features)
    assert scaled[:, :3].std(axis=0) == pytest.approx(1, rel=1e-4)
    assert np.abs(scaled[:, 3]).max() == 0  # a constant feature says nothing
    with pytest.raises(OptionsError, match="--pca 5; wanted 1 to 4"):
        fit_reduction(features, "none", 5, 0)


def test_features_of_ones_own(population, tmp_path):
    own = np.arange(2.0 * len(population)).reshape(-1, 2)
    np.save(tmp_path / "own.npy", own)
    values, about = features_of(population, FeatureSettings(array=tmp_path / "own.npy"))
    assert np.array_equal(values, own) and about["dimension"] == 2
    for bad, message in (
        (own[1:], r"wanted numbers \[330, dim"),
        (own[:, 0], "wanted"),
        (own.astype(str), "wanted"),
    ):
        np.save(tmp_path / "bad.npy", bad)
        with pytest.raises(DataError, match=message):
            load_features(tmp_path / "bad.npy", len(population))
    own[17, 1] = np.nan
    np.save(tmp_path / "bad.npy", own)
    with pytest.raises(DataError, match="row 17 has NaN"):
        load_features(tmp_path / "bad.npy", len(population))
    with pytest.raises(DataError, match="cannot be read as .npy"):
        load_features(tmp_path / "a.xyz", len(population))
    with pytest.raises(OptionsError, match="not both"):
        features_of(population, FeatureSettings(array=Path("a.npy"), model=Path("b.model")))


def test_features_of_a_mace_model(tmp_path):
    """Invariant, one row a frame; batches do not matter; MACE's own calculator gives the same numbers."""
    pytest.importorskip("mace")
    import torch
    from small_mace import small_mace

    from hint_plugin.mace.features import MaceFeatures

    path = tmp_path / "small.model"
    torch.save(small_mace([1, 6, 8]), path)
    frames = [molecule("CH3OH"), rotated(molecule("CH3OH")), molecule("H2O"), molecule("CH4")]
    found = MaceFeatures(path, [1, 6, 8], batch_size=3)
    rows = found.setup()(frames)
    assert rows.shape == (4, found.dimension)
    assert rows[1] == pytest.approx(rows[0], abs=1e-6)
    assert np.abs(rows[0] - rows[2]).max() > 1e-3
    from mace.calculators import MACECalculator

    calculator = MACECalculator(model_paths=str(path), device="cpu")
    for row, atoms in zip(rows, frames, strict=True):
        assert row == pytest.approx(calculator.get_descriptors(atoms).mean(axis=0), abs=1e-5)
    with pytest.raises(DataError, match="does not know N; sample by SOAP"):
        MaceFeatures(path, [1, 7])
