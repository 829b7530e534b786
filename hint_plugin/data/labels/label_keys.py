"""Names under which labels live in `atoms.info` and `atoms.arrays`.

The defaults are MACE's convention (`REF_*`, `config_<name>_weight`), so that a labelled file trains with no
key option.
"""

from __future__ import annotations

import re
from dataclasses import astuple, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

#: What names of second derivatives have in them, in whatever spelling.
_HESSIAN_WORDS = re.compile(r"hess|hvp|force_?const|second_?deriv|(^|_)fc2?($|_)", re.IGNORECASE)


@dataclass(frozen=True)
class LabelKeys:
    """Where each part of a label is stored.

    | field | place | shape | unit |
    |---|---|---|---|
    | energy | info | scalar | eV |
    | forces | arrays | [N, 3] | eV/A |
    | stress | info | [6], ASE's Voigt order and sign; [3, 3] and [9] are read too | eV/A^3 |
    | hessian | info | [3N, 3N] | eV/A^2 |
    | rows | info | [3m, 3N], atoms in ascending order | eV/A^2 |
    | mask | arrays | [N] bool, m of them true | |
    | probes | arrays | [N, 3K], column 3k + axis | A |
    | hvp | arrays | [N, 3K], column 3k + axis | eV/A |
    | weight | info | scalar | |
    | noise | info | scalar, standard error of one Hessian element | eV/A^2 |
    | prefix | info | keys that tell how the label was made | |
    """

    energy: str = "REF_energy"
    forces: str = "REF_forces"
    stress: str = "REF_stress"
    hessian: str = "REF_hessian"
    rows: str = "REF_hessian_rows"
    mask: str = "REF_hessian_mask"
    probes: str = "REF_probes"
    hvp: str = "REF_hvp"
    weight: str = "config_hessian_weight"
    noise: str = "hint_label_noise"
    prefix: str = "hint_"

    @property
    def hessian_info(self) -> tuple[str, ...]:
        """Keys of `atoms.info` that belong to a Hessian label."""
        return (self.hessian, self.rows, self.weight, self.noise)

    @property
    def hessian_arrays(self) -> tuple[str, ...]:
        """Keys of `atoms.arrays` that belong to a Hessian label."""
        return (self.mask, self.probes, self.hvp)


def near_misses(atoms: Atoms, keys: LabelKeys) -> list[str]:
    """What looks like a Hessian label under another name, or in the wrong place, in a frame that has none:
    sentences.

    Looked for are arrays whose name speaks of second derivatives, and arrays of [3N, 3N] numbers under any
    name (N > 2).
    """
    known = set(astuple(keys))
    found = []
    for place, store in (("info", atoms.info), ("arrays", atoms.arrays)):
        for name, value in store.items():
            if not isinstance(name, str) or name.startswith(keys.prefix) or not _is_numbers(value):
                continue
            if place == "info" and name in known or name in (keys.mask, keys.probes, keys.hvp, keys.forces):
                continue
            size, whole = np.size(value), 9 * len(atoms) ** 2
            if (_HESSIAN_WORDS.search(name) and size >= 9) or (size == whole and len(atoms) > 2):
                wanted = f"atoms.info['{keys.hessian}']"
                found.append(
                    f"no Hessian label, but atoms.{place}['{name}'] holds {size} numbers and is ignored. "
                    f"If it is a "
                    f"Hessian, it belongs into {wanted} ([{3 * len(atoms)}, {3 * len(atoms)}], eV/A^2); "
                    f"or name "
                    "its key where the file is read"
                )
    return found


def near_names(atoms: Atoms, keys: LabelKeys) -> list[str]:
    """Names that differ from those of energy, forces or stress by case, a plural or a sign only: sentences.

    Looked for where a frame does not have the label itself.
    """
    found = []
    for name, store in ((keys.energy, atoms.info), (keys.forces, atoms.arrays), (keys.stress, atoms.info)):
        if name in store:
            continue
        for other in (*atoms.info, *atoms.arrays):
            if isinstance(other, str) and other != name and _bare(other) == _bare(name):
                found.append(f"no {name}; {other!r} is there and is ignored. Rename it if it is the same")
    return found


@dataclass
class NearMisses:
    """Of many frames, what `near_names` and `near_misses` say: each thing once, with its frames counted."""

    keys: LabelKeys = field(default_factory=LabelKeys)
    _frames: dict[str, int] = field(default_factory=dict)
    _first: dict[str, str] = field(default_factory=dict)

    def add(self, atoms: Atoms, where: str) -> None:
        """Look at a frame; `where` says which it is."""
        texts = near_names(atoms, self.keys)
        hessian = (*self.keys.hessian_info[:2], *self.keys.hessian_arrays)
        if not any(name in atoms.info or name in atoms.arrays for name in hessian):
            texts += near_misses(atoms, self.keys)
        for text in texts:
            same = text.partition(" holds ")[0]  # what follows tells the size of the frame
            self._frames[same] = self._frames.get(same, 0) + 1
            self._first.setdefault(same, f"{where}: {text}")

    def remarks(self) -> list[str]:
        """Sentences, without an end, with the first frame and their number."""
        return [
            self._first[same] + (f" ({count} frames, this is the first)" if count > 1 else "")
            for same, count in self._frames.items()
        ]


def _bare(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower()).rstrip("s")


def _is_numbers(value: Any) -> bool:
    return isinstance(value, np.ndarray | list | tuple) and np.asarray(value).dtype.kind in "fi"
