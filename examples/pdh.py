"""Palladium hydride: from DFT's Hessian and 30 displaced cells to anharmonic phonons and Tc of PdH, PdD, PdT.

    make pdh        (or: python examples/pdh.py -o pdh-out --jobs 2 --size small)

1. One supercell Hessian (of DFPT) and 30 displaced primitive cells train two models by stock
   `mace_run_train`: with the Hessian, and, to compare, without it.
2. Their phonons against DFPT, and the energy along the softest mode.
3. SSCHA with the model for H, D and T: do quantum nuclei stabilise the crystal?
4. Tc: DFPT's electron-phonon matrices with the anharmonic phonons.

Every step is a command a user would type; the script prints it, runs it, and skips it if its result is there
already. Ends with a table, results.json and results.png. The data are in examples/pdh; another crystal needs
a folder like it (`--data`).
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo import console, run, run_training

from hint_plugin.data import read_frames, write_frames

DATA = Path(__file__).parent / "pdh"
ISOTOPES = {"H": 1.00794, "D": 2.01410, "T": 3.01605}
#: The displaced cells that are learnt: without those in which an atom sits on another.
CELLS = 24
COMMON = (
    "--valid_file ../cells.xyz --model AlphaNet --alphanet_size small --r_max 5.0 --E0s average --lr 0.005 "
    f"--valid_batch_size {CELLS} --scheduler ExponentialLR --energy_weight 10 --forces_weight 100 "
    "--ema --ema_decay 0.99 --default_dtype float64 --error_table PerAtomMAE --plot False --seed 1"
)
#: One batch has all: every step sees the Hessian, and both trainings make as many steps. Both learn the
#: stresses of the cells, in eV/A^3: a difference of 1 GPa counts as one of 0.02 eV/A in the forces.
TRAININGS = {
    "hint": f"--batch_size {CELLS + 1} --loss hint_hutchinson --hint_weight_start 20 --hint_weight_end 2000 "
    "--hint_base_loss stress --stress_weight 1000",
    "ef": f"--batch_size {CELLS} --loss stress --stress_weight 1000",
}
DATA_OF = {"hint": "both", "ef": "cells"}
TITLES = {"hint": "with the Hessian", "ef": "energies, forces, stresses only"}


@dataclass(frozen=True)
class Size:
    """How much of it: epochs, structures of a population, populations at most."""

    epochs: int
    configs: int
    populations: int


SIZES = {"tiny": Size(20, 20, 1), "small": Size(1500, 500, 30), "full": Size(6000, 1000, 30)}


def once(
    result: str, command: str, place: Path, log: str | None = None, accepted: tuple[int, ...] = (0,)
) -> None:
    """Run a command unless its result is there."""
    if not (place / result).exists():
        run(command, place, None if log is None else place / log, accepted)


def make_data(data: Path, folder: Path) -> None:
    """cells.xyz, hessian.xyz, both.xyz."""
    once("hessian.xyz", f"hint dataset convert {shlex.quote(str(data / 'pdh.dyn0'))} -o hessian.xyz", folder)
    once(
        "cells.xyz",
        f"hint sample energy {shlex.quote(str(data / 'displaced.xyz'))} -o plan.json --rank low -n {CELLS} "
        "--hessians 0 --extract cells.xyz",
        folder,
    )
    if not (folder / "both.xyz").exists():
        write_frames(
            folder / "both.xyz", [*read_frames(folder / "cells.xyz"), *read_frames(folder / "hessian.xyz")]
        )


def model(name: str, folder: Path, size: Size) -> None:
    """One model, exported."""
    place = folder / name
    place.mkdir(exist_ok=True)
    if not (place / "done.json").exists():
        command = (
            f"mace_run_train --name model --train_file ../{DATA_OF[name]}.xyz {COMMON} "
            f"{TRAININGS[name]} --max_num_epochs {size.epochs} --eval_interval {max(1, size.epochs // 10)} "
            f"--lr_scheduler_gamma {0.02 ** (1 / size.epochs):.5f}"
        )
        run_training(command, place, TITLES[name])
    once("model.hint.pt", "hint export model.model -o model.hint.pt", place)


def checks(name: str, folder: Path, dyn: str) -> None:
    """Phonons against DFPT; energies along the softest mode of Gamma."""
    place = folder / name
    once(
        "phonons/phonons.json",
        f"hint phonons {dyn} --model model.hint.pt --supercell 2 2 2 --reference {dyn} -o phonons",
        place,
    )
    once(
        "well/double-well.json",
        f"hint double-well {dyn} --model model.hint.pt --supercell 1 1 1 --displacement 1,1,0,0 "
        "--amplitude 0.8 --points 41 -o well",
        place,
    )


def anharmonic(isotope: str, folder: Path, dyn: str, size: Size) -> None:
    """SSCHA at 0 K."""
    once(
        f"sscha_{isotope}/sscha.json",
        f"hint sscha {dyn} --model hint/model.hint.pt --temperature 0 --configs {size.configs} "
        f"--populations {size.populations} --masses H={ISOTOPES[isotope]} --hessian v3 -o sscha_{isotope}",
        folder,
        accepted=(0, 3),
    )


def critical(folder: Path, data: Path, dyn: str) -> None:
    """Tc: harmonic (what is left of it), and anharmonic for all isotopes."""
    elph = shlex.quote(str(data / "elph_dir"))
    once(
        "tc_harmonic/tc.json",
        f"hint tc {elph} --dyn {dyn} --broadening 0.02 --leave-out --temperatures 0 -o tc_harmonic",
        folder,
    )
    others = " ".join(f"--isotope H={ISOTOPES[k]},sscha_{k}/sscha.dyn0" for k in ("D", "T"))
    once("tc/tc.json", f"hint tc {elph} --dyn sscha_H/sscha.dyn0 --broadening 0.02 {others} -o tc", folder)


def results(folder: Path) -> dict[str, Any]:
    """All numbers in one place."""

    def read(path: str) -> Any:
        return json.loads((folder / path).read_text())

    found: dict[str, Any] = {"models": {}, "sscha": {}, "tc": read("tc/tc.json")}
    for name, title in TITLES.items():
        phonons, well = read(f"{name}/phonons/phonons.json"), read(f"{name}/well/double-well.json")
        found["models"][name] = {
            "title": title,
            "errors": phonons["errors"],
            "lowest": phonons["lowest"],
            "well": well["model"],
            "seconds": read(f"{name}/done.json")["seconds"],
        }
    for isotope in ISOTOPES:
        found["sscha"][isotope] = {
            key: read(f"sscha_{isotope}/sscha.json")[key]
            for key in ("converged", "populations", "frequencies")
        }
    return found


def show(found: dict[str, Any], folder: Path) -> None:
    """Tables, as Markdown and on the screen."""
    lines = ["| model | phonons, MAE / largest error, cm^-1 | imaginary, of 48 | lowest, cm^-1 | s |"]
    lines.append("|---|---|---|---|---|")
    for row in found["models"].values():
        errors = row["errors"].get("sum_rule", row["errors"]["commensurate"])
        lines.append(
            f"| {row['title']} | {errors['mean']:.1f} / {errors['largest']:.1f} | {errors['imaginary']} "
            f"(DFPT {errors['imaginary_reference']}) | {row['lowest']:.0f} | {row['seconds']:.0f} |"
        )
    lines += ["", "| cm^-1 | " + " | ".join(_point(row["q"]) for row in _rows(found)) + " |"]
    lines.append("|---" * (len(_rows(found)) + 1) + "|")
    for isotope in ISOTOPES:
        kinds = ("harmonic", "sscha") if isotope == "H" else ("sscha",)
        for kind in kinds:
            cells = [
                " ".join(f"{nu:.0f}" for nu in sorted(set(_rounded(r)))) for r in _rows(found, isotope, kind)
            ]
            lines.append(f"| Pd{isotope}, {kind} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "| | lambda | omega_log, meV | Tc (Allen-Dynes), K | Tc (Eliashberg), K |",
        "|---|---|---|---|---|",
    ]
    for isotope, row in zip(ISOTOPES, found["tc"]["isotopes"], strict=True):
        tc = row["results"][0]
        lines.append(
            f"| Pd{isotope} | {row['lambda']:.3f} | {1000 * row['omega_log']:.2f} | "
            f"{tc['allen_dynes']:.2f} | {tc['eliashberg']:.2f} |"
        )
    text = "\n".join(lines)
    (folder / "results.md").write_text(text + "\n")
    (folder / "results.json").write_text(json.dumps(found, indent=2) + "\n")
    figure(found, folder / "results.png")
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    console.print(f"written: {folder / 'results.json'}, results.md, results.png", soft_wrap=True)


def _rows(found: dict[str, Any], isotope: str = "H", kind: str = "sscha") -> list[dict[str, Any]]:
    """One q point of each kind: Gamma, L, X."""
    rows: dict[int, dict[str, Any]] = {}
    for row in found["sscha"][isotope]["frequencies"][kind]:
        rows.setdefault(sum(abs(x) > 0.1 for x in row["q"]), row)
    return [rows[k] for k in sorted(rows)][:3]


def _point(q: list[float]) -> str:
    return ("Gamma", "L", "X")[min(2, sum(abs(x) > 0.1 for x in q))]


def _rounded(row: dict[str, Any]) -> list[int]:
    return [round(nu) + 0 for nu in row["frequencies"]]


def figure(found: dict[str, Any], path: Path) -> None:
    """The double well, the modes, Tc."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels, (well, modes, tc) = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
    colours = {"hint": "#1f5fa8", "ef": "#c44e22"}
    for name, row in found["models"].items():
        well.plot(
            row["well"]["amplitudes"], [1000 * e for e in row["well"]["energies"]], color=colours[name],
            label=row["title"],
        )  # fmt: skip
    well.set_xlabel("displacement of H / $\\mathrm{\\AA}$")
    well.set_ylabel("energy / meV")
    well.set_ylim(top=150)
    well.legend(frameon=False, fontsize=8)
    columns = [("H", "harmonic"), ("H", "sscha"), ("D", "sscha"), ("T", "sscha")]
    for place, (isotope, kind) in enumerate(columns):
        for row in found["sscha"][isotope]["frequencies"][kind]:
            for nu in row["frequencies"]:
                modes.plot(
                    [place - 0.35, place + 0.35], [nu, nu], color="#c44e22" if nu < -1 else "#1f5fa8", lw=1
                )
    modes.set_xticks(range(4), ["PdH\nharmonic", "PdH", "PdD", "PdT"])
    modes.set_ylabel("modes / cm$^{-1}$")
    values = [row["results"][0]["eliashberg"] for row in found["tc"]["isotopes"]]
    tc.bar([f"Pd{isotope}" for isotope in ISOTOPES], values, color="#1f5fa8", width=0.6)
    tc.set_ylabel("Tc / K (Eliashberg)")
    panels.savefig(path, dpi=150)
    plt.close(panels)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("pdh-out"), help="folder of all results")
    parser.add_argument(
        "--data", type=Path, default=DATA, help="folder with pdh.dyn*, displaced.xyz, elph_dir"
    )
    parser.add_argument("--size", choices=tuple(SIZES), default="small")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes at a time")
    options = parser.parse_args()
    folder, data, size = options.output.resolve(), options.data.resolve(), SIZES[options.size]
    folder.mkdir(parents=True, exist_ok=True)
    dyn, start = shlex.quote(str(data / "pdh.dyn0")), time.perf_counter()
    with ThreadPoolExecutor(options.jobs) as pool:

        def together(work: Callable[..., None], names: Any, *arguments: Any) -> None:
            for future in [pool.submit(work, name, folder, *arguments) for name in names]:
                future.result()

        console.rule("training")
        make_data(data, folder)
        together(model, TRAININGS, size)
        console.rule("phonons, double well")
        together(checks, TRAININGS, dyn)
        console.rule("SSCHA")
        together(anharmonic, ISOTOPES, dyn, size)
    console.rule("Tc")
    critical(folder, data, dyn)
    console.rule("results")
    show(results(folder), folder)
    console.print(f"{time.perf_counter() - start:.0f} s in all")


if __name__ == "__main__":
    main()
