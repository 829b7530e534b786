"""Make the trained model that comes with HINT: GFN2-xTB of small HCNO molecules and their reactions.

    python benchmarks/ready_model.py -o ready-out [--size tiny|small] [--jobs 2] [--device cpu] [--install]

Data: the molecules of `protocol_study.py` with one heavy atom more, displaced, and paths between isomers;
elementary reactions of `reaction_study.py`, images of their geodesic paths. All have GFN2-xTB energies,
forces and Hessians. Formulas of molecules, and reactions, are held out whole. Training: a small AlphaNet by
`mace_run_train --loss hint_hutchinson`. Writes the artifact, the checkpoint and the card (errors on what
was held out) to the output folder; `--install` puts them into hint_plugin/pretrained, and the card into
docs/ready-model.md. What is done is not done again. small: about two hours on two cores. Needs `pip install
rdkit` besides the extras mace and label.
"""

from __future__ import annotations

import datetime
import json
import random
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from typing import Any

import numpy as np
from _commands import run_warm, study_parser
from _reaction_set import candidates
from ase import Atoms
from protocol.data import Amounts, label, make_data
from protocol.molecules import displaced, geodesic
from protocol.parts import HUTCHINSON
from protocol.report import put_blocks
from protocol.runs import METRICS, Training
from protocol.training import train

from hint_plugin import pretrained
from hint_plugin.cli.verbs.model import as_text
from hint_plugin.data import iter_frames, write_frames
from hint_plugin.data.file_io import file_sha256, write_json
from hint_plugin.data.provenance import provenance

NAME = "alphanet-gfn2"
PAGE = Path(__file__).parents[1] / "docs" / "ready-model.md"
IMAGES = 8  # of a reaction
LARGEST = 25.0  # eV/A: frames with a larger force are left out


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    molecules: Amounts
    reactions: int
    steps: int


SIZES = {
    "tiny": Size(Amounts(3, copies=1, paths=1, images=2, test=8, dft=0, dft_atoms=0), 4, 30),
    "small": Size(Amounts(4, copies=4, paths=60, images=5, test=200, dft=0, dft_atoms=0), 240, 20000),
}


