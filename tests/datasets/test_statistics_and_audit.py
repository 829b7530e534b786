"""Numbers against numpy; a check finds everything that was planted."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from frame_sets import frames_of

from hint_plugin.data import clear_labels, write_frames, write_shards
from hint_plugin.data.sets.audit import audit
from hint_plugin.data.sets.statistics import Magnitudes, gather
from hint_plugin.data.sets.statistics_plots import plot_statistics


def test_statistics_are_those_of_numpy():
    frames = frames_of(24)
    for number, atoms in enumerate(frames):
        atoms.info["REF_energy"] = -3.0 * (atoms.numbers == 1).sum() - 70.0 * len(atoms) + 0.01 * number
        atoms.info["hint_label_noise"] = 1e-4 * number
    summary = gather(frames).to_dict()
    forces = np.concatenate([np.linalg.norm(a.arrays["REF_forces"], axis=1) for a in frames])
    elements = np.abs(
        np.concatenate([a.info["REF_hessian"].ravel() for a in frames if "REF_hessian" in a.info])
    )
    products = np.abs(np.concatenate([a.arrays["REF_hvp"].ravel() for a in frames if "REF_hvp" in a.arrays]))
    for key, values in (
        ("force_norm_eV_per_A", forces),
        ("hessian_eV_per_A2", elements),
        ("hvp_eV_per_A", products),
    ):
        row = summary[key]
        wanted = (len(values), values.mean(), np.sqrt((values**2).mean()), values.min(), values.max())
        assert [row[k] for k in ("count", "mean", "rms", "min", "max")] == pytest.approx(wanted)
    sizes = [len(a) for a in frames]
    assert summary["atoms_per_frame"]["mean"] == pytest.approx(np.mean(sizes))
    assert summary["atoms_per_frame"]["std"] == pytest.approx(np.std(sizes))
    assert summary["atoms_per_frame"]["median"] == np.median(sizes)
    assert summary["elements"]["C"] == {"atoms": 24, "frames": 16}
    assert summary["labels"] == {"full": 12, "projected": 6, "none": 6} and summary["probes"] == {"2": 6}
    counts = np.array([[(a.numbers == z).sum() for z in (1, 6, 8)] for a in frames], dtype=float)
    energies = np.array([a.info["REF_energy"] for a in frames])
    e0 = np.linalg.lstsq(counts, energies, rcond=None)[0]
    assert [summary["e0_eV"][s] for s in "HCO"] == pytest.approx(e0, rel=1e-9)
    rest = (energies - counts @ e0) / counts.sum(1)
    assert summary["energy_per_atom_eV"]["std"] == pytest.approx(rest.std(), rel=1e-6)
    nearest = [a.get_all_distances()[np.triu_indices(len(a), 1)].min() for a in frames]
    assert summary["nearest_distance_A"]["min"] == pytest.approx(min(nearest))
    assert summary["noise_eV_per_A2"]["count"] == 18


def test_magnitudes():
    values = np.array([0.0, 1e-12, -3.0, 2.5, 1e9])
    found = Magnitudes()
    found.add(values[:2])
    found.add(values[2:])
    assert found.histogram.sum() == 5 and found.histogram[0] == 2 and found.histogram[-1] == 1
    bins = np.flatnonzero(found.histogram)
    assert found.edges[bins[1]] <= 2.5 < found.edges[bins[1] + 1]
    assert Magnitudes().to_dict() == {"count": 0}


def test_statistics_of_odd_sets(tmp_path):
    assert gather([]).to_dict()["frames"] == 0
    atoms = molecule("H2O")
    atoms.info["REF_energy"] = "text"
    atoms.info["REF_hessian"] = np.zeros((2, 2))
    found = gather([atoms, Atoms("H")]).to_dict()
    assert found["with_energy"] == 0 and found["labels"] == {"malformed": 1, "none": 1}


def test_plots(tmp_path):
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install '.[plot]'")
    made = plot_statistics(gather(frames_of(12)), tmp_path / "plots")
    assert {p.stem for p in made} == {"atoms", "elements", "energies", "forces", "hessian", "hvp", "nearest"}
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in made)
    assert sorted(made) == sorted((tmp_path / "plots").iterdir())


def test_everything_that_was_planted_is_found(tmp_path):
    first = frames_of(30)
    first[2].info["REF_hessian"][0, 1] += 50  # asymmetric
    first[3].arrays["REF_forces"][0, 0] = np.nan
    first[4].info["REF_hessian"] = first[4].info["REF_hessian"][:5]
    del first[5].arrays["REF_probes"]
    first[6].positions[1] = first[6].positions[0]
    first[7].pbc = True  # without a cell
    first[8].positions[0, 0] = np.inf
    copy = first[9].copy()
    clear_labels(copy)  # which would not have turned with it
    copy.rotate(77, (1, 2, 3))
    copy.positions += 4
    write_frames(tmp_path / "first.h5", first)
    second = [*frames_of(6, seed=9, hessians=False), copy]
    write_frames(tmp_path / "second.xyz", second)
    third = tmp_path / "third.h5"
    write_frames(third, frames_of(600, seed=5))
    with h5py.File(third) as handle:
        info = handle["records"].id.get_chunk_info(1)
    raw = bytearray(third.read_bytes())
    raw[info.byte_offset + 1000] ^= 1
    third.write_bytes(raw)
    broken = tmp_path / "broken.xyz"
    write_frames(broken, frames_of(5, seed=11))
    broken.write_text(broken.read_text()[:-900])

    names = ["first.h5", "second.xyz", "third.h5", "broken.xyz", "missing.xyz"]
    found = audit([tmp_path / name for name in names], leakage=True)
    problems = {(p.source.rsplit("/")[-1], p.frame): p.message for p in found.problems}
    for frame, text in {
        2: "not symmetric",
        3: "REF_forces holds NaN",
        4: "shape",
        5: "without REF_probes",
        6: "upon each other",
        7: "no volume",
        8: "NaN or infinity",
    }.items():
        assert text in problems["first.h5", frame], frame
    damaged = [frame for name, frame in problems if name == "third.h5"]
    assert damaged and damaged == list(range(damaged[0], damaged[-1] + 1)) and len(damaged) < 200
    assert found.files[str(third)]["damaged"] == len(damaged) and found.files[str(third)]["frames"] == 600
    [stopped] = [frame for name, frame in problems if name == "broken.xyz"]
    assert 0 < stopped <= 4
    assert "no such file" in problems["missing.xyz", 0]
    assert {name for name, _ in problems} == set(names) - {"second.xyz"}
    assert {f for n, f in problems if n == "first.h5"} == {2, 3, 4, 5, 6, 7, 8}
    assert found.duplicates == [(str(tmp_path / "second.xyz"), 6, str(tmp_path / "first.h5"), 9)]
    pair = f"{tmp_path / 'first.h5'} & {tmp_path / 'second.xyz'}"
    assert found.leakage["formula"][pair] == 3 and found.leakage["structure"][pair] > 0


def test_a_clean_set_is_clean(tmp_path):
    write_shards(tmp_path / "set", frames_of(40), frames_per_shard=15)
    found = audit([tmp_path / "set"])
    assert not found.problems and not found.duplicates and not found.leakage
    assert found.files[str(tmp_path / "set")]["frames"] == 40
