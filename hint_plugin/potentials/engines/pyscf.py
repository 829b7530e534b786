"""Density-functional theory and Hartree-Fock of molecules by PySCF, with analytic Hessians.

PySCF: Q. Sun et al., J. Chem. Phys. 153, 024109 (2020). The preset `transition1x` is wB97X/6-31G(d), the
level of Transition1x (M. Schreiner et al., Sci. Data 9, 779 (2022)) and of HORM.

Analytic Hessians of PySCF leave out that the integration grid moves with the atoms; forces take it along
(`grid_response`). So the grid, not the SCF, makes the error of a Hessian; the label's noise sees it by the
acoustic sum rule (`differences.translation_noise`). wB97X/6-31G(d), water, error against grid 6 in eV/A^2
(rms, max): 0.094, 0.64 on grid 2; 0.011, 0.07 on grid 3; 0.002, 0.007 on grid 4, which is the default for
this reason.

The analytic Hessian of meta-GGAs is wrong in PySCF 2.14 (its issue 3339): the block of an atom with itself
breaks the acoustic sum rule, by 45 eV/A^2 for HCl with r2SCAN. Gradients are right. So Hessians of meta-GGAs
and of their hybrids are always differences of gradients; which functionals these are, libxc says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.units import Bohr, Hartree
from numpy.typing import NDArray

from hint_plugin.errors import EngineError
from hint_plugin.optional import check
from hint_plugin.potentials.engine import ByDifferences, HessianMode, SinglePoint
from hint_plugin.potentials.structure_checks import charge_and_multiplicity, check_structure
from hint_plugin.settings import option

PRESETS = {"transition1x": ("wb97x", "6-31g(d)")}
DIFFERENCES = "differences of gradients, as of all meta-GGAs"


@dataclass(frozen=True, kw_only=True)
class PySCFOptions:
    """Options of `pyscf`."""

    preset: Literal["transition1x"] | None = option("sets xc and basis: transition1x is wB97X/6-31G(d)", None)
    xc: str = option("functional as PySCF and libxc call it, or hf", "wb97x")
    basis: str = option("basis set as PySCF calls it", "6-31g(d)")
    cartesian: bool = option("six d functions in place of five", False)
    grid_level: int = option("integration grid, 0 to 9", 4)
    grid_response: bool = option("forces follow the grid's motion (not meta-GGA, not VV10)", True)
    conv_tol: float = option("of the SCF energy, hartree", 1e-10)
    max_cycle: int = option("of the SCF; then second-order SCF is tried", 100)
    analytic: bool = option("analytic Hessian for full labels (not meta-GGA); else differences", True)
    density_fit: bool = option("density fitting", False)
    step: float = option("length of a displacement for differences, A", 2.5e-3)
    max_memory: int = option("MB", 4000)
    charge: int = option("total charge of structures that do not say", 0)
    multiplicity: int | None = option("2S+1 of structures that do not say; lowest if none", None)


class PySCF:
    """The engine `pyscf`: restricted for multiplicity 1, unrestricted else."""

    Options = PySCFOptions
    name = "pyscf"
    translation_invariant = True  # the grid moves with the atoms

    def __init__(self, options: PySCFOptions) -> None:
        self.options = with_preset(options)
        self.step = options.step
        self.method = f"{self.options.xc}/{self.options.basis}"

    @classmethod
    def check(cls, options: PySCFOptions) -> None:
        """Raises MissingDependencyError without PySCF."""
        check("the engine pyscf", "'.[dft]' in HINT's folder", "pyscf")

    @classmethod
    def settings(cls, options: PySCFOptions, hessian: HessianMode = "none") -> dict[str, Any]:
        """Names, version, functional, basis, grid, convergence; of a full Hessian, whether it is analytic."""
        options = with_preset(options)
        return {
            "engine": cls.name,
            "method": f"{options.xc}/{options.basis}",
            "engine_version": f"pyscf {version('pyscf')}",
            "grid_level": options.grid_level,
            "accuracy": options.conv_tol,
            "step": options.step,
            **({"density_fit": True} if options.density_fit else {}),
            **({"cartesian": True} if options.cartesian else {}),
            **({} if options.grid_response else {"grid_response": False}),
            **({"derivatives": "analytic"} if hessian == "full" and is_analytic(options) else {}),
        }

    @classmethod
    def of_structure(cls, options: PySCFOptions, atoms: Atoms) -> dict[str, Any]:
        """Charge and multiplicity. Raises EngineError for impossible ones."""
        charge, multiplicity = charge_and_multiplicity(atoms, options.charge, options.multiplicity)
        return {"charge": charge, "multiplicity": multiplicity}

    def provenance(self) -> dict[str, Any]:
        """The settings."""
        return self.settings(self.options)

    def prepare(self, atoms: Atoms) -> PreparedPySCF:
        """Set PySCF up for one molecule.

        Raises:
            EngineError: periodic, elements without basis functions, impossible charge or multiplicity.
        """
        check_structure(atoms)
        if atoms.pbc.any():
            raise EngineError("the engine pyscf treats molecules; set pbc to all false, or take qe", "cell")
        return PreparedPySCF(self.options, atoms, self.of_structure(self.options, atoms))


def with_preset(options: PySCFOptions) -> PySCFOptions:
    """The same options with functional and basis of the preset, if there is one."""
    if options.preset is None:
        return options
    xc, basis = PRESETS[options.preset]
    return replace(options, xc=xc, basis=basis)


def family(xc: str) -> str:
    """HF, LDA, GGA, MGGA (its hybrids and combinations as well) or NLC: what a functional is, by libxc.

    Raises:
        EngineError: libxc does not know it.
    """
    if xc.lower() == "hf":
        return "HF"
    from pyscf.dft import libxc

    try:
        return str(libxc.xc_type(xc))
    except (KeyError, ValueError) as error:
        raise EngineError(f"pyscf: no functional '{xc}' ({error})", "program") from error


def is_analytic(options: PySCFOptions) -> bool:
    """Whether a full Hessian is PySCF's analytic one: if that is wanted, and right for the functional."""
    return options.analytic and family(options.xc) != "MGGA"


