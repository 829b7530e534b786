"""Vibrational perturbation theory of second order (VPT2): anharmonic frequencies of molecules.

    exact Hessians along the modes --> cubic, quartic constants --> x_ij --> levels, resonances in blocks

Everything is in dimensionless normal coordinates q_k = Q_k (2 pi c omega_k / hbar)^(1/2) and in cm^-1:

    V / hc = 1/2 sum omega_i q_i^2 + 1/6 sum phi_ijk q_i q_j q_k + 1/24 sum phi_ijkl q_i q_j q_k q_l
    H / hc = 1/2 sum omega_i p_i^2 + V / hc + sum_a B_a pi_a^2 - 1/4 sum_a B_a
    pi_a = sum_ij zeta^a_ij (omega_j / omega_i)^(1/2) q_i p_j

with the rotational constants B_a at the minimum and without rotation (J = 0). The last term of H is that of
J. K. G. Watson, Mol. Phys. 15, 479 (1968); a linear molecule has none (Mol. Phys. 19, 465 (1970)), and no a
along its axis.

| symbol | variable | unit |
|---|---|---|
| omega_i, harmonic | `frequencies` [M] | cm^-1 |
| phi_ijk | `cubic` [M, M, M] | cm^-1 |
| phi_ijkk, two indices the same | `quartic` [k, i, j] of [M, M, M] | cm^-1 |
| B_a | `rotational` [3] | cm^-1 |
| zeta^a_ij | `zeta` [3, M, M] | 1 |
| x_ij | `x` [M, M] | cm^-1 |
| chi_0 | `chi_0` | cm^-1 |

Sources: I. M. Mills, in Molecular Spectroscopy: Modern Research (1972), ch. 3.2; D. Papousek, M. R. Aliev,
Molecular Vibrational-Rotational Spectra (1982); V. Barone, J. Chem. Phys. 122, 014108 (2005); A. M. Rosnik,
W. F. Polik, Mol. Phys. 112, 261 (2014).
"""

from hint_plugin.science.molecules.vpt2.constants import AnharmonicConstants, anharmonic_constants
from hint_plugin.science.molecules.vpt2.force_field import AnharmonicField, field_from_hessians
from hint_plugin.science.molecules.vpt2.levels import Anharmonic, perturbed_levels
from hint_plugin.science.molecules.vpt2.resonances import FermiResonance, fermi_resonances

__all__ = [
    "Anharmonic",
    "AnharmonicConstants",
    "AnharmonicField",
    "FermiResonance",
    "anharmonic_constants",
    "fermi_resonances",
    "field_from_hessians",
    "perturbed_levels",
]
