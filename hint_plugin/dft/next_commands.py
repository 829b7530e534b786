"""README.md of a folder of `hint anharmonic`: the commands that follow Quantum ESPRESSO, with its names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ase import Atoms
from ase.data import chemical_symbols

from hint_plugin.dft.dft_inputs import DftSettings, Grid, formula_of, k_spacing, prefix_of

ISOTOPES = {"H": 1.00794, "D": 2.01410, "T": 3.01605}
LEARNT = 0.8
"""Of the displaced cells: those of lowest energy. In the others an atom may sit on another."""
BROADENING = 0.02
"""Ry, for `hint tc`: one of those that ph.x writes."""
EPOCHS = 1500


def training(cells: int) -> str:
    """One batch has all frames, so that every step sees the Hessian; 18 CPU minutes for PdH.

    Args:
        cells: displaced ones that are learnt.
    """
    return f"""\
mkdir -p training && cd training
mace_run_train --name model --train_file ../both.xyz --valid_file ../cells.xyz \\
    --model AlphaNet --alphanet_size small --r_max 5.0 --E0s average --default_dtype float64 \\
    --loss hint_hutchinson --hint_weight_start 20 --hint_weight_end 2000 \\
    --hint_base_loss stress --energy_weight 10 --forces_weight 100 --stress_weight 1000 \\
    --batch_size {cells + 1} --valid_batch_size {cells} \\
    --lr 0.005 --scheduler ExponentialLR --lr_scheduler_gamma {0.02 ** (1 / EPOCHS):.5f} \\
    --ema --ema_decay 0.99 --max_num_epochs {EPOCHS} --eval_interval {EPOCHS // 10} \\
    --error_table PerAtomMAE --plot False --seed 1
cd ..
hint export training/model.model -o model.hint.pt"""


def steps(atoms: Atoms, copies: int, settings: DftSettings) -> dict[str, str]:
    """What it is for -> commands, to be run in the folder once run.sh is through.

    Args:
        atoms: the primitive cell.
        copies: how many displaced cells there are.
        settings: of the inputs.
    """
    dyn, cells = f"{prefix_of(atoms)}.dyn0", max(1, round(LEARNT * copies))
    supercell = " ".join(map(str, settings.q_grid))
    light = int(atoms.numbers.argmin())
    found = {
        "The training set: one supercell Hessian, and the displaced cells of lowest energy": (
            f"hint dataset convert {dyn} -o hessian.xyz\n"
            "hint dataset convert displaced/pert_*.out -o displaced.xyz\n"
            f"hint sample energy displaced.xyz -o plan.json --rank low -n {cells} --hessians 0 "
            "--extract cells.xyz\n"
            "hint dataset convert cells.xyz hessian.xyz -o both.xyz"
        ),
        "The model": training(cells),
        f"Its phonons against those of DFT, and the energy along a displacement of {atoms.symbols[light]}": (
            f"hint phonons {dyn} --model model.hint.pt --supercell {supercell} --reference {dyn} -o phonons\n"
            f"hint double-well {dyn} --model model.hint.pt --supercell 1 1 1 --displacement {light},1,0,0 "
            "--amplitude 0.8 --points 41 -o well"
        ),
        "Anharmonic phonons at 0 K": "\n".join(_sscha(name, dyn) for name in _isotopes(atoms)),
    }
    if settings.electron_phonon:
        first, *others = _isotopes(atoms)
        isotopes = "".join(f" --isotope H={ISOTOPES[k]},sscha_{k}/sscha.dyn0" for k in others)
        found["Tc, harmonic (of what is stable) and anharmonic"] = (
            f"hint tc elph_dir --dyn {dyn} --broadening {BROADENING} --leave-out -o tc_harmonic\n"
            f"hint tc elph_dir --dyn sscha_{first}/sscha.dyn0 --broadening {BROADENING}{isotopes} -o tc"
        )
    return found


def _isotopes(atoms: Atoms) -> list[str]:
    """Names of the runs: H, D, T of a hydride; else the lightest element as it is."""
    if "H" in atoms.symbols:
        return list(ISOTOPES)
    return [chemical_symbols[int(atoms.numbers.min())]]


def _sscha(name: str, dyn: str) -> str:
    mass = f" --masses H={ISOTOPES[name]}" if name in ISOTOPES else ""
    return f"hint sscha {dyn} --model model.hint.pt --temperature 0{mass} --hessian v3 -o sscha_{name}"


def readme(
    atoms: Atoms,
    copies: int,
    settings: DftSettings,
    pseudopotentials: Mapping[str, str],
    about: Mapping[str, Any],
) -> str:
    """README.md: what is here, what was asked for, and what to do.

    Args:
        pseudopotentials: element -> name of the file.
        about: space_group, sigma, seed.
    """
    formula, elph = formula_of(atoms), settings.electron_phonon
    dense = [("`scf_dense.in`", "pw.x: the Fermi surface (la2F)", _k_points(atoms, settings.k_grid))]
    also, a2f = (" and electron-phonon matrices", ", harmonic a2F") if elph else ("", "")
    q_points = f"{'x'.join(map(str, settings.q_grid))} q points"
    rows = [
        *(dense if elph else []),
        ("`scf.in`", "pw.x: the ground state", _k_points(atoms, settings.k_grid_dft)),
        ("`ph.in`", f"ph.x: dynamical matrices{also}", q_points),
        ("`q2r.in`, `matdyn.in`", f"q2r.x, matdyn.x: force constants, density of states{a2f}", ""),
        ("`displaced/`", f"pw.x: {copies} displaced cells", _k_points(atoms, settings.displaced_k_grid)),
    ]
    files = ", ".join(f"{symbol} {name}" for symbol, name in sorted(pseudopotentials.items()))
    density = f"{settings.ecutrho:g} Ry" if settings.ecutrho else "four times as much"
    lines = [
        f"# {formula}: inputs for anharmonic phonons" + (" and Tc" if elph else ""),
        "",
        f"Written by `hint anharmonic`. {formula}, {about['space_group']}, {len(atoms)} atoms. Cutoffs "
        f"{settings.ecutwfc:g} Ry, of the density {density}; smearing {settings.smearing} of "
        f"{settings.degauss:g} Ry. Pseudopotentials: {files}. Atoms of displaced cells are moved by Gaussian "
        f"numbers of {about['sigma']:g} A (seed {about['seed']}).",
        "",
        "| input | program | grid |",
        "|---|---|---|",
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
        "Before all else: are cutoffs, k points and smearing converged, and is the volume the wanted one?",
        "",
        '    MPI="mpirun -n 4" ./run.sh',
        "",
        "runs everything in order, and after an interruption the rest. ph.x itself starts again, unless "
        "`recover = .true.` is",
        "added to ph.in. An SCF of a displaced cell that does not converge is told at the end: remove its "
        "files and go on.",
        "",
        "Then, in this folder:",
    ]
    for number, (title, commands) in enumerate(steps(atoms, copies, settings).items(), 1):
        lines += ["", f"## {number}. {title}", "", "```bash", commands, "```"]
    return "\n".join(lines) + "\n"


def _k_points(atoms: Atoms, grid: Grid) -> str:
    return f"{'x'.join(map(str, grid))} k points, {k_spacing(atoms, grid):.2f} 1/A apart"