class PreparedPySCF(ByDifferences):
    """One molecule. Successive calls start from the density of the call before."""

    def __init__(self, options: PySCFOptions, atoms: Atoms, about: dict[str, Any]) -> None:
        from pyscf import gto
        from pyscf.lib.exceptions import BasisNotFoundError

        self._options, self._atoms = options, atoms
        self.provenance = about
        self.derivatives = DIFFERENCES if options.analytic and not is_analytic(options) else None
        try:
            self._molecule = gto.M(
                atom=list(zip(atoms.get_chemical_symbols(), atoms.positions / Bohr, strict=True)),
                unit="Bohr",
                basis=options.basis,
                charge=about["charge"],
                spin=about["multiplicity"] - 1,
                cart=options.cartesian,
                max_memory=options.max_memory,
                verbose=0,
            )
        except BasisNotFoundError as error:
            elements = ", ".join(sorted(set(atoms.get_chemical_symbols())))
            raise EngineError(
                f"pyscf: no basis {options.basis} for all of {elements} ({error})", "element"
            ) from error
        self._density: NDArray | None = None
        self._solved: Any = None  # the mean field of the structure itself

    def single_point(self, positions: NDArray | None = None) -> SinglePoint:
        """Energy, forces and dipole. Raises EngineError if the SCF does not converge."""
        solved = self._solve(self._atoms.positions if positions is None else positions)
        if positions is None:
            self._solved = solved
        dipole = np.asarray(solved.dip_moment(unit="AU", verbose=0)) * Bohr
        return SinglePoint(float(solved.e_tot) * Hartree, self._forces(solved), dipole=dipole)

    def forces_at(self, positions: NDArray) -> NDArray:
        """Forces [N, 3] in eV/A. Raises EngineError as `single_point` does."""
        return self._forces(self._solve(positions))

    def analytic_hessian(self) -> NDArray | None:
        """[3N, 3N] in eV/A^2; None if it is not wanted, or not there or wrong for the functional."""
        if not is_analytic(self._options):
            return None
        solved = self._solved or self._solve(self._atoms.positions)
        try:
            blocks = solved.Hessian().kernel()  # [N, N, 3, 3] over (atom, atom, axis, axis)
        except NotImplementedError:
            return None
        n = len(self._atoms)
        return np.asarray(blocks).transpose(0, 2, 1, 3).reshape(3 * n, 3 * n) * (Hartree / Bohr**2)

    def _solve(self, positions: NDArray) -> Any:
        molecule = self._molecule.set_geom_(positions / Bohr, unit="Bohr", inplace=False)
        field = self._mean_field(molecule)
        field.kernel(dm0=self._density)
        if not field.converged:
            field = self._mean_field(molecule).newton()  # slower, and finds what DIIS does not
            field.kernel()
            if not field.converged:
                raise EngineError(f"pyscf: SCF not converged in {self._options.max_cycle} cycles", "scf")
            field = field.undo_newton() if hasattr(field, "undo_newton") else field
        self._density = field.make_rdm1()
        return field

    def _mean_field(self, molecule: Any) -> Any:
        from pyscf import dft, scf

        options, restricted = self._options, molecule.spin == 0
        if options.xc.lower() == "hf":
            field = (scf.RHF if restricted else scf.UHF)(molecule)
        else:
            field = (dft.RKS if restricted else dft.UKS)(molecule, xc=options.xc)
            field.grids.level = options.grid_level
        if options.density_fit:
            field = field.density_fit()
        field.conv_tol, field.max_cycle = options.conv_tol, options.max_cycle
        # looser, points that start from each other's density have errors in proportion to the displacement
        field.conv_tol_grad = 1e-2 * options.conv_tol**0.5
        return field

    def _forces(self, field: Any) -> NDArray:
        gradient = field.nuc_grad_method()
        if self._follows_grid(field):
            gradient.grid_response = True
        return -np.asarray(gradient.kernel()) * (Hartree / Bohr)

    def _follows_grid(self, field: Any) -> bool:
        if not self._options.grid_response or self._options.xc.lower() == "hf":
            return False
        return family(self._options.xc) in ("LDA", "GGA") and not field.do_nlc()
