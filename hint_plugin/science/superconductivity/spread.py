"""The same number from several sources: median and range, how many digits mean something, what moves it.

Trainings of one model, the matrices of an SSCHA and those of its free energy's Hessian, random numbers of the
populations, interpolations: none of them is an error of the other, and their differences are no statistics of
many. So the median and the range are given, and no standard deviation.

    decimals = -floor(log10((highest - lowest) / 2)),   at least as many as show the first digit of the median

is where the first uncertain digit stands: 15.7, 17.2 and 20.0 are "17, 16 to 20".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hint_plugin.errors import OptionsError


@dataclass(frozen=True)
class Spread:
    """Median and range of one quantity.

    Attributes:
        count: of numbers.
        median, lowest, highest: in the unit of the numbers.
        decimals: behind the point, to which the median is worth printing; negative: it is a multiple of 10,
            100, ... None: all numbers are the same, and nothing is known of their digits.
        digits: of the median that mean something, the first uncertain one included; 0: not even the first
            does. None as for `decimals`.
    """

    count: int
    median: float
    lowest: float
    highest: float
    decimals: int | None
    digits: int | None

    def in_words(self, unit: str = "") -> str:
        """ "17 K, 16 to 20 K", with the digits that mean something."""
        words = f" {unit}" if unit else ""
        if self.decimals is None:
            return f"{self.median:.4g}{words}, {self.count} times the same"
        middle, low, high = (_rounded(x, self.decimals) for x in (self.median, self.lowest, self.highest))
        return f"{middle}{words}, {low} to {high}{words}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dict(self.__dict__)


def spread_of(values: Sequence[float]) -> Spread | None:
    """Of two or more numbers; None of fewer, which have no spread.

    Raises:
        OptionsError: a number that is not finite.
    """
    numbers = np.asarray(values, dtype=float)
    if not np.isfinite(numbers).all():
        raise OptionsError(f"got {list(values)}; wanted finite numbers, of which a median can be taken")
    if numbers.size < 2:
        return None
    median, low, high = float(np.median(numbers)), float(numbers.min()), float(numbers.max())
    if high == low:
        return Spread(numbers.size, median, low, high, None, None)
    uncertain = -math.floor(math.log10((high - low) / 2))
    first = uncertain if median == 0 else -math.floor(math.log10(abs(median)))
    return Spread(numbers.size, median, low, high, max(uncertain, first), max(0, uncertain - first + 1))


@dataclass(frozen=True)
class Moved:
    """By how much a choice moves the quantity where everything else is the same.

    Attributes:
        typical: the median of the ranges, in the unit of the numbers.
        largest: of the ranges.
        count: of the comparisons, each of two or more numbers.
    """

    typical: float
    largest: float
    count: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dict(self.__dict__)


def moved_by(choices: Sequence[Mapping[str, str]], values: Sequence[float]) -> dict[str, Moved]:
    """For each choice: the range of the numbers that differ in it alone.

    Args:
        choices: of each number: choice -> what was chosen; all with the same keys.
        values: the numbers, in the same order.

    Returns:
        Choices of which no two numbers differ in that alone are left out: nothing is known of them.

    Raises:
        OptionsError: not as many numbers as choices, or keys that differ.
    """
    keys = list(choices[0]) if choices else []
    if len(choices) != len(values) or any(set(one) != set(keys) for one in choices):
        raise OptionsError(
            f"got {len(values)} numbers and {len(choices)} descriptions; wanted one description for each "
            "number, all of the same choices"
        )
    found = {}
    for key in keys:
        groups: dict[tuple[str, ...], list[float]] = {}
        for one, value in zip(choices, values, strict=True):
            groups.setdefault(tuple(one[other] for other in keys if other != key), []).append(value)
        ranges = [max(group) - min(group) for group in groups.values() if len(group) > 1]
        if ranges:
            found[key] = Moved(float(np.median(ranges)), max(ranges), len(ranges))
    return found


def _rounded(value: float, decimals: int) -> str:
    return f"{round(value, decimals) + 0.0:.{max(decimals, 0)}f}"
