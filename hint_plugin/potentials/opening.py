"""`open_potential`: whatever computes, by one name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ase.calculators.calculator import BaseCalculator

from hint_plugin.errors import OptionsError
from hint_plugin.potentials.calculator_potential import as_potential
from hint_plugin.potentials.checkpoints import load_trained
from hint_plugin.potentials.engine_potential import EnginePotential
from hint_plugin.potentials.potential import Potential
from hint_plugin.potentials.registry import engine_names, make_engine
from hint_plugin.pretrained import names
from hint_plugin.settings import did_you_mean


def open_potential(what: str | Path | Potential | BaseCalculator, **options: Any) -> Potential:
    """A potential of a name, a file, or an ASE calculator.

        open_potential("alphanet-gfn2")                        # a trained model that comes with HINT
        open_potential("model.hint.pt", device="cuda")         # an artifact of `hint export`
        open_potential("x.model", head="default")              # MACE's, or .ckpt and .nequip.zip of NequIP
        open_potential("gfn2-xtb", charge=1, multiplicity=2)   # an engine of `hint label --list-engines`
        open_potential("pyscf", xc="wb97x", basis="6-31g*")
        open_potential(EMT())                                  # anybody's calculator

    Args:
        what: an engine's name wins over a file of that name; write ./NAME for the file.
        options: of a trained model `device`, `dtype`, `head`, `batch_size`; of an engine its own
            (`hint label --list-engines`). A calculator takes none.

    Returns:
        the potential; `HintCalculator(potential)` is it for ASE.

    Raises:
        OptionsError: no such name or file, or options that it does not have.
        DataError, UnknownVersionError, MissingDependencyError: the file or the engine cannot be loaded.
    """
    if not isinstance(what, str | Path):
        if options:
            raise OptionsError(f"{type(what).__name__} is open already: it takes no {', '.join(options)}")
        return what if isinstance(what, Potential) else as_potential(what)
    name = str(what)
    if name in engine_names() and isinstance(what, str):
        return EnginePotential(make_engine(name, **options))
    if name in names() or Path(what).exists():
        takes = ("device", "dtype", "head", "batch_size")
        unknown = sorted(set(options) - set(takes))
        if unknown:
            raise OptionsError(
                f"{name} is a trained model, which has no option {unknown[0]!r}; it takes device, dtype, "
                f"head and batch_size.{did_you_mean(unknown[0], takes)} "
                "It sees elements and positions alone: charge and spin need an engine"
            )
        return load_trained(Path(what), **options)
    known = [*names(), *engine_names()]
    raise OptionsError(
        f"{name!r} is no file, no model that comes with HINT ({', '.join(names())}) and no engine "
        f"({', '.join(engine_names())}).{did_you_mean(name, known)}"
    )
