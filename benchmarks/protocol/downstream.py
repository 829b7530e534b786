"""What a trained model is worth where it is used: thermochemistry, paths, hot molecular dynamics.

GFN2-xTB, which the models have learnt, is the truth; the molecules are those of the held-out formulas.
"""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from _commands import run_warm

from hint_plugin.data import iter_frames, write_frames
from hint_plugin.data.file_io import write_json
from protocol.molecules import turned


def make_pairs(folder: Path, most: int) -> list[str]:
    """Names of pairs of geometries of the held-out molecules, a bond turned by 120 degrees between them."""
    target = folder / "pairs"
    if not (target / "pairs.json").exists():
        target.mkdir(exist_ok=True)
        names = []
        smallest_first = sorted(iter_frames(folder / "gfn2-rest.xyz"), key=len)
        pairs = filter(None, (turned(str(atoms.info["name"])) for atoms in smallest_first))
        for number, pair in enumerate(islice(pairs, most)):
            names.append(str(number))
            for end, one in zip(("first", "last"), pair, strict=True):
                write_frames(target / f"{number}-{end}.xyz", [one])
        write_json(target / "pairs.json", names)
    found: list[str] = json.loads((target / "pairs.json").read_text())
    return found


def path_of(pair: str, folder: Path, place: Path, engine: str) -> dict[str, float] | None:
    """Barriers both ways, eV; None where the band does not converge or an end cannot be relaxed."""
    target = place / f"neb-{pair}"
    if not (target / "neb.json").exists():
        ends = " ".join(str(folder / "pairs" / f"{pair}-{end}.xyz") for end in ("first", "last"))
        status = place / f"neb-{pair}.failed"
        if status.exists():
            return None
        try:
            run_warm(
                f"hint neb {ends} {engine} --images 7 --steps 100 --no-verify -o {target}",
                place,
                f"neb-{pair}.log",
                (0, 3),
            )
        except RuntimeError as error:
            status.write_text(str(error))
            return None
    result = json.loads((target / "neb.json").read_text())
    return dict(result["barriers"]) if result["converged"] else None


def downstream(
    row: dict[str, Any], folder: Path, wanted: dict[str, dict[str, float] | None], ps: float
) -> dict[str, Any]:
    """Of the model of a row: errors of thermochemistry and barriers, and how long molecules last.

    Args:
        wanted: the barriers of GFN2-xTB by the names of the pairs.
    """
    place = folder / "runs" / row["folder"]
    if not (place / "model.hint.pt").exists():
        run_warm("hint export model.model -o model.hint.pt", place, "export.log")
    if not (place / "thermo" / "compare-thermo.json").exists():
        rest = folder / "gfn2-rest.xyz"
        run_warm(f"hint compare-thermo {rest} --model model.hint.pt -o thermo", place, "thermo.log", (0, 3))
    thermo = json.loads((place / "thermo" / "compare-thermo.json").read_text())["mean_absolute_errors"]
    errors = []
    for pair, barriers in wanted.items():
        if barriers is not None:
            found = path_of(pair, folder, place, "--model model.hint.pt")
            errors.append(None if found is None else abs(found["forward"] - barriers["forward"]))
    done = [e for e in errors if e is not None]
    return {
        **{key: row[key] for key in ("folder", "model", "options", "seed", "hessian_mae", "frequencies_mae")},
        "thermo": {f"{r['kind']}, {r['where']}": r for r in thermo},
        "paths": [len(done), len(errors)],
        "barriers_mae": float(np.mean(done)) if done else None,
        **hot(place, "model.hint.pt", folder, ps),
    }


def teacher(folder: Path, ps: float) -> dict[str, Any]:
    """The row of GFN2-xTB itself, which has no errors: whether its own molecules last."""
    return {"thermo": {}, "barriers_mae": None, **hot(folder / "pairs", "gfn2-xtb", folder, ps)}


def hot(place: Path, model: str, folder: Path, ps: float) -> dict[str, Any]:
    """How long the molecules last: the mean over them, how many to the end, of how many."""
    if not (place / "md.json").exists():
        start = folder / "gfn2-rest.xyz"
        run_warm(f"protocol.hot_md:main {model} {start} -o md.json --ps {ps}", place, "md.log")
    lasted = [m["ps"] for m in json.loads((place / "md.json").read_text())["molecules"]]
    return {
        "md_ps": float(np.mean(lasted)),
        "md_whole": sum(value >= ps for value in lasted),
        "md_molecules": len(lasted),
    }
