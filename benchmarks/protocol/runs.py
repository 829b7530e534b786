"""What a training of the study is, and what all have in common."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

BATCH = 8
COMMON = (
    f"--r_max 5.0 --batch_size {BATCH} --valid_batch_size 32 --scheduler ExponentialLR --energy_weight 10 "
    "--forces_weight 100 --ema --ema_decay 0.99 --default_dtype float32 --error_table PerAtomMAE --plot False"
)
QUANTITIES = ("energy", "forces", "hessian", "eigenvalues", "frequencies")
#: Errors, and the sizes of what they are errors of; energies also after the best shift of the elements'.
METRICS = (
    *(f"{name}_mae" for name in QUANTITIES),
    "energy_shifted_mae",
    *(f"{name}_size" for name in QUANTITIES),
)
TUNING_RATE = 0.4  #: times the learning rate, of a training that starts from a trained model
DECAY = 0.05  #: learning rate at the end, relative to that at the start


@dataclass(frozen=True)
class Training:
    """One training by stock ``mace_run_train`` and its errors on the molecules that were held out.

    Attributes:
        truth: whose labels: gfn2 or dft.
        hessians: how many frames have one: None all, 0 none.
        choice: how those are chosen: a verb of `hint sample` with its options.
        frames: of the training set; None all. Chosen by the same verb, when it is given.
        change: of the labels: see `data.CHANGES`.
        options: of ``mace_run_train``.
        start: name of the trained model to start from, or "".
    """

    truth: str
    hessians: int | None = None
    choice: str = "random"
    frames: int | None = None
    change: str = ""
    options: str = "--loss hint_hutchinson"
    start: str = ""
    model: str = "AlphaNet"
    steps: int = 600
    source: str = "train"
    seed: int = 1

    def folder(self) -> str:
        """A name of its own: readable, and different for whatever is different."""
        words = json.dumps(asdict(self), sort_keys=True)
        digest = hashlib.sha256(words.encode()).hexdigest()[:8]
        loss = self.options.split()[1].removeprefix("hint_") if "--loss" in self.options else "ef"
        return f"{self.truth}-{loss}-{self.seed}-{digest}"
