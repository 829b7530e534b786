"""HessianLabel, its place in a structure, and what is refused."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from hint_plugin.data import HessianLabel, LabelKeys, Thresholds, check_frames, read_label, write_label
from hint_plugin.data.labels.bond_stiffness import HARTREE_PER_BOHR2
from hint_plugin.data.labels.extxyz import Told
from hint_plugin.errors import LabelError, LabelWarning


def spring_hessian(atoms: Atoms, k: float = 30.0) -> np.ndarray:
    """Springs of k eV/A^2 between atoms closer than 1.9 A, and a tenth of it between the others."""
    n = len(atoms)
    blocks = np.zeros((n, 3, n, 3))
    for i in range(n):
        for j in range(i):
            vector = atoms.positions[j] - atoms.positions[i]
            length = np.linalg.norm(vector)
            block = (k if length < 1.9 else 0.1 * k) * np.outer(vector, vector) / length**2
            blocks[i, :, i] += block
            blocks[j, :, j] += block
            blocks[i, :, j] -= block
            blocks[j, :, i] -= block
    return blocks.reshape(3 * n, 3 * n)


@pytest.fixture
def ethanol() -> Atoms:
    return molecule("CH3CH2OH")


@pytest.fixture
def hessian(ethanol: Atoms) -> np.ndarray:
    return spring_hessian(ethanol)


def test_shapes_that_mean_the_same(hessian):
    n = len(hessian) // 3
    for same in (hessian, hessian.reshape(-1), hessian.reshape(n, 3, n, 3)):
        label = HessianLabel.full(same, n_atoms=n)
        assert label.n_atoms == n
        np.testing.assert_array_equal(label.hessian, hessian)


def test_rows_are_sorted_and_know_their_columns(hessian):
    n = len(hessian) // 3
    blocks = hessian.reshape(n, 3, -1)
    label = HessianLabel.rows(blocks[[5, 2]].reshape(6, -1), [5, 2], n)
    np.testing.assert_array_equal(label.atoms, [2, 5])
    np.testing.assert_array_equal(label.hessian, blocks[[2, 5]].reshape(6, -1))
    pairs = label.to_projected(3, np.random.default_rng(0))
    assert not pairs.probes[:, [0, 1, 3, 4, 6, 7, 8]].any()
    np.testing.assert_allclose(pairs.hvp.reshape(3, -1), pairs.probes.reshape(3, -1) @ hessian, atol=1e-12)
    with pytest.raises(LabelError, match="not labelled"):
        label.along(np.ones((n, 3)))


def test_projection_is_the_product(hessian):
    label = HessianLabel.full(hessian, noise=1e-3, weight=2.0, provenance={"method": "springs"})
    pairs = label.to_projected(4, np.random.default_rng(7))
    assert pairs.kind == "projected" and pairs.n_probes == 4
    assert set(np.unique(pairs.probes)) == {-1.0, 1.0}
    np.testing.assert_allclose(pairs.hvp.reshape(4, -1), pairs.probes.reshape(4, -1) @ hessian, atol=1e-12)
    assert (pairs.noise, pairs.weight, pairs.provenance) == (1e-3, 2.0, {"method": "springs"})
    again = label.to_projected(4, np.random.default_rng(7))
    np.testing.assert_array_equal(pairs.probes, again.probes)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HessianLabel.full(np.zeros((9, 8))), "wanted"),
        (lambda: HessianLabel.full(np.eye(9), n_atoms=4), r"\(12, 12\)"),
        (lambda: HessianLabel.full(np.diag([1.0, np.nan, 1.0])), r"NaN.*\(1, 1\)"),
        (lambda: HessianLabel.full([[1.0, "x"], [0, 1]]), "numbers"),
        (lambda: HessianLabel.rows(np.zeros((3, 9)), [3], 3), "0 .. 2"),
        (lambda: HessianLabel.rows(np.zeros((6, 9)), [1, 1], 3), "distinct"),
        (lambda: HessianLabel.rows(np.zeros((6, 9)), [1], 3), "shape"),
        (lambda: HessianLabel.projected(np.ones((1, 3, 3)), np.ones((2, 3, 3))), "the same"),
        (lambda: HessianLabel.projected(np.zeros((1, 3, 3)), np.ones((1, 3, 3))), "zero"),
        (lambda: HessianLabel.full(np.eye(3), weight=-1), "weight"),
        (lambda: HessianLabel.full(np.eye(3), noise=float("nan")), "noise"),
    ],
)
def test_malformed_values_are_refused(make, message):
    with pytest.raises(LabelError, match=message):
        make()


@pytest.mark.parametrize("kind", ["full", "rows", "projected"])
def test_in_and_out_of_a_structure(ethanol, hessian, kind):
    label = HessianLabel.full(
        hessian, noise=1e-4, weight=0.5, provenance={"engine": "springs", "step": 0.001}
    )
    if kind == "projected":
        label = label.to_projected(3, np.random.default_rng(0))
    if kind == "rows":
        about = {"noise": label.noise, "weight": label.weight, "provenance": label.provenance}
        label = HessianLabel.rows(hessian[3:9], [1, 2], len(ethanol), **about)
    write_label(ethanol, label)
    found = read_label(ethanol)
    assert (found.kind, found.noise, found.weight) == (kind, 1e-4, 0.5)
    assert found.provenance == label.provenance
    for name in ("hessian", "atoms", "probes", "hvp"):
        if getattr(label, name) is not None:
            np.testing.assert_array_equal(getattr(found, name), getattr(label, name))


def test_unlabelled_is_none_and_another_label_replaces(ethanol, hessian):
    assert read_label(ethanol) is None
    label = HessianLabel.full(hessian)
    write_label(ethanol, label)
    write_label(ethanol, label.to_projected(1, np.random.default_rng(0)))
    assert "REF_hessian" not in ethanol.info
    write_label(ethanol, None)
    assert read_label(ethanol) is None


def test_own_keys(ethanol, hessian):
    keys = LabelKeys(hessian="my_hessian")
    write_label(ethanol, HessianLabel.full(hessian), keys)
    assert "my_hessian" in ethanol.info
    with pytest.warns(LabelWarning, match="my_hessian"):
        assert read_label(ethanol) is None
    assert read_label(ethanol, keys).kind == "full"


def test_error_names_file_frame_formula_and_what_to_do(ethanol):
    ethanol.info["REF_hessian"] = np.zeros((26, 27))
    with pytest.raises(LabelError) as error:
        read_label(ethanol, source="train.xyz", frame=12)
    for part in ("train.xyz", "frame 12", "C2H6O", "REF_hessian", "(26, 27)", "(27, 27)", "Relabel"):
        assert part in str(error.value)


def test_half_of_a_pair_of_keys(ethanol, hessian):
    write_label(ethanol, HessianLabel.full(hessian).to_projected(1, np.random.default_rng(0)))
    for have, lack in (("REF_probes", "REF_hvp"), ("REF_hvp", "REF_probes")):
        broken = ethanol.copy()
        del broken.arrays[lack]
        with pytest.raises(LabelError, match=f"{have} without {lack}"):
            read_label(broken)
    ethanol.info["REF_hessian_rows"] = np.zeros((3, 27))
    with pytest.raises(LabelError, match="REF_hessian_rows without REF_hessian_mask"):
        read_label(ethanol)
    ethanol.info.clear()
    ethanol.arrays["REF_probes"] = np.ones((9, 4))
    with pytest.raises(LabelError, match="3K"):
        read_label(ethanol)


def test_asymmetry(ethanol, hessian):
    rng = np.random.default_rng(0)
    noisy = hessian + rng.normal(0, 0.02, hessian.shape)
    ethanol.info["REF_hessian"] = noisy
    assert read_label(ethanol).kind == "full"
    ethanol.info["REF_hessian"] = np.tril(hessian)
    with pytest.raises(LabelError, match="not symmetric"):
        read_label(ethanol)
    assert read_label(ethanol, limits=Thresholds(asymmetry=1e3, physics=False)).kind == "full"
    rows = noisy[:6].copy()
    rows[0, 4] += 10
    del ethanol.info["REF_hessian"]
    ethanol.info["REF_hessian_rows"] = rows
    ethanol.arrays["REF_hessian_mask"] = np.arange(9) < 2
    with pytest.raises(LabelError, match="not symmetric"):
        read_label(ethanol)


def test_asymmetry_of_pairs(ethanol, hessian):
    label = HessianLabel.full(hessian).to_projected(3, np.random.default_rng(1))
    write_label(ethanol, label)
    assert read_label(ethanol).kind == "projected"
    mixed_up = HessianLabel.projected(label.probes, label.hvp[[1, 2, 0]])
    write_label(ethanol, mixed_up)
    with pytest.raises(LabelError, match="not symmetric"):
        read_label(ethanol)


@pytest.mark.parametrize(
    "name", ["CH3CH2OH", "H2", "N2", "H2O", "C6H6", "SiH4", "PH3", "CH3SH", "CCl4", "O3"]
)
@pytest.mark.parametrize("kind", ["full", "rows", "projected"])
def test_hartree_per_bohr2_is_recognised_in_real_hessians(name, kind):
    pytest.importorskip("tblite", reason="needs tblite for real Hessians")
    from hint_plugin.labelling import make_engine, make_labels

    atoms = molecule(name)
    atoms.rattle(0.05, seed=3)
    right = make_labels(make_engine("gfn2-xtb"), atoms).hessian.hessian
    for factor, accepted in ((1.0, True), (1 / HARTREE_PER_BOHR2, False)):
        label = HessianLabel.full(right * factor)
        if kind == "projected":
            label = label.to_projected(2, np.random.default_rng(0))
        elif kind == "rows":
            label = HessianLabel.rows(label.hessian[3:6], [1], len(atoms))
        write_label(atoms, label)
        if accepted:
            assert read_label(atoms).kind == kind
        else:
            with pytest.raises(LabelError, match="hartree/bohr"):
                read_label(atoms)


@pytest.mark.parametrize(
    ("atoms", "k"),
    [
        (Atoms("Ar2", [[0, 0, 0], [0, 0, 3.8]]), 0.02),
        (Atoms("NeAr", [[0, 0, 0], [0, 0, 1.5]]), 0.02),
        (Atoms("Na2", [[0, 0, 0], [0, 0, 3.1]]), 1.0),
        (bulk("Cs", cubic=True), 0.1),
        (bulk("Pb", cubic=True), 0.5),
        (Atoms("H2", [[0, 0, 0], [0, 0, 3.0]]), 0.01),
        (Atoms("H"), 0.0),
    ],
)
def test_soft_matter_is_not_taken_for_hartree(atoms, k):
    write_label(atoms, HessianLabel.full(spring_hessian(atoms, k)))
    assert read_label(atoms).kind == "full"


def test_low_modes_are_not_taken_for_hartree(ethanol, hessian):
    label = HessianLabel.full(hessian)
    modes = np.linalg.eigh(hessian)[1].T[:3].reshape(3, -1, 3)
    for probes in (modes, np.ones((1, 9, 3)), np.eye(27)[:2].reshape(2, 9, 3)):
        write_label(ethanol, label.along(probes))
        assert read_label(ethanol).kind == "projected"


def test_huge_values_warn(ethanol, hessian):
    ethanol.numbers[:] = 29  # the rule for covalent bonds says nothing of metals
    write_label(ethanol, HessianLabel.full(2e4 * hessian / hessian.max()))
    with pytest.warns(LabelWarning, match=r"frame 3.*2e\+04"):
        assert read_label(ethanol, frame=3).kind == "full"


def test_check_frames_collects_everything(ethanol, hessian):
    good = ethanol.copy()
    write_label(good, HessianLabel.full(hessian))
    many = good.copy()
    many.info["REF_hessian"] = np.tril(hessian)
    many.info["REF_energy"] = float("nan")
    many.arrays["REF_probes"] = np.ones((9, 3))
    flat = good.copy()
    flat.info["REF_hessian"] = np.zeros(5)
    large = good.copy()
    large.numbers[:] = 29
    large.info["REF_hessian"] = 1e4 * hessian
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = check_frames([ethanol, good, many, flat, large], source="all.xyz")
    assert report.counts == dict(frames=5, full=2, rows=0, projected=0, unlabelled=1, malformed=2)
    assert [problem.frame for problem in report.problems] == [2, 2, 2, 3]
    assert [remark.frame for remark in report.remarks] == [4]
    with pytest.raises(LabelError, match="4 malformed labels") as error:
        report.raise_if_bad(show=2)
    assert str(error.value).count("all.xyz") == 2 and "and 2 more" in str(error.value)


def test_a_large_set_warns_a_few_times():
    """Of each kind; `hint dataset check` counts them all."""
    told = Told()
    with pytest.warns(LabelWarning) as warned:
        for number in range(50):
            atoms = Atoms("H3" if number % 2 else "H4", np.eye(4, 3)[: 3 if number % 2 else 4])
            atoms.info["my_hessian"] = np.eye(3 * len(atoms))
            atoms.info["other_hessian"] = np.eye(3 * len(atoms))
            read_label(atoms, source="set.xyz", frame=number, told=told)
    texts = [str(one.message) for one in warned]
    assert len(texts) == 6 and sum("hint dataset check" in text for text in texts) == 2
    assert "set.xyz, frame 0" in texts[0] and "set.xyz, frame 2" in texts[-1]
