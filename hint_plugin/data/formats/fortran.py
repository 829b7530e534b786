"""Numbers as Fortran writes them: without a space where one fills its width, with D, or an exponent alone."""

from __future__ import annotations

import re

_NUMBER = re.compile(
    r"\s*([+-]?(?:\d+\.\d*|\.\d+|\d+(?=[EeDdQq][+-]?\d|\s|$)))"
    r"(?:[EeDdQq]([+-]?\d+)|([+-]\d{3})(?![\d.]))?"
)


def glued_numbers(text: str) -> list[float]:
    """All numbers of a text that has nothing else: `1.0`, `-2.5E-03`, `.5D+00`, `1.234-100` (an exponent
    whose letter had no room), `0.1-0.2` (two, with no space between them).

    Raises:
        ValueError: something else is in the text, as the stars of a number that had no room.
    """
    found, place, end = [], 0, len(text.rstrip())
    while place < end:
        match = _NUMBER.match(text, place)
        if match is None:
            raise ValueError(f"{text[place : place + 20].strip()!r} is no number")
        exponent = match[2] or match[3]
        found.append(float(f"{match[1]}e{exponent}" if exponent else match[1]))
        place = match.end()
    return found
