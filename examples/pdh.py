"""Palladium hydride: from DFT's Hessian and 30 displaced cells to anharmonic phonons and Tc of PdH, PdD, PdT.

    make pdh        (or: python examples/pdh.py -o pdh-out --jobs 2 --size small --trainings 3)

1. One supercell Hessian (of DFPT) and 30 displaced primitive cells train models by stock `mace_run_train`:
   three with the Hessian, which differ in their random numbers, and, to compare, one without it.
2. Their phonons against DFPT, and the energy along the softest mode.
3. SSCHA with each of the three for H, D and T: do quantum nuclei stabilise the crystal? With the first of
   them a second time, from other random numbers: the statistical error.
4. Tc: DFPT's electron-phonon matrices with all anharmonic phonons, those of SSCHA and those of the Hessian of
   its free energy, interpolated and not: median and range, and what moves it.

Every step is a command a user would type; the script prints it, runs it, and skips it if its result is there
already. Ends with tables, results.json and results.png. The data are in examples/pdh; another crystal needs
a folder like it (`--data`).

The time of `--size small`, multiplied out from what was measured for each step; minutes of a core:

| step | times | each | in all |
|---|---|---|---|
| training with the Hessian, 1500 steps of 0.5 to 0.72 s | 3 | 12 to 18 | 38 to 54 |
| training without it | 1 | 9 | 9 |
| phonons and double well | 4 | 0.35 | 1.4 |
| SSCHA: two or three times 500 structures in 0.25, start and free-energy Hessian 0.13 | 12 | 0.8 | 10 |
| Tc of 16 sources and three isotopes | 1 | 1 | 1 |

which are 60 to 76 (a step took 0.5 s of a processor in a short run, 0.72 s in a whole one on busy cores). Two
at a time, longest first (two trainings; the third beside the one without the Hessian and the SSCHA of the
first two; the rest), that is 31 to 40 minutes: within an hour, also where the cores have other work.
All trainings are of one length, from scratch: a shorter second one, or one that goes on from the first, would
not tell how far two trainings are apart.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo import console, run, run_training
from pdh_tables import CHOICES, show

from hint_plugin.data import read_frames, write_frames
from hint_plugin.science.superconductivity import spreads

DATA = Path(__file__).parent / "pdh"
ISOTOPES = {"H": 1.00794, "D": 2.01410, "T": 3.01605}
#: The displaced cells that are learnt: without those in which an atom sits on another.
CELLS = 24
COMMON = (
    "--valid_file ../cells.xyz --model AlphaNet --alphanet_size small --r_max 5.0 --E0s average --lr 0.005 "
    f"--valid_batch_size {CELLS} --scheduler ExponentialLR --energy_weight 10 --forces_weight 100 "
    "--ema --ema_decay 0.99 --default_dtype float64 --error_table PerAtomMAE --plot False "
    "--restart_latest --seed 1"
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
#: Of the free energy: where SSCHA has its minimum, and the second derivative there.
MATRICES = ("sscha", "hessian")


@dataclass(frozen=True)
class Size:
    """How much of it: epochs, structures of a population, populations at most."""

    epochs: int
    configs: int
    populations: int


SIZES = {"tiny": Size(20, 20, 1), "small": Size(1500, 500, 30), "full": Size(6000, 1000, 30)}


@dataclass(frozen=True)
class Sscha:
    """One run for each isotope: with the model of a training, and random numbers; both are counted from 1."""

    training: int
    numbers: int = 1

    @property
    def model(self) -> str:
        """The folder of the model."""
        return numbered("hint", self.training)

    def folder(self, isotope: str) -> str:
        """Of the results."""
        again = "" if self.numbers == 1 else f"_again_{self.numbers}"
        return numbered(f"sscha_{isotope}", self.training) + again


def numbered(name: str, number: int) -> str:
    """`name`, then `name_2`, `name_3`, ..."""
    return name if number == 1 else f"{name}_{number}"


def kind_and_number(model: str) -> tuple[str, int]:
    """`hint_2` -> `hint`, 2."""
    kind, _, number = model.partition("_")
    return kind, int(number or 1)


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
    place, (kind, seed) = folder / name, kind_and_number(name)
    place.mkdir(exist_ok=True)
    if not (place / "done.json").exists():
        common = COMMON.replace("--seed 1", f"--seed {seed}")
        command = (
            f"mace_run_train --name model --train_file ../{DATA_OF[kind]}.xyz {common} {TRAININGS[kind]} "
            f"--max_num_epochs {size.epochs} --eval_interval {max(1, size.epochs // 10)} "
            f"--lr_scheduler_gamma {0.02 ** (1 / size.epochs):.5f}"
        )
        run_training(command, place, title_of(name))
    once("model.hint.pt", "hint export model.model -o model.hint.pt", place)


def title_of(name: str) -> str:
    """For tables."""
    kind, number = kind_and_number(name)
    return TITLES[kind] + ("" if number == 1 else f", training {number}")


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


def anharmonic(isotope: str, of: Sscha, folder: Path, dyn: str, size: Size) -> None:
    """SSCHA at 0 K. All trainings see the same random numbers, so that they differ in the model alone."""
    place, seed = of.folder(isotope), "" if of.numbers == 1 else f" --seed {of.numbers - 1}"
    once(
        f"{place}/sscha.json",
        f"hint sscha {dyn} --model {of.model}/model.hint.pt --temperature 0 --configs {size.configs} "
        f"--populations {size.populations} --masses H={ISOTOPES[isotope]} --hessian v3{seed} -o {place}",
        folder,
        accepted=(0, 3),
    )


def critical(folder: Path, data: Path, dyn: str, runs: Sequence[Sscha]) -> Path:
    """Tc: harmonic (what is left of it), and anharmonic for all isotopes from all sources.

    Returns the folder of the latter, which is that of its sources: with more of them, it is another.
    """
    elph = shlex.quote(str(data / "elph_dir"))
    once(
        "tc_harmonic/tc.json",
        f"hint tc {elph} --dyn {dyn} --broadening 0.02 --leave-out --temperatures 0 -o tc_harmonic",
        folder,
    )
    trainings = max(of.training for of in runs)
    place = f"tc_{trainings}_trainings_{len(runs) - trainings}_repeats"

    def files(isotope: str) -> list[str]:
        return [f"{of.folder(isotope)}/{kind}.dyn0" for of in runs for kind in MATRICES]

    phonons = " ".join(f"--dyn {file}" for file in files("H"))
    others = " ".join(f"--isotope H={ISOTOPES[k]},{','.join(files(k))}" for k in ("D", "T"))
    once(
        f"{place}/tc.json",
        f"hint tc {elph} {phonons} --broadening 0.02 --interpolation both {others} -o {place}",
        folder,
        accepted=(0, 3),
    )
    return folder / place


def results(folder: Path, tc: Path, names: Sequence[str], runs: Sequence[Sscha]) -> dict[str, Any]:
    """All numbers in one place."""

    def read(path: str | Path) -> Any:
        return json.loads((folder / path).read_text())

    found: dict[str, Any] = {"models": {}, "sscha": {}, "sscha_runs": {}, "tc": read(tc / "tc.json")}
    for name in names:
        phonons, well = read(f"{name}/phonons/phonons.json"), read(f"{name}/well/double-well.json")
        found["models"][name] = {
            "title": title_of(name),
            "kind": kind_and_number(name)[0],
            "number": kind_and_number(name)[1],
            "errors": phonons["errors"],
            "lowest": phonons["lowest"],
            "well": well["model"],
            "cpu_seconds": read(f"{name}/done.json")["cpu_seconds"],
        }
    for isotope in ISOTOPES:
        for of in runs:
            found["sscha_runs"][of.folder(isotope)] = {
                key: read(f"{of.folder(isotope)}/sscha.json")[key]
                for key in ("converged", "populations", "frequencies")
            }
        found["sscha"][isotope] = found["sscha_runs"][runs[0].folder(isotope)]
    choices = {
        f"{of.folder('H')}/{kind}.dyn0": {
            "training": of.training, "numbers": of.numbers, "matrices": kind
        }
        for of in runs
        for kind in MATRICES
    }  # fmt: skip
    rows = [row | choices[row["dyn"]] for row in found["tc"]["sources"]]
    found["tc"] |= {"sources": rows, "spread": spreads(rows, list(CHOICES))}
    return found


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
    parser.add_argument("--trainings", type=int, default=3, help="with the Hessian, each with its own seed")
    parser.add_argument(
        "--repeats", type=int, default=1, help="more SSCHA runs of the first training: the statistical error"
    )
    options = parser.parse_args()
    if options.trainings < 1 or options.repeats < 0:
        parser.error(
            f"got {options.trainings} trainings and {options.repeats} repeats; wanted at least one, and none"
        )
    folder, data, size = options.output.resolve(), options.data.resolve(), SIZES[options.size]
    folder.mkdir(parents=True, exist_ok=True)
    dyn, start = shlex.quote(str(data / "pdh.dyn0")), time.perf_counter()
    runs = [Sscha(1), *(Sscha(1, 2 + k) for k in range(options.repeats))]
    runs += [Sscha(number) for number in range(2, options.trainings + 1)]
    names = [*(numbered("hint", number) for number in range(1, options.trainings + 1)), "ef"]
    console.rule("data")
    make_data(data, folder)
    console.rule("trainings; phonons, double well, SSCHA of each")
    models_and_phonons(names, runs, folder, dyn, size, options.jobs)
    console.rule("Tc")
    tc = critical(folder, data, dyn, runs)
    console.rule("results")
    show(results(folder, tc, names, runs), folder)
    console.print(f"{time.perf_counter() - start:.0f} s in all")


def models_and_phonons(
    names: Sequence[str], runs: Sequence[Sscha], folder: Path, dyn: str, size: Size, jobs: int
) -> None:
    """So many at a time, in the order of the plan: what waits for a training comes behind it."""
    with ThreadPoolExecutor(jobs) as pool:
        trained = {name: pool.submit(model, name, folder, size) for name in names}

        def after(name: str, work: Callable[..., None], *arguments: Any) -> Future[None]:
            def waiting() -> None:
                trained[name].result()
                work(*arguments)

            return pool.submit(waiting)

        last = sorted(names, key=lambda name: name == numbered("hint", len(names) - 1))
        futures = [*trained.values(), *(after(name, checks, name, folder, dyn) for name in last)]
        for of in runs:
            for isotope in ISOTOPES:
                futures.append(after(of.model, anharmonic, isotope, of, folder, dyn, size))
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # one has failed: no other is begun
            raise


if __name__ == "__main__":
    main()
