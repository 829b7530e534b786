"""How long `hint --help` takes, beside the interpreter's own start and `import torch`.

    python benchmarks/startup.py [--repeats 5]

Wall time, the best of the repeats; (x N) is the time over that of `python -c pass`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "hint --help": ["-m", "hint_plugin.cli.app", "--help"],
    "python -c 'import torch'": ["-c", "import torch"],
}


def main() -> None:
    """Command line."""
    from rich.console import Console
    from rich.table import Table

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    best = dict.fromkeys(COMMANDS, float("inf"))
    for _ in range(options.repeats):
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *command], capture_output=True, check=True)
            best[name] = min(best[name], time.perf_counter() - start)
    table = Table("command", "s")
    for name, seconds in best.items():
        table.add_row(name, f"{seconds:.2f} (x {seconds / best['python -c pass']:.1f})")
    Console().print(table)


if __name__ == "__main__":
    main()
