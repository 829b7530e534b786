"""What `hint dataset check` does: all that is wrong with files of frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hint_plugin.data.provenance import run_provenance
from hint_plugin.data.sets.audit import LEAKAGE, Audit, audit
from hint_plugin.data.sets.patterns import each_once, expand
from hint_plugin.data.sets.run_options import Inputs, Report, several, silent
from hint_plugin.errors import OptionsError


@dataclass(frozen=True)
class CheckResult:
    """What is wrong with files.

    Attributes:
        audit: all that was found.
        inputs: the files.
        respects: what counts as leakage.
    """

    audit: Audit
    inputs: list[Path]
    respects: tuple[str, ...] = ("structure",)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        leaks = (any(self.audit.leakage.get(respect, {}).values()) for respect in self.respects)
        return not (self.audit.problems or self.audit.duplicates or any(leaks))

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """Made when it is asked for: hashes of files take time."""
        return run_provenance(self.inputs)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        found = self.audit
        return {
            "ok": self.ok,
            "files": found.files,
            "labels": found.labels,
            "ase_names": found.ase_names,
            "problems": [vars(problem) for problem in found.problems],
            "remarks": [vars(remark) for remark in found.remarks],
            "mixtures": found.mixtures,
            "duplicates": [
                {"file": a, "frame": i, "first_file": b, "first_frame": j} for a, i, b, j in found.duplicates
            ],
            "leakage": found.leakage,
            "untested": [
                {"test": test, "reason": reason, "labels": count}
                for (test, reason), count in found.untested.items()
            ],
            "provenance": self.provenance,
        }


def dataset_check(
    inputs: Inputs,
    *,
    leakage: bool = False,
    against: str | Sequence[str] = "structure",
    report: Report | None = None,
) -> CheckResult:
    """Find all that is wrong with files: labels, damage, duplicates, leakage between them.

    What is wrong is in the result, and no error.

    Args:
        inputs, report: see `hint_plugin.data.sets.run`.
        leakage: compare the files: shared formulas, molecules, structures.
        against: which of these count as leakage: formula, molecule, structure, reaction; names, or one string
            of them.

    Raises:
        DataError: a file is not there. OptionsError: options that do not fit, a file that is given twice.
    """
    files = several(inputs)
    each_once(expand(files))  # what is not there is an error of the command, not of the data
    words = against if isinstance(against, str) else " ".join(against)
    respects = tuple(name for name in words.replace(",", " ").split() if name)
    if unknown := set(respects) - set(LEAKAGE):
        raise OptionsError(f"--against {sorted(unknown)[0]}: wanted some of {', '.join(LEAKAGE)}")
    if leakage and len(files) < 2:
        raise OptionsError("--leakage compares files: give two or more")
    return CheckResult(audit(files, leakage=leakage, report=report or silent), files, respects)
