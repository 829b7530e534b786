"""What frames of a training set have to have in common, and whether they have: level of theory, charge."""

from __future__ import annotations

from dataclasses import dataclass, field

from ase import Atoms

from hint_plugin.data.labels.label_keys import LabelKeys
from hint_plugin.data.labels.levels import LevelCount
from hint_plugin.data.structures.electrons import known_electrons
from hint_plugin.errors import DataError


@dataclass
class SetContents:
    """Frames that were read for a training, by level and charge.

    Attributes:
        levels: of their labels.
        charges: {total charge in e: frames}; frames that state none count as neutral.
        unknown: what is wrong with charges or multiplicities that cannot be read.
    """

    levels: LevelCount = field(default_factory=LevelCount)
    charges: dict[int, int] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    def add(self, atoms: Atoms, source: str) -> None:
        """Count a frame; isolated atoms are no part of a mixture."""
        if atoms.info.get("config_type") == "IsolatedAtom":
            return
        self.levels.add(atoms, source)
        try:
            charge = known_electrons(atoms.info)[0] or 0
        except DataError as error:
            self.unknown.append(f"{source}: {error}")
            return
        self.charges[charge] = self.charges.get(charge, 0) + 1

    def add_all(self, other: SetContents) -> None:
        """Count the frames of another one as well."""
        for level, frames in other.levels.frames.items():
            self.levels.add_info(
                {LabelKeys().prefix + name: value for name, value in level}, other.levels.first[level], frames
            )
        for charge, frames in other.charges.items():
            self.charges[charge] = self.charges.get(charge, 0) + frames
        self.unknown += other.unknown

    def remarks(self) -> list[str]:
        """What a person has to know before a training; sentences without an end."""
        found = self.mixtures()
        if self.unknown:
            found.append(
                f"{len(self.unknown)} structures whose charge cannot be read, first {self.unknown[0]}"
            )
        return found

    def mixtures(self) -> list[str]:
        """Of levels, of charges; sentences without an end."""
        found = []
        if said := self.levels.mixture():
            found.append(
                f"{said}. A model learns one surface: train on the labels of one level, or give each a head "
                "of its own"
            )
        if len(self.charges) > 1:
            told = ", ".join(f"{charge} ({self.charges[charge]})" for charge in sorted(self.charges))
            found.append(
                f"structures of {len(self.charges)} total charges: {told}. A model without charges learns a "
                "mean of their surfaces: train on one charge, or with a model that embeds total_charge"
            )
        return found
