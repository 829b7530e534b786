"""The stationary points and paths of a reaction that was found before, computed and checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.core.spectra import EV_PER_WAVENUMBER
from hint_plugin.data import read_label
from hint_plugin.data.labels.ase_energies import energy_of
from hint_plugin.errors import DataError, HintError
from hint_plugin.potentials.on_demand import OnDemand
from hint_plugin.potentials.structure_checks import charge_and_multiplicity
from hint_plugin.science.molecules.curvature import Computed, Stored
from hint_plugin.science.molecules.optimization import FORCE_TOLERANCE, check_optimiser
from hint_plugin.science.molecules.remarks import STATIONARY
from hint_plugin.science.reactions.kinetics.channel import Channel, Side
from hint_plugin.science.reactions.kinetics.following import reaction_path
from hint_plugin.science.reactions.kinetics.reaction_folder import ReactionFolder
from hint_plugin.science.reactions.kinetics.reaction_path import ReactionPath
from hint_plugin.science.reactions.kinetics.separate_parts import Part, parts_of, separate
from hint_plugin.science.reactions.kinetics.species import Species, check_kind

_SAME_ENERGY = 0.01
"""eV: how far the energy of a structure may be from that in the folder."""
_SOFT = 100.0
"""cm^-1: below, a mode is rather a rotation or another wide motion than a harmonic oscillator."""


def has_hessian(atoms: Atoms) -> bool:
    """Whether a structure has a full Hessian of its own."""
    label = read_label(atoms)
    return label is not None and label.kind == "full"


@dataclass
class FoundReaction:
    """A reaction in a folder, and what computes; `remarks` are what has to be said beside the numbers.

    Attributes:
        folder: of `hint reaction`.
        source: what computes; None: Hessians are those in the folder.
        charge, spin: of molecules that state none.
        scale: factor on all frequencies.
        say: told what is being done.
    """

    folder: ReactionFolder
    source: OnDemand | None
    charge: int
    spin: int | None
    scale: float
    say: Callable[[str], Any]

    def __post_init__(self) -> None:
        self.remarks = self.folder.remarks()
        self.calculator = None if self.source is None else self.source.calculator()

    def stationary_points(self) -> tuple[Species, Species, Species]:
        """Reactant, transition state, product.

        Raises:
            DataError: the potential is another one than that of the folder, or a structure is not stationary
                or of another kind. And what the potential raises.
        """
        folder = self.folder
        found = [
            self._species("reactant", folder.reactant, 0),
            self._species("transition state", folder.transition_state, 1),
            self._species("product", folder.product, 0),
        ]
        for one in found:
            if not self._counts(one):
                continue
            soft = one.quanta[one.quanta < _SOFT * EV_PER_WAVENUMBER] / EV_PER_WAVENUMBER
            if len(soft):
                listed = ", ".join(f"{nu:.0f}" for nu in soft)
                self.remarks.append(
                    f"the {one.name} has modes of {listed} cm^-1, for which the harmonic oscillator is a "
                    "rough picture: the rates depend on them"
                )
        return found[0], found[1], found[2]

    def _counts(self, species: Species) -> bool:
        """Whether partition functions of a whole exist; two molecules that do not hold together have none."""
        try:
            modes = len(species.quanta)
        except DataError:
            if len(parts_of(species.atoms)) < 2:
                raise
            return False
        wanted = 1 if species.name == "transition state" else 0
        return modes + wanted == len(species.modes.frequencies)

    def _species(self, name: str, given: Atoms, order: int) -> Species:
        atoms, stored = given.copy(), energy_of(given)
        self.say(f"{name}: Hessian")
        there = Stored()(given, self.say) if self.source is None else Computed(self.source)(atoms, self.say)
        energy = stored if there.energy is None else there.energy
        if energy is None:
            raise DataError(f"the {name} of {self.folder.path} has no energy; make the folder again")
        if stored is not None and abs(energy - stored) > _SAME_ENERGY:
            raise DataError(
                f"this potential gives the {name} {energy:.4f} eV, and the folder has {stored:.4f} eV: the "
                "transition state was found and verified with another potential. Give that one, or run hint "
                "reaction with this one"
            )
        if there.largest_force is not None and there.largest_force > STATIONARY:
            raise DataError(
                f"the {name} is not stationary: {there.largest_force:.2f} eV/A on an atom. Run hint reaction "
                "with a smaller --fmax"
            )
        if there.outside:
            self.remarks.append(f"the {name} is outside of what the model was trained on: {there.outside}")
        multiplicity = charge_and_multiplicity(given, self.charge, self.spin)[1]
        bare = Atoms(given.numbers, given.positions, info=dict(given.info))
        if given.has("masses"):
            bare.set_masses(given.get_masses())
        found = Species(name, bare, energy, np.asarray(there.hessian), multiplicity, self.scale)
        if order or len(parts_of(bare)) < 2:  # several molecules may not hold together
            check_kind(found, order)
        return found

    def channels(
        self,
        ends: tuple[Species, Species, Species],
        path: ReactionPath | None,
        methods: Sequence[str],
        variational: bool,
    ) -> list[Channel]:
        """Between the minima of the folder; and, where these hold several molecules, between them apart."""
        reactant, saddle, product = ends
        everything = list(range(len(saddle.atoms)))
        whole = [Side([Part(everything, one)]) for one in (reactant, product)]
        apart = [self._apart(one, side) for one, side in zip((reactant, product), whole, strict=True)]
        counts = [len(parts_of(one.atoms)) for one in (reactant, product)]
        names = [
            f"{end}{' complex' if count > 1 else ''}"
            for end, count in zip(("reactant", "product"), counts, strict=True)
        ]
        more = (saddle, path, methods, variational)
        found = []
        if self._counts(reactant) and self._counts(product):
            found.append(Channel(" to ".join(names), whole[0], whole[1], *more))
        if any(side.molecularity > 1 for side in apart):
            names = [
                " + ".join(str(part.species.atoms.symbols) for part in side.parts)
                if side.molecularity > 1
                else end
                for end, side in zip(names, apart, strict=True)
            ]
            if all(self._counts(one) for side in apart for one in side.species):
                found.insert(0, Channel(" to ".join(names), apart[0], apart[1], *more))
        if not found:
            raise DataError(
                f"{self.folder.path}: the reactant or the product holds several molecules that are not bound "
                f"to each other, and alone they could not be computed: {'; '.join(self.remarks)}"
            )
        return found

    def _apart(self, species: Species, whole: Side) -> Side:
        """The molecules of an end, each alone; the whole where it is one, or they cannot be computed."""
        if len(parts_of(species.atoms)) < 2:
            return whole
        try:
            if self.calculator is None:
                raise DataError("nothing computes: give --model FILE or --engine NAME")
            check_optimiser()
            charge = charge_and_multiplicity(species.atoms, self.charge, self.spin)[0]
            return Side(separate(species, self.calculator, charge, FORCE_TOLERANCE, self.say))
        except HintError as error:
            self.remarks.append(
                f"the {species.name} holds several molecules, and a rate that counts from them apart is not "
                f"given: {error}"
            )
            return whole


class Paths:
    """Paths of isotopologues from one saddle, each followed once; none without a potential."""

    def __init__(self, found: FoundReaction, saddle: Species, step: float, points: int, wanted: bool) -> None:
        self._found, self._saddle, self._wanted = found, saddle, wanted and found.calculator is not None
        self._step, self._points = step, points
        self._known: dict[tuple[float, ...], ReactionPath] = {}
        self.notes: list[str] = []
        if wanted and found.calculator is None:
            self.notes.append(
                "no potential was given: there is no path with Hessians, and so no variational theory and no "
                "small-curvature tunnelling"
            )

    def of(self, masses: Sequence[float] | NDArray) -> ReactionPath | None:
        """With masses [N], amu. Raises what the potential raises."""
        if not self._wanted:
            return None
        key = tuple(float(mass) for mass in masses)
        if key not in self._known:
            path = reaction_path(
                self._saddle.with_masses(masses),
                self._found.calculator,
                self._found.folder.irc,
                step=self._step,
                points=self._points,
                say=self._found.say,
            )
            self.notes += [note for note in path.notes if note not in self.notes]
            self._known[key] = path
        return self._known[key]
