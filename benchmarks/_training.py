"""What trainings of several benchmarks have in common."""

from __future__ import annotations

from pathlib import Path

from hint_plugin.data import iter_frames
from hint_plugin.data.sets.statistics import Compositions, makeup_of

#: Options of ``mace_run_train``: a small one of each.
MODELS = {
    "AlphaNet": "--model AlphaNet --alphanet_size small --lr 0.005",
    "MACE": "--model MACE --num_channels 16 --max_L 1 --lr 0.02",
}


def lone_atoms(path: Path) -> dict[int, float]:
    """E0s: least squares of the energies of a file on its compositions, eV."""
    compositions = Compositions()
    for atoms in iter_frames(path):
        compositions.add(makeup_of(atoms), atoms.info["REF_energy"])
    return compositions.fit()
