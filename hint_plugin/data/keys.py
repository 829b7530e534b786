"""Names under which labels live in `atoms.info` and `atoms.arrays`.

The defaults are MACE's convention (`REF_*`, `config_<name>_weight`), so that a labelled file trains with no
key option.
"""

from __future__ import annotations

from dataclasses import dataclass


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
