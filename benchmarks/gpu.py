"""What HINT does on a GPU: is it right there, and what does it cost? In parts of at most four minutes.

    python benchmarks/gpu.py --part correctness          one part, on the GPU
    python benchmarks/gpu.py --part mace --minutes 2     no row is begun after two minutes
    python benchmarks/gpu.py --report                    the tables of all parts that were run, in Markdown
    python benchmarks/gpu.py --part mace --device cpu --size tiny -o FOLDER      try the script itself

=========== ============================================================================================
part        rows
=========== ============================================================================================
correctness E, F, H v and the gradient of the loss of MACE, AlphaNet and NequIP, in float64 and float32,
            against the CPU in float64; H v and its gradient against differences
mace        training steps (E+F, one H v, one structure of eight labelled, full Hessian) of 128x0e+128x1o
            and 32x0e+32x1o, in batches of 8 to 256; exact Hessians of 20 to 200 atoms
alphanet    the same of AlphaNet small, medium and large
nequip      training steps of NequIP; to be started in an environment that has it
md          steps of ASE and LAMMPS with exported models, 512 to about 50,000 atoms
=========== ============================================================================================

Each part has a file in the folder of -o, which is written anew, in one piece, after each row. Started again,
a part leaves the rows that are there (of the same device, versions and size) and goes on with the others.
A row that fails or runs out of memory stays with its reason, and the next one begins; --again measures the
failed ones once more. The time of a part includes its start; a row that is not ready 15 seconds after its end
is broken off. Rows for which no time was left, or for which something is missing, are in the file as "not
run".

Each row has a model of its own, which nothing else shares the card with. Times on a GPU are wall times
between two synchronised moments after three steps of warm-up, on a CPU CPU times: the median, and half the
distance of the quartiles. Memory is the peak of what torch has allocated. "frames a second" are structures,
in dynamics steps. Weights and labels are random numbers: times do not depend on them.

Exit status: 0; 1 if a row is wrong or has failed (not: ran out of memory); 3 if rows are left for another
start, or none of the part could be run.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
import warnings
from pathlib import Path

STARTED = time.monotonic()
if importlib.util.find_spec("hint_plugin") is None:  # a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch  # noqa: E402
from _gpu_parts import PARTS, PLANS  # noqa: E402
from _gpu_rows import Part, complain, tables  # noqa: E402

from hint_plugin.core.devices import usable_device  # noqa: E402
from hint_plugin.errors import HintError, OptionsError  # noqa: E402


def run_part(
    name: str, folder: Path, device: torch.device, size: str, minutes: float, *, started: float, again: bool
) -> int:
    """Run a part, say what came out, and return the exit status."""
    folder.mkdir(parents=True, exist_ok=True)
    part = Part(name, folder / f"{name}.json", device, size, minutes, started=started, again=again)
    print(
        f"{name}: {part.content['environments'][part.key]['card']} ({device}), file {part.path}", flush=True
    )
    PARTS[name](part, PLANS[size], folder)
    count: dict[str, int] = {}
    for row in part.rows:
        count[row["status"]] = count.get(row["status"], 0) + 1
    print(f"{name}: {', '.join(f'{number} {status}' for status, number in count.items())}", flush=True)
    left = [row["name"] for row in part.rows if row["status"] in ("not run", "late")]
    if left:
        complain(f"{name}: not run: {'; '.join(left)}")
    if count.get("wrong") or count.get("failed"):
        return 1
    late = any(
        "minutes" in row["reason"] or "unusable" in row["reason"] for row in part.rows if row["name"] in left
    )
    return 3 if late or not (count.get("done") or count.get("no memory")) else 0


def main(words: list[str] | None = None, *, started: float | None = None) -> int:
    """Command line; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--part", choices=tuple(PARTS))
    what.add_argument("--report", action="store_true", help="print the tables of what is in the folder")
    parser.add_argument("-o", "--output", type=Path, default=Path("bench-out/gpu"), help="folder")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1 or cpu (default: cuda)")
    parser.add_argument("--size", choices=tuple(PLANS), default="full")
    parser.add_argument("--minutes", type=float, default=4.0, help="of a part (default: 4)")
    parser.add_argument(
        "--again", action="store_true", help="measure rows again that are wrong or have failed"
    )
    options = parser.parse_args(words)
    warnings.filterwarnings("ignore")
    try:
        if options.report:
            files = [options.output / f"{name}.json" for name in PARTS]
            found = [file for file in files if file.is_file()]
            if not found:
                raise OptionsError(f"there is no file of a part in {options.output}; run one with --part")
            print(tables(found))
            return 0
        if not options.minutes > 0:
            raise OptionsError(f"--minutes is {options.minutes:g}; wanted a positive number")
        device = usable_device(options.device)
        if device.type == "cpu":
            torch.set_num_threads(1)
        return run_part(
            options.part,
            options.output,
            device,
            options.size,
            options.minutes,
            started=STARTED if started is None else started,
            again=options.again,
        )
    except HintError as error:
        complain(f"error: {error}")
        return 2


if __name__ == "__main__":
    sys.exit(main())
