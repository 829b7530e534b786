"""The folder of `hint reaction` as the start of a rate: refused where its saddle is not verified."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase import Atoms

from hint_plugin.data import read_frames
from hint_plugin.data.file_io import file_sha256
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.potentials.on_demand import PotentialSpec
from hint_plugin.potentials.registry import engine_names

NAMES = ("reactant", "transition_state", "product")
_AGAIN = "A rate needs a saddle whose path joins the reactant and the product"


@dataclass(frozen=True)
class ReactionFolder:
    """What `hint reaction` has left: `result` is reaction.json, `irc` the path, reactant's side first."""

    path: Path
    result: Mapping[str, Any]
    reactant: Atoms
    transition_state: Atoms
    product: Atoms
    irc: list[Atoms]

    @property
    def files(self) -> list[Path]:
        """All that was read."""
        return [self.path / name for name in ("reaction.json", *(f"{n}.xyz" for n in NAMES), "irc.xyz")]

    def remarks(self) -> list[str]:
        """What is weaker than it could be, although the saddle is verified."""
        verdicts, found = self.result.get("verdicts") or {}, []
        if verdicts.get("strict") is False:
            found.append(
                "the reactant or the product changed its bonds when it was optimised: the rates are those "
                "between the minima in the folder"
            )
        if verdicts.get("geometric") is False:
            found.append(
                "the path ends in other conformers than the reactant and the product of the folder (more "
                "than 0.15 A or 0.02 eV away): the rates count from the minima of the folder"
            )
        return found

    def potential(self) -> PotentialSpec:
        """What the folder was made with: its model, if the file is still the same one, or its engine.

        Raises:
            OptionsError: that is not known, or not there any more.
        """
        about = self.result.get("provenance") or _of_the_set(self.path)
        model, engine = about.get("model"), about.get("engine") or {}
        if model:
            path = Path(model["path"])
            if path.is_file() and file_sha256(path) == model["sha256"]:
                return PotentialSpec(model=path)
            raise OptionsError(
                f"{self.path} was made with the model {model['path']}, which is not there any more, or is "
                "another one now. Give --model FILE"
            )
        if engine.get("engine") in engine_names() and engine["engine"] not in ("model", "calculator"):
            return PotentialSpec(engine=engine["engine"], options=_options(engine))
        raise OptionsError(
            f"{self.path} does not say what it was made with in a way that can be opened again. Give --model "
            "FILE or --engine NAME"
        )


def read_reaction_folder(path: Path) -> ReactionFolder:
    """Read a folder, and refuse it unless its transition state joins its reactant and its product.

    Raises:
        DataError: it is no folder of `hint reaction`, files are missing, or the transition state is not
            verified.
    """
    result = _result(path)
    if reason := not_verified(result):
        raise DataError(
            f"{path}: the transition state is not verified: {reason}. {_AGAIN}: {_what_to_do(result)}"
        )
    frames = {name: _frames_of(path / f"{name}.xyz") for name in (*NAMES, "irc")}
    for name in NAMES:
        if len(frames[name]) != 1:
            raise DataError(f"{path / name}.xyz has {len(frames[name])} frames; wanted one")
    if len(frames["irc"]) < 3:
        raise DataError(f"{path / 'irc.xyz'} has {len(frames['irc'])} frames; wanted a path")
    reactant, saddle, product = (frames[name][0] for name in NAMES)
    for atoms in (saddle, product, frames["irc"][0]):
        if list(atoms.numbers) != list(reactant.numbers):
            raise DataError(f"{path}: its structures do not have the same atoms in the same order")
    return ReactionFolder(path, result, reactant, saddle, product, frames["irc"])


def _frames_of(file: Path) -> list[Atoms]:
    if not file.is_file():
        raise DataError(
            f"{file.parent} has no {file.name}, which hint reaction writes. Make the folder again"
        )
    return list(read_frames(file))


def not_verified(result: Mapping[str, Any]) -> str:
    """Why a saddle is none that joins reactant and product, by what is in reaction.json; "" if it is one."""
    verdict, stage = result.get("verdict"), result.get("stage")
    if verdict != "intended":
        about = f", stopped at {stage}: {result['failure']}" if result.get("failure") else ""
        return f"its verdict is {verdict!r}{about}; wanted 'intended'"
    if stage != "done":
        return f"the search stopped at {stage}"
    for name, doubt in (result.get("doubts") or {}).items():
        return f"the {'transition state' if name == 'ts' else name} means nothing ({doubt})"
    for name, kind in zip(("reactant", "product"), result.get("ends_are") or (), strict=False):
        if kind != "minimum":
            return f"the {name} is no minimum ({kind})"
    if result.get("ends_converged") != [True, True]:
        return "the ends of the path did not converge to minima"
    if len(result.get("imaginary") or ()) != 1:
        return f"it has {len(result.get('imaginary') or ())} imaginary modes; wanted one"
    return ""


def _result(path: Path) -> Mapping[str, Any]:
    file = path / "reaction.json"
    if not path.exists():
        raise DataError(f"{path} does not exist; wanted a folder of hint reaction")
    if not path.is_dir():
        raise DataError(f"{path} is a file; wanted a folder of hint reaction")
    if not file.is_file():
        other = ""
        if (path / "neb.json").is_file():
            other = " This one is of hint neb; give its ends to hint reaction"
        elif (path / "summary.json").is_file():
            other = " This one is of hint reactions; give one of the folders in it"
        raise DataError(f"{path} has no reaction.json; wanted a folder of hint reaction.{other}")
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{file} is no JSON ({error}); make the folder again with hint reaction") from error
    if not isinstance(found, dict) or "verdict" not in found:
        raise DataError(f"{file} has no verdict; wanted what hint reaction writes")
    return found


def _what_to_do(result: Mapping[str, Any]) -> str:
    if result.get("verdict") in ("unintended", "reactant unintended", "product unintended"):
        return "give hint reaction the ends of irc.xyz, or search again from other geometries"
    return "search again with hint reaction (other geometries, --method, --guesses, or another potential)"


def _of_the_set(path: Path) -> Mapping[str, Any]:
    """The provenance of a run of `hint reactions`, in whose folder this one lies; {} if it does not."""
    summary = path.resolve().parent / "summary.json"
    try:
        found = json.loads(summary.read_text(encoding="utf-8")).get("provenance")
    except (OSError, ValueError, AttributeError):
        return {}
    return found if isinstance(found, dict) else {}


def _options(engine: Mapping[str, Any]) -> dict[str, Any]:
    """Those settings of an engine that are its options."""
    import importlib
    from dataclasses import fields

    from hint_plugin.potentials.registry import ENGINES

    entry = ENGINES.get(engine["engine"])
    if entry is None:
        return {}
    module, _, name = entry.target.partition(":")
    known = {item.name for item in fields(getattr(importlib.import_module(module), name).Options)}
    skip = {"charge", "multiplicity"}  # of each structure: they are in the files
    return {key: value for key, value in engine.items() if key in known - skip and value is not None}
