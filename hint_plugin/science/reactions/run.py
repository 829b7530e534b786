"""What `hint reaction` and `hint reactions` do, as functions of the same names and options.

    from hint_plugin.science.reactions.run import reaction
    found = reaction("reactant.xyz", "product.xyz", "gfn2-xtb")
    found.reaction.barriers
    found.write("reaction")

Beside their own options, both take

- `potential`: what computes. The name of an engine (gfn2-xtb) or of a model that comes with HINT, the file of
  a model, a `PotentialSpec` (an engine with options), or an ASE calculator with `get_hessian`.
- `method`: of the search, sella, or reactbench and paper, which are pysisyphus's.
- `fmax`: eV/A, the largest force on an atom at a stationary point. `steps`: of an optimisation, at most.
- `guesses`: how many initial paths are tried (sella). The lowest saddle that connects both ends is kept.
- `device`, `charge`, `spin`: where a model runs; charge and multiplicity of molecules that state none. A
  calculator has its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase import Atoms

from hint_plugin.data.outputs import a_folder, as_path
from hint_plugin.data.provenance import of_structures, run_provenance
from hint_plugin.errors import InterruptedRunError
from hint_plugin.potentials.on_demand import OnDemand, PotentialSpec, origin
from hint_plugin.science.molecules.molecule_inputs import read_ends
from hint_plugin.science.reactions.one_reaction import Reaction, find_reaction
from hint_plugin.science.reactions.reaction_files import write_report
from hint_plugin.science.reactions.reaction_settings import GUESSES, ReactionSettings
from hint_plugin.science.reactions.run_many import ReactionsResult, reactions

__all__ = ["PotentialSpec", "ReactionResult", "ReactionsResult", "reaction", "reactions"]

Molecule = Atoms | str | Path


@dataclass(frozen=True)
class ReactionResult:
    """What was found between two molecules.

    Attributes:
        reaction: transition state, paths, ends, barriers, verdict; as far as they were reached.
        settings: how it was looked for.
        title: of figure and page.
        about: what goes with it: `provenance`.
    """

    reaction: Reaction
    settings: ReactionSettings
    title: str
    about: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without geometries."""
        return {**self.reaction.as_dict(self.settings), **self.about}

    def write(self, folder: str | Path) -> None:
        """See `write_report`; the folder is made."""
        write_report(Path(folder), self.reaction, self.settings, self.title, self.about)


def reaction(
    reactant: Molecule,
    product: Molecule,
    potential: Any,
    output: str | Path | None = None,
    *,
    method: str = "sella",
    fmax: float = 0.01,
    steps: int = 300,
    images: int = 17,
    guesses: int = GUESSES,
    temperature: float = 298.15,
    device: str = "cpu",
    charge: int = 0,
    spin: int | None = None,
    report: Callable[[str], Any] | None = None,
) -> ReactionResult:
    """The transition state between a reactant and a product, what it connects, barriers.

    Args:
        reactant: one molecule (or several, apart), as ASE atoms or a file.
        product: the same atoms in the same order.
        potential, method, fmax, steps, guesses, device, charge, spin: see
            `hint_plugin.science.reactions.run`.
        output: folder of the results, written as `hint reaction` does; None writes nothing.
        images: of the first path (sella).
        temperature: K, of Gibbs energies.
        report: told in words what is being done.

    Raises:
        HintError: files, options or packages with which nothing can be done. A search that does not get there
            is a result: `reaction.verdict`, `stage` and `failure` say how far it came.
    """
    folder = a_folder(as_path(output))
    given = [end if isinstance(end, Atoms) else Path(end) for end in (reactant, product)]
    ends = read_ends(*given)
    source = OnDemand.of(potential, device, charge, spin)
    calculator = source.calculator()
    settings = ReactionSettings(
        float(fmax), steps, images, guesses, temperature=float(temperature), method=method
    )
    with _stopped_at(report or _silent) as say:
        found = find_reaction(ends[0], ends[1], calculator, settings, say=say)
    about = run_provenance([end for end in given if isinstance(end, Path)], source.model, calculator)
    if in_memory := [end for end in given if isinstance(end, Atoms)]:
        about["data"].append(of_structures(in_memory))
    about.setdefault("engine", origin(calculator))
    names = [end.get_chemical_formula() if isinstance(end, Atoms) else end.stem for end in given]
    result = ReactionResult(found, settings, f"{names[0]} to {names[1]}:", {"provenance": about})
    if folder is not None:
        result.write(folder)
    return result


@contextmanager
def _stopped_at(report: Callable[[str], Any]) -> Iterator[Callable[[str], Any]]:
    """Who is told what is being done; Ctrl-C says at what, and that nothing is kept."""
    last = "the start"

    def say(text: str) -> None:
        nonlocal last
        last = text
        report(text)

    try:
        yield say
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"stopped at: {last}. A search that is stopped leaves no files; the same command begins anew"
        ) from None


def _silent(text: str) -> None:
    """Tells nobody."""
