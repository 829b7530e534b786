"""Trained models that come with the package: for each NAME, three files beside this one.

NAME.hint.pt: the artifact, for every verb, LAMMPS, i-PI. NAME.model: the checkpoint that ``mace_run_train
--foundation_model`` starts from. NAME.json: the card, what it was trained on, its errors and its limits.
`benchmarks/ready_model.py` makes them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hint_plugin.errors import OptionsError

FOLDER = Path(__file__).parent
ARTIFACT, CHECKPOINT, CARD = ".hint.pt", ".model", ".json"


def names() -> list[str]:
    """Of the models that are there."""
    return sorted(path.name.removesuffix(CARD) for path in FOLDER.glob(f"*{CARD}"))


def card(name: str) -> dict[str, Any]:
    """What a model says about itself.

    Raises:
        OptionsError: no such model.
    """
    found: dict[str, Any] = json.loads(path_of(name, CARD).read_text(encoding="utf-8"))
    return found


def path_of(name: str, kind: str = ARTIFACT) -> Path:
    """Of the artifact, the checkpoint or the card.

    Raises:
        OptionsError: no such model.
    """
    if name not in names():
        raise OptionsError(f"no model {name} comes with HINT; there is: {', '.join(names())}")
    return FOLDER / f"{name}{kind}"


def or_path(model: Path, kind: str = ARTIFACT) -> Path:
    """The artifact (or another `kind` of file) of a model's name.

    A file of that name comes first; anything else stays as it is.

    Raises:
        OptionsError: a single word that is neither a file nor the name of a model.
    """
    if model.exists():
        return model
    name, there = str(model), names()
    if name in there:
        return path_of(name, kind)
    if not model.suffix and len(model.parts) == 1:
        raise OptionsError(
            f"no file {name}, and no model of that name comes with HINT; there is: {', '.join(there)}"
        )
    return model
