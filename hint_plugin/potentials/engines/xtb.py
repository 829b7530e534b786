"""GFN1-xTB and GFN2-xTB, by tblite or by xtb-python.

GFN2-xTB: C. Bannwarth, S. Ehlert, S. Grimme, J. Chem. Theory Comput. 15, 1652 (2019).
GFN1-xTB: S. Grimme, C. Bannwarth, P. Shushkov, J. Chem. Theory Comput. 13, 1989 (2017).

Two choices are common to both back ends and make labels clean and quick. Every displaced point starts from
the density of the point before it: about half the time, and the same Hessian to 3e-5 eV/A^2. And the last
atom is not moved: what it would tell follows from the others (`differences.hessian`).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
from ase import Atoms

from hint_plugin.errors import EngineError
from hint_plugin.optional import check
from hint_plugin.potentials.engine import HessianMode, Prepared
from hint_plugin.potentials.structure_checks import charge_and_multiplicity, check_structure
from hint_plugin.settings import option

LARGEST_NUMBER = 86  # both methods are parametrised up to radon
SHORTEST_CELL = 8.0
"""A, between opposite faces of a cell that is sampled at the Gamma point alone."""
_PACKAGES = {"tblite": ("tblite", "'hint-mlip[label]'"), "xtb": ("xtb", "xtb")}


@dataclass(frozen=True, kw_only=True)
class XTBOptions:
    """Options of `gfn1-xtb` and `gfn2-xtb`."""

    backend: Literal["tblite", "xtb"] = option("the program: tblite, or xtb-python", "tblite")
    accuracy: float = option("of the SCF, 1 is the programs' own, smaller is tighter", 1e-3)
    step: float = option("length of a displacement, A", 1e-3)
    max_iterations: int = option("of the SCF", 250)
    electronic_temperature: float = option("of the Fermi smearing, K", 300.0)
    charge: int = option("total charge of structures that do not say", 0)
    multiplicity: int | None = option("2S+1 of structures that do not say; lowest if none", None)


class XTB:
    """What GFN1-xTB and GFN2-xTB share.

    Charge and multiplicity come from the structure (`structures.charge_and_multiplicity`), else from the
    options. Structures are molecules or 3D-periodic; a periodic one is sampled at the Gamma point only.
    """

    Options = XTBOptions
    name: str
    method: str
    translation_invariant = True  # no grid

    def __init__(self, options: XTBOptions) -> None:
        self.options = options
        self.step = options.step

    @classmethod
    def check(cls, options: XTBOptions) -> None:
        """Raises MissingDependencyError without the back end's package."""
        module, install = _PACKAGES[options.backend]
        check(cls.method, install, module)

    @classmethod
    def settings(cls, options: XTBOptions, hessian: HessianMode = "none") -> dict[str, Any]:
        """Names, version, accuracy and step."""
        found: dict[str, Any] = {
            "engine": cls.name,
            "method": cls.method,
            "engine_version": f"{options.backend} {version(options.backend)}",
            "accuracy": options.accuracy,
            "step": options.step,
        }
        if options.electronic_temperature != 300.0:
            found["electronic_temperature"] = options.electronic_temperature
        return found

    @classmethod
    def of_structure(cls, options: XTBOptions, atoms: Atoms) -> dict[str, Any]:
        """Charge, multiplicity, and the k points of a cell. Raises EngineError for impossible electrons."""
        charge, multiplicity = charge_and_multiplicity(atoms, options.charge, options.multiplicity)
        found: dict[str, Any] = {"charge": charge, "multiplicity": multiplicity}
        return found | ({"kpoints": "gamma"} if atoms.pbc.all() else {})

    @classmethod
    def remark(cls, options: XTBOptions, atoms: Atoms) -> str:
        """What of a structure has to be said before it is labelled, as a sentence; "" if nothing."""
        if not atoms.pbc.all() or abs(atoms.cell.volume) < 1e-6:
            return ""
        heights = 1.0 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0)
        if heights.min() >= SHORTEST_CELL:
            return ""
        return (
            f"{cls.method} is sampled at the Gamma point alone, which wants cells of {SHORTEST_CELL:g} A and "
            "more; energies, forces and stress of smaller ones are those of no crystal. Take a supercell, or "
            "an engine with k points"
        )

    def provenance(self) -> dict[str, Any]:
        """The settings."""
        return self.settings(self.options)

    def prepare(self, atoms: Atoms) -> Prepared:
        """Set the program up for one structure.

        Raises:
            EngineError: elements beyond radon, partial periodicity, or an impossible charge or multiplicity.
        """
        check_structure(atoms)
        if atoms.numbers.max() > LARGEST_NUMBER or atoms.numbers.min() < 1:
            found = sorted(set(atoms.numbers.tolist()))
            raise EngineError(f"{self.method} knows H to Rn; got atomic numbers {found}", "element")
        if atoms.pbc.any() and not atoms.pbc.all():
            raise EngineError(
                f"{self.options.backend} treats molecules and 3D-periodic cells; got pbc = "
                f"{atoms.pbc.tolist()}. For a slab or a wire set pbc to all true and leave vacuum, or to all "
                "false",
                "cell",
            )
        if atoms.pbc.all() and abs(atoms.cell.volume) < 1e-6:
            raise EngineError(
                "the structure is periodic and its cell has no volume; give it one, or set pbc to all false",
                "cell",
            )
        about = self.of_structure(self.options, atoms)
        if self.options.backend == "tblite":
            from hint_plugin.potentials.engines.tblite import PreparedTBLite

            return PreparedTBLite(self.method, self.options, atoms, about)
        from hint_plugin.potentials.engines.xtb_python import PreparedXTBPython

        return PreparedXTBPython(self.method, self.options, atoms, about)


class GFN2(XTB):
    """The engine `gfn2-xtb`."""

    name, method = "gfn2-xtb", "GFN2-xTB"


class GFN1(XTB):
    """The engine `gfn1-xtb`."""

    name, method = "gfn1-xtb", "GFN1-xTB"
