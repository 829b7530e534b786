"""Ranking by energy within formulas: hand-made sets, shares, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from hint_plugin.data import write_frames
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.sampling import Budget, sample_energy, survey

#: formula -> energies, eV; H2O has high absolute energies that must not count against CH4's.
ENERGIES = {
    "H2O": [-10.0, -13.0, -11.0, -12.0, -10.5, -12.5, -11.5, -10.2],
    "CH4": [-40.0, -41.0, -44.0, -43.0],
    "N2": [-20.0],
}


@pytest.fixture
def population(tmp_path):
    frames = []
    for formula, energies in ENERGIES.items():
        for energy in energies:
            frames.append(Atoms(formula, np.arange(3.0 * len(Atoms(formula))).reshape(-1, 3)))
            frames[-1].info["REF_energy"] = energy
    write_frames(tmp_path / "set.xyz", frames)
    return survey([tmp_path / "set.xyz"], "REF_energy")


def chosen_energies(population, sample):
    found = {}
    for i in sample.chosen:
        found.setdefault(population.formulas[population.formula[i]], []).append(float(population.energies[i]))
    return {formula: sorted(values) for formula, values in found.items()}


@pytest.mark.parametrize(
    ("rank", "n", "expected"),
    [
        ("high", 6, {"H2O": [-10.5, -10.2, -10.0, -11.0], "CH4": [-40.0, -41.0]}),
        ("low", 6, {"H2O": [-13.0, -12.5, -12.0, -11.5], "CH4": [-44.0, -43.0]}),
        ("low", 3, {"H2O": [-13.0, -12.5], "CH4": [-44.0]}),
        ("high", 1, {"H2O": [-10.0]}),  # quotas 0.67 and 0.33: the larger remainder
        ("high", 12, {"H2O": ENERGIES["H2O"], "CH4": ENERGIES["CH4"]}),
    ],
)
def test_shares_of_a_hand_made_set(population, rank, n, expected):
    sample = sample_energy(population, Budget(n=n), rank=rank)
    assert chosen_energies(population, sample) == {k: sorted(v) for k, v in expected.items()}
    assert len(sample.plan.choices) == n
    assert any("1 frames are the only ones of their formula" in note for note in sample.notes)
    assert sample.plan.settings["left_out"] == 1


def test_reasons_and_scores_can_be_checked_by_hand(population):
    choice = sample_energy(population, Budget(n=1)).plan.choices[0]
    mean = np.mean(ENERGIES["H2O"])
    assert choice.score == pytest.approx((-10.0 - mean) / 3)
    assert choice.reason == f"{choice.score:+.4g} eV/atom from the mean of H2O, highest rank 1 of 8"


def test_a_fraction_is_of_the_frames_that_can_be_ranked(population):
    assert len(sample_energy(population, Budget(fraction=0.5)).chosen) == 6
    assert len(sample_energy(population, Budget(fraction=0.01)).chosen) == 1


def test_hessians_are_a_random_part(population):
    """Each of the 6 chosen gets one of the 2 Hessians in a third of all seeds."""
    counts = np.zeros(len(population))
    for seed in range(600):
        plan = sample_energy(population, Budget(n=6, hessians="2", seed=seed)).plan
        assert plan.n_hessians == 2 and len(plan.choices) == 6
        counts[[c.frame for c in plan.choices if c.wanted == "hessian"]] += 1
    assert counts.sum() == 1200
    assert np.abs(counts[counts > 0] - 200).max() < 4 * np.sqrt(600 * 2 / 9)
    assert (counts > 0).sum() == 6


def test_many_formulas_get_their_number_in_all(tmp_path):
    rng = np.random.default_rng(0)
    frames = []
    for size in range(2, 30):
        for _ in range(int(rng.integers(1, 40))):
            frames.append(Atoms(f"H{size}", np.zeros((size, 3)), info={"REF_energy": float(rng.normal())}))
    write_frames(tmp_path / "many.xyz", frames)
    population = survey([tmp_path / "many.xyz"], "REF_energy")
    counts = np.bincount(population.formula)
    ranked = counts[counts > 1].sum()
    for fraction in (0.05, 0.3, 0.77):
        chosen = sample_energy(population, Budget(fraction=fraction)).chosen
        assert len(chosen) == round(fraction * ranked)
        per_formula = np.bincount(population.formula[chosen], minlength=len(counts))
        quota = len(chosen) / ranked * np.where(counts > 1, counts, 0)
        assert np.abs(per_formula - quota).max() < 1


def test_what_is_refused(population, tmp_path):
    with pytest.raises(OptionsError, match="12 of 13 frames have isomers"):
        sample_energy(population, Budget(n=13))
    alone = [Atoms("H", info={"REF_energy": -13.6}), Atoms("He", info={"REF_energy": -79.0})]
    write_frames(tmp_path / "alone.xyz", alone)
    with pytest.raises(OptionsError, match="no isomers to rank"):
        sample_energy(survey([tmp_path / "alone.xyz"], "REF_energy"), Budget(n=1))
    write_frames(tmp_path / "none.xyz", [*alone, Atoms("H2", [[0, 0, 0], [0, 0, 1]])])
    with pytest.raises(DataError, match=r"none.xyz, frame 2 \(H2\) has no REF_energy"):
        sample_energy(survey([tmp_path / "none.xyz"], "REF_energy"), Budget(n=1))


def test_energies_under_ases_own_key(tmp_path):
    (tmp_path / "ase.xyz").write_text("".join(f"1\nenergy={e}\nH 0 0 0\n" for e in (-1.0, -3.0, -2.0)))
    population = survey([tmp_path / "ase.xyz"], "energy")
    assert population.energies.tolist() == [-1.0, -3.0, -2.0]
    assert sample_energy(population, Budget(n=1), rank="low").chosen.tolist() == [1]
