"""How sure a success rate is, and whether two models differ on the same reactions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

STAGES = ("ends optimised", "transition state", "path followed", "intended", "intended, bonds kept")
"""What a reaction has to pass, in order. The last is the strict count: optimising kept the inputs' bonds."""


def wilson(successes: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """Interval of a rate, 95 % for z = 1.96 (E. B. Wilson, J. Am. Stat. Assoc. 22, 209 (1927)).

    It contains successes / total, also in floating point.

    (p + z^2/2n +- z sqrt(p(1 - p)/n + z^2/4n^2)) / (1 + z^2/n)
    """
    if total == 0:
        return 0.0, 1.0
    p, spread = successes / total, z * z / total
    middle = p + 0.5 * spread
    half = z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    low, high = (middle - half) / (1 + spread), (middle + half) / (1 + spread)
    # k/n lies inside; the rounding of the sums would put it outside for some k = 0 and k = n
    return max(0.0, min(low, p)), min(1.0, max(high, p))


def passed(result: Mapping[str, object]) -> int:
    """How many of `STAGES` a reaction has passed, from its reaction.json."""
    if result["stage"] in ("input", "reactant", "product"):
        return 0
    if not result.get("barriers"):
        return 1
    if result["stage"] != "done":
        return 2
    if result["verdict"] != "intended":
        return 3
    kept = result["relaxed_ends_keep_bonds"]
    return 5 if isinstance(kept, Sequence) and all(kept) else 4


def funnel(results: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """For each stage how many of all reactions have passed it, with the interval of the rate."""
    reached = [passed(result) for result in results]
    rows: list[dict[str, object]] = []
    for k, stage in enumerate(STAGES, start=1):
        count = sum(number >= k for number in reached)
        low, high = wilson(count, len(reached))
        rate = count / len(reached) if reached else 0.0
        rows.append(
            {"stage": stage, "count": count, "total": len(reached), "rate": rate, "low": low, "high": high}
        )
    return rows


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact p of McNemar's test: could the discordant pairs be a fair coin's?

    Q. McNemar, Psychometrika 12, 153 (1947); exact by the binomial distribution.
    """
    from scipy.stats import binomtest

    total = only_first + only_second
    return 1.0 if total == 0 else float(binomtest(only_first, total, 0.5).pvalue)
