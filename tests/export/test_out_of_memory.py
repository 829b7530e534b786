"""Memory that runs out within a model is told in a sentence, whichever way the model runs."""

from __future__ import annotations

import pytest
from ase import Atoms
from hungry import SAID, Greedy, Hungry
from pair_artifact import write_pair

from hint_plugin.artifact.compiled import write_compiled
from hint_plugin.artifact.metadata import Metadata
from hint_plugin.errors import MemoryRanOutError
from hint_plugin.potentials.artifact_potential import ArtifactPotential

TRIANGLE = Atoms("Al3", [(0, 0, 0), (2.5, 0, 0), (1.2, 2.1, 0)])


def test_within_torchscript(tmp_path):
    potential = ArtifactPotential(write_pair(tmp_path / "greedy.hint.pt", edges=Greedy()))
    for call in (lambda: potential.evaluate([TRIANGLE]), lambda: potential.hessian(TRIANGLE)):
        with pytest.raises(MemoryRanOutError, match=r"on cpu for 3 atoms \(.* 8000000000000000 bytes"):
            call()


def test_within_products(tmp_path, monkeypatch):
    """Energies fit; the passes backward through them do not."""
    potential = ArtifactPotential(write_pair(tmp_path / "pair.hint.pt"))

    def much(*_: object, **__: object) -> None:
        raise RuntimeError(SAID["CUDA"])

    monkeypatch.setattr("hint_plugin.core.operator.many_hvps", much)
    with pytest.raises(MemoryRanOutError, match="for the Hessian of 3 atoms"):
        potential.hessian(TRIANGLE)
    with pytest.raises(MemoryRanOutError, match="for H v of 3 atoms"):
        potential.hvp(TRIANGLE, TRIANGLE.positions)
    monkeypatch.setattr("hint_plugin.core.invariance.hessians_from_forces", much)
    with pytest.raises(MemoryRanOutError, match="for the Hessians of 6 atoms in 2 structures"):
        list(potential.predict([TRIANGLE, TRIANGLE], hessian=True))


@pytest.mark.long
def test_within_aotinductor(tmp_path):
    """The message above is torch's own."""
    path = tmp_path / "hungry.hint.pt2"
    metadata = Metadata("Hungry", ("Al", "Cu"), 3.4, 1, "float64", 0)
    write_compiled(Hungry(), metadata, path, lambda _: {})
    potential = ArtifactPotential(path, trust=True)
    with pytest.raises(MemoryRanOutError, match=r"on cpu for 3 atoms \(.* 240000000000000 bytes"):
        potential.evaluate([TRIANGLE])
