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

from hint_plugin.errors import EngineError, OptionsError
from hint_plugin.optional import check
from hint_plugin.potentials.engine import HessianMode, Prepared
from hint_plugin.potentials.structure_checks import charge_and_multiplicity, check_structure
from hint_plugin.settings import did_you_mean, option

LARGEST_NUMBER = 86  # both methods are parametrised up to radon
SHORTEST_CELL = 8.0
"""A, between opposite faces of a cell that is sampled at the Gamma point alone."""
#: Those that ALPB has parameters for in tblite 0.8; tblite itself says whether it knows another one.
SOLVENTS = (
    *("acetone", "acetonitrile", "aniline", "benzaldehyde", "benzene", "ch2cl2", "chcl3", "cs2", "dioxane"),
    *("dmf", "dmso", "ethanol", "ether", "ethylacetate", "furane", "hexadecane", "hexane", "methanol"),
    *("nitromethane", "octanol", "phenol", "thf", "toluene", "water", "woctanol"),
)
_PACKAGES = {"tblite": ("tblite", "'.[label]' in HINT's folder"), "xtb": ("xtb", "xtb")}


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
    solvent: str | None = option(
        "an implicit solvent, as water, or a dielectric constant for ddx; none: gas", None
    )
    solvation: Literal["alpb", "gbsa", "ddx"] = option("the model of the solvent", "alpb")


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
        """Look at the back end and the solvent.

        Raises:
            MissingDependencyError: without the back end's package.
            OptionsError: a solvent that cannot be: by xtb-python, a number without ddx, an unknown name.
        """
        module, install = _PACKAGES[options.backend]
        check(cls.method, install, module)
        _check_solvent(cls.method, options)

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
        if options.solvent is not None:
            found["solvent"] = options.solvent
            found["solvation"] = "ddCOSMO" if options.solvation == "ddx" else options.solvation.upper()
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
        if self.options.solvent is not None and atoms.pbc.any():
            raise EngineError(
                "an implicit solvent is for molecules, and this structure is periodic; set pbc to false, or "
                "take the engine without solvent",
                "cell",
            )
        about = self.of_structure(self.options, atoms)
        if self.options.backend == "tblite":
            from hint_plugin.potentials.engines.tblite import PreparedTBLite

            return PreparedTBLite(self.method, self.options, atoms, about)
        from hint_plugin.potentials.engines.xtb_python import PreparedXTBPython

        return PreparedXTBPython(self.method, self.options, atoms, about)


def _check_solvent(method: str, options: XTBOptions) -> None:
    model, solvent = options.solvation, options.solvent
    if solvent is None:
        if model != "alpb":
            raise OptionsError(f"solvation={model} needs a solvent, as solvent=water")
        return
    if options.backend != "tblite":
        raise OptionsError(f"solvent={solvent} needs the back end tblite; backend is {options.backend}")
    constant = dielectric_constant(solvent)
    if constant is not None and model != "ddx":
        raise OptionsError(
            f"solvent={solvent}: {model} knows solvents by name, as water; for a dielectric constant take "
            "solvation=ddx"
        )
    if constant is not None and not 1.0 < constant < float("inf"):
        raise OptionsError(f"solvent={solvent}: a dielectric constant is a number above 1")
    from hint_plugin.potentials.engines.tblite import knows_solvent

    if not knows_solvent(method, options):
        raise OptionsError(
            f"tblite has no parameters of {method} with {model} for solvent={solvent}."
            f"{did_you_mean(solvent, SOLVENTS)} With alpb it knows {', '.join(SOLVENTS)}; ddx knows more"
        )


def dielectric_constant(solvent: str) -> float | None:
    """The number, where the solvent is one and not a name."""
    try:
        return float(solvent)
    except ValueError:
        return None


class GFN2(XTB):
    """The engine `gfn2-xtb`."""

    name, method = "gfn2-xtb", "GFN2-xTB"


class GFN1(XTB):
    """The engine `gfn1-xtb`."""

    name, method = "gfn1-xtb", "GFN1-xTB"
