"""Whether the top of a band joins its ends: to the saddle itself, and down the reaction path on both sides.

A climbing image stops on a first-order saddle, which need not be the one between the two ends: on a path over
two barriers it is the higher one, and a minimum lies between.
"""

from __future__ import annotations

from typing import Any

from hint_plugin.errors import HintError
from hint_plugin.science.molecules import Stationary, optimize
from hint_plugin.science.molecules.alignment import rmsd
from hint_plugin.science.molecules.optimization import with_all_modes
from hint_plugin.science.reactions.limits import BROKEN_NUMBERS
from hint_plugin.science.reactions.methods.sella import Sella
from hint_plugin.science.reactions.neb import Band
from hint_plugin.science.reactions.one_reaction import Reaction, connect
from hint_plugin.science.reactions.reaction_settings import ReactionSettings, Say

_NEAR, _NEAR_ENERGY = 0.3, 0.05  # A, eV: how far the saddle may be from the highest image


def follow_top(
    band: Band, calculator: Any, settings: ReactionSettings, say: Say = lambda text: None
) -> Reaction:
    """From the highest image to the saddle, and from there to the minima on both sides.

    Args:
        band: converged.
        calculator: of ASE, with `get_hessian`.
        settings: of optimisations and of the reaction path.
        say: told what is being done.

    Returns:
        As `find_reaction`; `reactant` and `product` are the optimised ends of the band. What fails is in it.

    Raises:
        MissingDependencyError: Sella is not installed.
    """
    Sella.check()
    found = Reaction(inputs=(band.images[0], band.images[-1]), stage="top")
    try:
        if not band.has_barrier:
            found.fail("the highest point of the path is one of its ends: there is no barrier to follow")
            return found
        found.reactant, found.product = (
            _stationary(band, k, calculator, settings, say) for k in (0, len(band.images) - 1)
        )
        saddle = _stationary(band, band.top, calculator, settings, say, saddle=True)
        found.stage = "transition state"
        far = rmsd(band.images[band.top], saddle.atoms)
        if saddle.kind != "transition state":
            found.fail(f"the search for the saddle from the highest image ended: {saddle.kind}")
        elif far > _NEAR or abs(saddle.energy - band.energies[band.top]) > _NEAR_ENERGY:
            found.fail(
                f"the saddle next to the highest image is {far:.2f} A and "
                f"{saddle.energy - band.energies[band.top]:+.2f} eV from it"
            )
        else:
            found.saddle = saddle
            with Sella(calculator, settings, say) as method:
                connect(found, method, calculator, settings, say)
    except (HintError, *BROKEN_NUMBERS) as error:
        found.fail(str(error))
    return found


def _stationary(
    band: Band, number: int, calculator: Any, settings: ReactionSettings, say: Say, saddle: bool = False
) -> Stationary:
    start = band.images[number].copy()
    start.calc = calculator
    found = optimize(
        start,
        saddle=saddle,
        fmax=settings.fmax,
        steps=settings.steps,
        report=lambda step, energy, force: say(f"image {number}: step {step}, {force:.3f} eV/A"),
    )
    return with_all_modes(found)


def connection(found: Reaction) -> dict[str, Any]:
    """What `follow_top` has found, for JSON: `joins` says whether both ends of the band are reached.

    That is so where the minima on both sides of the saddle are the optimised ends: the same geometry (0.15 A,
    atoms of an element may change places) and energy (0.02 eV). `verdict` is about bonds alone.
    """
    result: dict[str, Any] = {
        "joins": found.verdicts["geometric"] is True,
        "verdict": found.verdict,
        "failure": found.failure,
        "barriers": found.barriers,
    }
    if found.saddle is not None and found.saddle.modes is not None:
        result["imaginary"] = found.saddle.modes.imaginary.tolist()
    if found.ends is not None and found.reactant is not None and found.product is not None:
        zero = found.reactant.energy
        ends = zip(found.ends, (found.reactant, found.product), strict=True)
        result["ends"] = [
            {
                "kind": end.kind,
                "energy": end.energy - zero,
                "energy_of_the_band": wanted.energy - zero,
                "rmsd": rmsd(wanted.atoms, end.atoms, permute=True),
            }
            for end, wanted in ends
        ]
    return result
