"""A folder that can go to another machine: inputs, pseudopotentials, and run.sh, which runs them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from hint_plugin.data.file_io import replacing
from hint_plugin.dft.dft_inputs import PSEUDO
from hint_plugin.errors import OptionsError

_RUN = r"""#!/usr/bin/env bash
# Quantum ESPRESSO on the inputs of this folder, in their order. What has ended well is not run again: after
# an interruption the same command goes on.
#
#   ./run.sh                            everything
#   ./run.sh displaced                  the displaced cells only
#   ./run.sh phonons                    the rest only
#   MPI="mpirun -n 4" POOLS="-nk 4" ./run.sh
#
# MPI starts pw.x and ph.x on several processes, POOLS divides their k points.
set -euo pipefail
cd "$(dirname "$0")"
MPI=${MPI:-}
POOLS=${POOLS:-}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
trap 'exit 130' INT
trap 'exit 143' TERM

finished() { # OUTPUT
    [ -f "$1" ] && grep -q "JOB DONE" "$1" &&
        ! grep -Eq "convergence NOT achieved|Maximum CPU time exceeded" "$1"
}

run() { # PROGRAM NAME: NAME.in -> NAME.out
    local start="$MPI" pools="$POOLS"
    case $1 in q2r.x | matdyn.x) start="" pools="" ;; esac
    if finished "$2.out"; then
        echo "$2: done before"
        return 0
    fi
    if ! command -v "$1" > /dev/null; then
        echo "$1 is not there: install Quantum ESPRESSO (Debian: apt install quantum-espresso)" >&2
        exit 127
    fi
    echo "$2: $1"
    # shellcheck disable=SC2086 # MPI and POOLS are several words
    $start "$1" $pools -in "$2.in" > "$2.out" || true # how it ended is in the output
    if ! finished "$2.out"; then
        echo "$2: $1 has not ended well; the end of $2.out:" >&2
        tail -n 15 "$2.out" >&2
        return 1
    fi
}

phonons() {
@PHONONS@
}

displaced() {
    local input failed=0
    for input in displaced/*.in; do
        run pw.x "${input%.in}" || failed=$((failed + 1))
    done
    if [ "$failed" -gt 0 ]; then
        echo "$failed displaced cells have not ended well: run again, or remove their .in and .out" >&2
        exit 1
    fi
}

case ${1:-all} in
    phonons) phonons ;;
    displaced) displaced ;;
    all)
        phonons
        displaced
        ;;
    *)
        echo "$0 $1; wanted phonons, displaced, or nothing" >&2
        exit 2
        ;;
esac
echo "all done; README.md says what follows"
"""


def run_script(inputs: Iterable[str]) -> str:
    """run.sh for these inputs: the dense k points come first, because ph.x wants the files of the others."""
    names = set(inputs)
    order = ("pw.x scf_dense", "pw.x scf", "ph.x ph", "q2r.x q2r", "matdyn.x matdyn")
    steps = [f"    run {step}" for step in order if f"{step.split()[1]}.in" in names]
    return _RUN.replace("@PHONONS@", "\n".join(steps))


def write_folder(
    folder: Path, inputs: Mapping[str, str], pseudopotentials: Mapping[str, Path], readme: str
) -> None:
    """Inputs, pseudopotentials (copies), run.sh and README.md.

    Raises:
        OptionsError: the folder has outputs of other inputs already, which run.sh would take for its own.
    """
    check_no_outputs(folder)
    (folder / "displaced").mkdir(parents=True, exist_ok=True)
    (folder / PSEUDO).mkdir(exist_ok=True)
    for stale in [*(folder / "displaced").glob("pert_*.in"), folder / "scf_dense.in"]:
        if str(stale.relative_to(folder)) not in inputs:
            stale.unlink(missing_ok=True)
    for path in pseudopotentials.values():
        if path.resolve() != (folder / PSEUDO / path.name).resolve():
            with replacing(folder / PSEUDO / path.name) as temporary:
                shutil.copyfile(path, temporary)
    for name, text in {**inputs, "run.sh": run_script(inputs), "README.md": readme}.items():
        with replacing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    (folder / "run.sh").chmod(0o755)


def check_no_outputs(folder: Path) -> None:
    """Raise OptionsError where programs have run in this folder already."""
    for pattern in ("*.out", "displaced/*.out"):
        if outputs := sorted(folder.glob(pattern)):
            raise OptionsError(
                f"{folder} has outputs ({outputs[0].relative_to(folder)}), which run.sh would take for those "
                "of the new inputs. Name another folder, or remove it"
            )