def make_reactions(folder: Path, count: int, jobs: int) -> None:
    """gfn2-reactions-{train,test}.xyz: one reaction in eight is held out."""
    if not (folder / "geometries-reactions-train.xyz").exists():
        found = [path_of_reaction(name, *pair) for name, *pair in candidates(count, seed=0)]
        random.Random(0).shuffle(found)
        held_out = max(1, len(found) // 8)
        for name, some in (("test", found[:held_out]), ("train", found[held_out:])):
            write_frames(folder / f"geometries-reactions-{name}.xyz", [a for path in some for a in path])
    for name in ("test", "train"):
        source = f"reactions-{name}.xyz"
        label(folder, f"geometries-{source}", f"gfn2-{source}", "gfn2-xtb", jobs)


def path_of_reaction(name: str, reactant: Atoms, product: Atoms) -> list[Atoms]:
    """Displaced images of the geodesic path."""
    reactant.info["name"] = product.info["name"] = name
    return displaced(geodesic(reactant, product, IMAGES), 1, (0.04,), seed=len(reactant))


def join(folder: Path) -> Path:
    """A folder with both kinds of data as the study wants them."""
    target = folder / "all"
    target.mkdir(exist_ok=True)
    files = {"train": ("train", "reactions-train"), "valid": ("valid",), "test": ("test",),
             "reactions-test": ("reactions-test",)}  # fmt: skip
    for name, parts in files.items():
        if not (target / f"gfn2-{name}.xyz").exists():
            frames = [a for part in parts for a in _calm(folder / f"gfn2-{part}.xyz")]
            random.Random(1).shuffle(frames)
            write_frames(target / f"gfn2-{name}.xyz", frames)
    return target


def _calm(path: Path) -> Iterable[Atoms]:
    return (a for a in iter_frames(path) if np.abs(a.arrays["REF_forces"]).max() < LARGEST)


def card(row: dict[str, Any], folder: Path, target: Path) -> dict[str, Any]:
    """What the model is, from the row of its training."""
    frames = list(iter_frames(folder / "all" / "gfn2-train.xyz"))
    reactions = sum(1 for _ in _calm(folder / "gfn2-reactions-train.xyz"))
    test = folder / "all" / "gfn2-reactions-test.xyz"
    run_warm(f"hint evaluate {target / NAME}.hint.pt {test} -o reactions --no-plots", folder, "reactions.log")
    on_reactions = json.loads((folder / "reactions" / "metrics.json").read_text())["metrics"]
    return {
        "name": NAME,
        "made_for": "small molecules of H C N O",
        "elements": ["H", "C", "N", "O"],
        "level": "GFN2-xTB",
        "architecture": "AlphaNet, size small, cutoff 5 A",
        "training": {
            "frames": len(frames),
            "of_paths_of_reactions": reactions,
            "hessians": row["hessian_labels"],
            "formulas": len({a.get_chemical_formula() for a in frames}),
            "atoms": [min(map(len, frames)), max(map(len, frames))],
            "steps": row["steps"],
            "minutes": round(row["seconds"] / 60),
            "loss": row["options"],
        },
        "errors": {"of": "displaced molecules and paths of formulas not trained on", **_few(row)},
        "errors_on_reactions": {"of": "geodesic paths of reactions not trained on", **_few(on_reactions)},
        "limits": (
            "Neutral closed shells of H, C, N, O with up to four heavy atoms near their minima or on the way "
            "to an isomer; larger ones, ions, radicals, condensed phases are extrapolation. "
            "Frames with a force above 25 eV/A were left out: where atoms come much nearer than a bond, "
            "numbers are without meaning. Energies are GFN2-xTB's, whose own errors against DFT come on top. "
            "For real work: fine-tune on the level wanted."
        ),
        "licence": "MIT, as HINT's",
        "made_by": "python benchmarks/ready_model.py",
        "date": datetime.date.today().isoformat(),
        "versions": provenance(None, [])["versions"],
        "sha256": {
            suffix: file_sha256(target / f"{NAME}{suffix}")
            for suffix in (pretrained.ARTIFACT, pretrained.CHECKPOINT)
        },
    }


def _few(metrics: dict[str, Any]) -> dict[str, float]:
    return {name: float(f"{metrics[name]:.4g}") for name in METRICS}


def main() -> None:
    """Command line."""
    parser = study_parser(__doc__, "ready-out", SIZES)
    parser.add_argument("--device", default="cpu", help="of the training")
    parser.add_argument("--steps", type=int, help="of the training, if not those of the size")
    parser.add_argument("--install", action="store_true", help="into hint_plugin/pretrained")
    options = parser.parse_args()
    size, folder = SIZES[options.size], (options.output / options.size).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    make_data(folder, size.molecules, options.jobs)
    make_reactions(folder, size.reactions, options.jobs)
    data = join(folder)
    print(f"data: {data}", flush=True)
    training = Training("gfn2", options=HUTCHINSON, steps=options.steps or size.steps)
    row = train(training, data, options.device)
    shutil.copy(data / "runs" / row["folder"] / "model.model", folder / f"{NAME}.model")
    known = data / "gfn2-train.xyz"
    run_warm(f"hint export {NAME}.model -o {NAME}.hint.pt --training-set {known}", folder, "export.log")
    write_json(folder / f"{NAME}.json", card(row, folder, folder))
    if options.install:
        for suffix in (pretrained.ARTIFACT, pretrained.CHECKPOINT, pretrained.CARD):
            shutil.copy(folder / f"{NAME}{suffix}", pretrained.FOLDER)
        put_blocks(PAGE, {"card": indent(as_text(pretrained.card(NAME)), "    ")})
    print((folder / f"{NAME}.json").read_text())


if __name__ == "__main__":
    main()
