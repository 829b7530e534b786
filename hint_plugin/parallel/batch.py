"""Results of a run over many structures, and why some have none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NO_MATTER = ("inputs", "output", "potential", "jobs", "parsl", "restart", "report")
"""Arguments of a run that results do not depend on; and what counts by its content, inputs and potential."""


@dataclass(frozen=True)
class Batch:
    """Results of many structures, and why some have none.

    Attributes:
        results: rows for the JSON, in input order.
        failures: name, formula, error and kind of those that have none.
        done: (structure of the input, its row, what else the work has left) for each row.
        about: what goes with the results: `provenance`.
    """

    results: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    done: list[tuple[Any, dict[str, Any], dict[str, Any]]] = field(default_factory=list, repr=False)
    about: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON, `about` first."""
        return self.about | {"results": self.results, "failures": self.failures}

    def add(self, name: str, atoms: Any, record: dict[str, Any]) -> None:
        """What `parallel.go_over` says of one structure."""
        about = {"name": name, "formula": atoms.get_chemical_formula()}
        if "error" in record:
            self.failures.append(about | record)
            return
        self.results.append(about | record["row"])
        self.done.append((atoms, self.results[-1], record["kept"]))


def asked_for(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The `locals()` with which a function of a verb begins, as options that results depend on."""
    return {name.replace("_", "-"): value for name, value in arguments.items() if name not in NO_MATTER}
