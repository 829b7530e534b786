"""The geometries of the demonstration: real molecules and paths, reproducible, with no colliding atoms."""

from __future__ import annotations

import numpy as np
import pytest

from hint_plugin.data.structures.geometries import (
    HELD_OUT,
    MOLECULES,
    REACTIONS,
    reaction_ends,
    reaction_path,
    shaken,
)


@pytest.mark.parametrize("name", REACTIONS)
def test_paths_lead_from_one_end_to_the_other(name: str) -> None:
    first, last = reaction_ends(name)
    path = reaction_path(name, images=7)
    assert len(path) == 7
    assert np.allclose(path[0].positions, first.positions)
    assert np.allclose(path[-1].positions, last.positions)
    assert all((atoms.symbols == first.symbols).all() and atoms.calc is None for atoms in path)


def test_hydrogen_of_hcn_goes_from_carbon_to_nitrogen() -> None:
    first, last = reaction_ends("HCN -> HNC")
    assert first.get_distance(0, 2) == pytest.approx(1.07, abs=0.02)
    assert last.get_distance(1, 2) == pytest.approx(1.0, abs=0.02)


def test_shaken_structures_are_reproducible_and_apart() -> None:
    names = (*MOLECULES, *REACTIONS, *HELD_OUT)
    frames = shaken(names, 3 * len(names), seed=7)
    again = shaken(names, 3 * len(names), seed=7)
    other = shaken(names, 3 * len(names), seed=8)
    assert [a.info["config_type"] for a in frames[: len(names)]] == [n.replace(" ", "_") for n in names]
    for a, b, c in zip(frames, again, other, strict=True):
        assert np.array_equal(a.positions, b.positions)
        assert not np.array_equal(a.positions, c.positions)
        distances = a.get_all_distances()
        assert distances[~np.eye(len(a), dtype=bool)].min() > 0.6


def test_displacements_have_the_stated_size() -> None:
    frames = shaken(["CH4"], 400, sigmas=(0.05,), seed=1)
    spread = np.std([a.positions for a in frames], axis=0)
    assert spread == pytest.approx(np.full((5, 3), 0.05), rel=0.2)


def test_unknown_reaction() -> None:
    with pytest.raises(KeyError, match="no reaction 'A -> B'; there are HCN -> HNC"):
        reaction_ends("A -> B")
