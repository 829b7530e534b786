"""Each message that docs/troubleshooting.md explains is one that the source can say."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "troubleshooting.md").read_text()
OF_OTHERS = (
    "argument --loss: invalid choice",  # argparse
    "unrecognized arguments",
    "Unrecognized pair style",  # LAMMPS
    "libmpi.so.12",  # the dynamic linker
    "Stopping optimization after",  # MACE
    "torch.cat(): expected a non-empty list",  # MACE, with fewer frames than a batch
    "Compilation check MaxAbsError",  # nequip-compile
    "Weights only load failed",  # torch
    "Environment variable TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD",  # torch
    "nvidia-...",  # wheels
    "mpirun -n 4 pw.x",  # a command
)


def messages():
    """What stands in backticks in the first column of a table, or in a heading."""
    for line in TEXT.splitlines():
        if line.startswith(("| `", "### ")):
            yield from re.findall(r"`([^`]+)`", line.split(" | ")[0])


def templates():
    """Strings of the source; what is filled in is a NUL."""
    for folder in ("hint_plugin", "ipi_driver", "lammps_pair"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.JoinedStr):
                    parts = (getattr(part, "value", "") for part in node.values)
                    yield "".join(part if isinstance(part, str) else "\0" for part in parts)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value
        for path in (ROOT / folder).rglob("*.cpp"):
            yield re.sub(r'"\s*\n\s*"', "", path.read_text())


SOURCE = list(templates())


def said(message):
    """Whether the fixed parts of a message follow each other in one string."""
    parts = [part.strip() for part in re.split(r"\.\.\.|\bN\b|\bFILE\b(?!\s*(?:and|or))", message)]
    pattern = re.compile(".*?".join(re.escape(part) for part in parts if part), re.S)
    return any(pattern.search(text) for text in SOURCE)


@pytest.mark.parametrize("message", [m for m in messages() if not m.startswith(OF_OTHERS)])
def test_the_source_says_it(message):
    assert said(message), message


def test_a_message_that_is_not_there_is_found_out():
    assert len(list(messages())) > 80
    assert not said("the flux capacitor of ... is not charged")
