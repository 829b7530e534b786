"""The questions, each a set of trainings: (what is compared, where on the axis, the training)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from protocol.runs import Training

#: MACE's own loss, evaluated by HINT's kernels like the others.
NONE = "--hint_kernels fast"
HUTCHINSON = "--loss hint_hutchinson"
WEIGHT = (10, 80)  #: of the Hessian, start and end, where all frames have one


@dataclass(frozen=True)
class Amount:
    """How much training.

    Attributes:
        steps: of a training on DFT labels.
        many: of a training on GFN2-xTB labels, of which there are more.
        pretraining: of the one that others start from.
        hessians: numbers of DFT Hessians, ascending; the last is all.
        few: part of the GFN2 frames that have a Hessian, for the curriculum.
        budgets: frames that may be chosen.
        seeds: of each training.
    """

    steps: int
    many: int
    pretraining: int
    hessians: tuple[int, ...]
    few: tuple[int, ...]
    budgets: tuple[int, ...]
    seeds: int


@dataclass(frozen=True)
class Point:
    """One place in a table or figure."""

    series: str
    x: float | str
    training: Training


def weights(labelled: int, frames: int, start: float | None = None) -> str:
    """The loss is a mean over the labelled structures of a batch: with few of them, less weight, down to a
    fifth."""
    share = max(0.2, labelled / frames)
    low, high = (round(share * weight, 3) for weight in WEIGHT)
    return (
        f"{HUTCHINSON} --hint_weight_start {low if start is None else start * high} --hint_weight_end {high}"
    )


def pretraining(amount: Amount) -> Training:
    """On all GFN2-xTB Hessians."""
    return Training("gfn2", options=HUTCHINSON, steps=amount.pretraining)


def efficiency(amount: Amount) -> Iterator[Point]:
    """Errors against the number of DFT Hessians; energies and forces of all DFT frames are always there."""
    every = amount.hessians[-1]
    for series, start in (("from nothing", ""), ("GFN2-xTB pre-training", pretraining(amount).folder())):
        for count in amount.hessians:
            base = Training("dft", steps=amount.steps, start=start)
            if count == 0:
                yield Point(series, 0, replace(base, hessians=0, options=NONE))
            elif count == every:
                yield Point(series, count, base)
            else:
                yield Point(series, count, replace(base, hessians=count, options=weights(count, every)))


PLAIN = "energies and forces"
#: name -> options of mace_run_train, change of the labels, times the steps
LOSSES = {
    PLAIN: (NONE, "", 1.0),
    "column, fresh": ("--loss hint_column", "", 1.0),
    "Hutchinson, K = 1, fresh": (HUTCHINSON, "", 1.0),
    "full, a tenth of the steps": ("--loss hint_full", "", 0.1),
}
#: Of training from nothing alone.
MORE_LOSSES = {
    "energies and forces, twice the steps": (NONE, "", 2.0),
    "column, fixed": (HUTCHINSON, "one fixed column", 1.0),
    "Hutchinson, K = 1, fixed": (HUTCHINSON, "one fixed probe", 1.0),
    "Hutchinson, K = 2, fixed": (HUTCHINSON, "two fixed probes", 1.0),
    "Hutchinson, K = 2, fresh": (f"{HUTCHINSON} --hint_probes 2", "", 1.0),
    "Hutchinson, K = 4, fresh": (f"{HUTCHINSON} --hint_probes 4", "", 1.0),
}


def ablation(amount: Amount) -> Iterator[Point]:
    """Kinds of the loss, on DFT labels, from nothing and after pre-training."""
    for series, start, losses in (
        ("from nothing", "", LOSSES | MORE_LOSSES),
        ("GFN2-xTB pre-training", pretraining(amount).folder(), LOSSES),
    ):
        for name, (options, change, times) in losses.items():
            yield Point(
                series,
                name,
                Training(
                    "dft",
                    hessians=0 if options == NONE else None,
                    change=change,
                    options=options,
                    start=start,
                    steps=round(times * amount.steps),
                ),
            )


def curriculum(amount: Amount, frames: int) -> Iterator[Point]:
    """A constant weight of the Hessian against one that grows, where few GFN2 frames have one."""
    for count in amount.few:
        for series, start in (("ramped", None), ("constant", 1.0)):
            training = Training(
                "gfn2", hessians=count, options=weights(count, frames, start), steps=amount.many
            )
            yield Point(series, count, training)


def sampling(amount: Amount) -> Iterator[Point]:
    """Which GFN2 frames are chosen, equal budgets; all that are chosen have a Hessian."""
    verbs = {
        "random": "random",
        "weighted local density": "wld -k 5",
        "highest energies": "energy --rank high",
    }
    for name, verb in verbs.items():
        for budget in amount.budgets:
            yield Point(name, budget, Training("gfn2", frames=budget, choice=verb, steps=amount.many))


def stationary(amount: Amount) -> Iterator[Point]:
    """Trained on minima alone, tested off them: energies; with forces; with Hessians (GFN2)."""
    base = Training("gfn2", hessians=0, source="minima", steps=amount.many)
    yield Point("minima only", "energies", replace(base, options=f"{NONE} --forces_weight 0"))
    yield Point("minima only", "energies and forces", replace(base, options=NONE))
    yield Point("minima only", "with Hessians", replace(base, hessians=None, options=HUTCHINSON))


def models(amount: Amount) -> Iterator[Point]:
    """AlphaNet and MACE on all GFN2 frames, with and without Hessians: they go on to `downstream`."""
    for model in ("AlphaNet", "MACE"):
        for name, options, hessians in (("E/F", NONE, 0), ("Hutchinson", HUTCHINSON, None)):
            yield Point(
                model, name,
                Training("gfn2", hessians=hessians, options=options, model=model, steps=amount.many),
            )  # fmt: skip


PARTS = {
    "efficiency": efficiency,
    "ablation": ablation,
    "curriculum": curriculum,
    "sampling": sampling,
    "stationary": stationary,
    "models": models,
}
