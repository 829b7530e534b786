"""How many frames are chosen, and how many of them get a Hessian."""

from __future__ import annotations

from hint_plugin.errors import OptionsError


def chosen_count(n: int | None, fraction: float | None, frames: int) -> int:
    """Frames to choose, from `-n` or `--fraction`.

    Raises:
        OptionsError: none or both are given, or more are wanted than there are.
    """
    if (n is None) == (fraction is None):
        raise OptionsError("say how many: -n N or --fraction F, one of the two")
    if fraction is not None:
        if not 0 < fraction <= 1:
            raise OptionsError(f"fraction {fraction}; wanted more than 0, at most 1")
        n = max(1, round(fraction * frames))
    assert n is not None
    if n < 1:
        raise OptionsError(f"-n {n}; wanted at least 1")
    if n > frames:
        raise OptionsError(f"-n {n}: there are {frames} frames to choose from")
    return n


def hessian_count(wanted: str, chosen: int) -> int:
    """Hessians among the chosen: "all", a number ("20", "0"), a fraction ("0.1", "1.0") or "10%".

    A fraction above 0 gives one Hessian at least.

    Raises:
        OptionsError: it is none of these, or more than the chosen.
    """
    text = wanted.strip()
    if text == "all":
        return chosen
    try:
        if text.endswith("%"):
            part = float(text[:-1]) / 100
        elif text.lstrip("+-").isdigit():
            count = int(text)
            if not 0 <= count <= chosen:
                raise OptionsError(f"--hessians {wanted}: wanted 0 to {chosen}, the number of chosen frames")
            return count
        else:
            part = float(text)
    except ValueError:
        raise OptionsError(
            f"--hessians {wanted}: wanted all, a number (20), a fraction (0.1) or 10%"
        ) from None
    if not 0 <= part <= 1:
        raise OptionsError(f"--hessians {wanted}: a fraction is from 0 to 1 (0% to 100%)")
    return max(1, round(part * chosen)) if part > 0 else 0
