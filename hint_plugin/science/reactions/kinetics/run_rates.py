"""What `hint rates` does, as a function of the same name and options.

from hint_plugin.science.reactions.kinetics import rates
found = rates("reaction", temperature="300:500:50", isotopes=["0=D"])
found.channels[0]["rows"]
found.write("rates")
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hint_plugin.data.outputs import a_folder, as_path
from hint_plugin.data.provenance import run_provenance
from hint_plugin.errors import OptionsError
from hint_plugin.potentials.on_demand import OnDemand, origin
from hint_plugin.science.reactions.kinetics.channel import TUNNELLING
from hint_plugin.science.reactions.kinetics.following import POINTS, STEP
from hint_plugin.science.reactions.kinetics.found_reaction import FoundReaction, Paths, has_hessian
from hint_plugin.science.reactions.kinetics.isotopes import Isotopologue
from hint_plugin.science.reactions.kinetics.model_errors import model_error
from hint_plugin.science.reactions.kinetics.rate_tables import channel_table, path_table
from hint_plugin.science.reactions.kinetics.rates_result import Rates
from hint_plugin.science.reactions.kinetics.reaction_folder import ReactionFolder, read_reaction_folder

__all__ = ["Rates", "rates"]

TEMPERATURES = "250,275,298.15,325,350,400,450,500"


def rates(
    folder: str | Path,
    potential: Any = None,
    output: str | Path | None = None,
    *,
    temperature: str | Sequence[float] = TEMPERATURES,
    isotopes: Sequence[str] = (),
    tunnelling: str | Sequence[str] = ",".join(TUNNELLING),
    variational: bool = True,
    step: float = STEP,
    points: int = POINTS,
    scale: float = 1.0,
    device: str = "cpu",
    charge: int = 0,
    spin: int | None = None,
    report: Callable[[str], Any] | None = None,
) -> Rates:
    """Rate constants, their Arrhenius fit and kinetic isotope effects of a reaction that was found before.

    Args:
        folder: of `hint reaction`; its transition state must be verified (verdict "intended").
        potential: as for `reaction`; None: what the folder was made with. Where the three structures of the
            folder have Hessians (`hint hessian`), and no potential is given, these count, and nothing is
            computed: then there is no variational theory and no tunnelling along the path.
        output: folder of the results, written as `hint rates` does; None writes nothing.
        temperature: K: numbers, or a text of them: "300,400", "250:500:25" (first, last, step).
        isotopes: isotopologues, each as `Isotopologue.parse` reads it: "0=D", "4,5=13C 0=D", "H=D".
        tunnelling: of wigner, eckart, sct; a text with commas, or several; "none".
        variational: vary the dividing surface along the path.
        step, points: of the path that is followed for these two: A amu^(1/2); Hessians on each side.
        scale: factor on all frequencies.
        device, charge, spin: see `hint_plugin.science.reactions.run`.
        report: told in words what is being done.

    Raises:
        DataError: no folder of `hint reaction`; a transition state that is not verified, or that this
            potential does not have; structures that are not stationary.
        OptionsError: temperatures, isotopes or methods that cannot be; no potential.
        Whatever the potential raises.
    """
    place = a_folder(as_path(output))
    say = report or _silent
    kelvin, methods = temperatures_of(temperature), methods_of(tunnelling)
    _check(step, points, scale)
    found = read_reaction_folder(Path(folder))
    labelled = [
        Isotopologue.parse(text, found.reactant)
        for text in ([isotopes] if isinstance(isotopes, str) else isotopes)
    ]
    source = _source(found, potential, device, charge, spin)
    run = FoundReaction(found, source, charge, spin, scale, say)
    ends = run.stationary_points()
    paths = Paths(run, ends[1], step, points, wanted=variational or "sct" in methods)
    path = paths.of(ends[1].atoms.get_masses())
    channels = run.channels(ends, path, methods, variational)
    result = Rates(found.path.name or str(found.path), [], run.remarks)
    for channel in channels:
        say(f"rates: {channel.name}")
        result.channels.append(channel_table(channel, kelvin, labelled, paths))
    result.path = path_table(channels[0])
    result.verified = {key: found.result.get(key) for key in ("verdict", "verdicts", "imaginary", "barriers")}
    about = origin(source.calculator()) if source else (found.result.get("provenance") or {}).get("engine")
    method = str((about or {}).get("method", "the potential"))
    near = min(kelvin, key=lambda t: abs(t - 298.15))
    result.error = model_error(source.model if source else None, method, len(found.reactant), near)
    result.remarks += [text for text in paths.notes if text not in result.remarks]
    result.about = {"provenance": _provenance(found, source)}
    if place is not None:
        result.write(place)
    return result


def temperatures_of(given: str | Sequence[float]) -> list[float]:
    """K, ascending: numbers, "300,400", "250:500:25" or both with commas.

    Raises:
        OptionsError: no numbers, or one that is not above 0.
    """
    found: list[float] = []
    try:
        for part in given.split(",") if isinstance(given, str) else given:
            if isinstance(part, str) and ":" in part:
                first, last, width = (float(word) for word in part.split(":"))
                if not (width > 0 and last >= first):
                    raise ValueError
                found += [first + k * width for k in range(int((last - first) / width + 1e-9) + 1)]
            else:
                found.append(float(part))
    except (ValueError, TypeError):
        raise OptionsError(
            f"got the temperatures {given!r}; wanted K with commas, or first:last:step, as in '300,400' or "
            "'250:500:25'"
        ) from None
    if not found or not all(0 < t < np.inf for t in found):
        raise OptionsError(f"got the temperatures {given!r}; wanted at least one, and all above 0 K")
    return sorted(set(found))


def methods_of(given: str | Sequence[str]) -> tuple[str, ...]:
    """Methods of tunnelling.

    Raises:
        OptionsError: an unknown one.
    """
    words = re.split(r"[,\s]+", given.strip()) if isinstance(given, str) else list(given)
    words = [word.lower() for word in words if word]
    unknown = [word for word in words if word not in (*TUNNELLING, "none")]
    if unknown or (words != ["none"] and "none" in words):
        raise OptionsError(f"got the tunnelling {given!r}; wanted some of {', '.join(TUNNELLING)}, or none")
    return tuple(word for word in TUNNELLING if word in words)


def _check(step: float, points: int, scale: float) -> None:
    if not 0 < step <= 1 or points < 1 or not 0.1 <= scale <= 10:
        raise OptionsError(
            f"got a step of {step} A amu^1/2, {points} points and a scale of {scale}; wanted a step above 0 "
            "and up to 1, at least one point, and a scale between 0.1 and 10"
        )


def _source(
    folder: ReactionFolder, potential: Any, device: str, charge: int, spin: int | None
) -> OnDemand | None:
    """What computes; None: the Hessians are in the folder."""
    if potential is None:
        if all(map(has_hessian, (folder.reactant, folder.transition_state, folder.product))):
            return None
        potential = folder.potential()
    return OnDemand.of(potential, device, charge, spin)


def _provenance(folder: ReactionFolder, source: OnDemand | None) -> dict[str, Any]:
    calculator = None if source is None else source.calculator()
    about = run_provenance(folder.files, source.model if source else None, calculator, alone=folder.files)
    if calculator is not None:
        about.setdefault("engine", origin(calculator))
    return about


def _silent(text: str) -> None:
    """Tells nobody."""
