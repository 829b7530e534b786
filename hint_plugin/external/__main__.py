"""What the scripts of `hint external script` call: `gaussian` and `orca` without the command line's packages.

python -m hint_plugin.external orca --model model.hint.pt job_EXT.extinp.tmp
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from hint_plugin.errors import HintError
from hint_plugin.external import run
from hint_plugin.external.client import IDLE
from hint_plugin.external.spec import Spec


def main() -> None:
    """Exits 0 when it is done, and 2, with a line on stderr, when nothing could be done."""
    parser = argparse.ArgumentParser(prog="hint external")
    parser.add_argument("program", choices=run.PROGRAMS)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--engine")
    parser.add_argument("--engine-option", action="append")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--idle", type=float, default=IDLE)
    parser.add_argument("--no-server", action="store_true")
    parser.add_argument("files", nargs="+")
    given = parser.parse_args()
    wanted = (1, 1) if given.program == "orca" else (3, 6)
    if not wanted[0] <= len(given.files) <= wanted[1]:
        parser.error(f"{given.program} gives {wanted[0]} to {wanted[1]} files; got {len(given.files)}")
    try:
        spec = Spec.asked(given.model, given.engine, given.engine_option, given.device)
        how: dict[str, Any] = {"device": given.device, "server": not given.no_server, "idle": given.idle}
        if given.program == "gaussian":
            layer, asked, answered, *more = given.files
            found = run.gaussian(layer, asked, answered, more[0] if more else None, potential=spec, **how)
        else:
            found = run.orca(given.files[0], spec, **how)
    except HintError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    for text in found.answer.warnings:
        print(f"warning: {text}", file=sys.stderr)
    print(f"HINT: {found.answer.method}, {found.answer.energy:.9f} Eh, written to {found.output}")


if __name__ == "__main__":
    main()
