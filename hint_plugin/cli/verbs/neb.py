"""`hint neb R.xyz P.xyz -o DIR`: a climbing-image nudged elastic band."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hint_plugin.cli.app import EXIT_SOME_FAILED
from hint_plugin.cli.support.batch import options_of
from hint_plugin.cli.support.potential_options import (
    Charge,
    Device,
    Engine,
    EngineOption,
    Folder,
    Json,
    Model,
    Product,
    Reactant,
    Spin,
)
from hint_plugin.cli.support.run_options import Restart

if TYPE_CHECKING:
    from hint_plugin.parallel.journal import Journal
    from hint_plugin.potentials.on_demand import OnDemand
    from hint_plugin.science.reactions.neb import Band

KEEP_EVERY = 1.0  # s: of a band at work


def neb(
    context: typer.Context,
    reactant: Reactant,
    product: Product,
    output: Folder = Path("neb"),
    model: Model = None,
    engine: Engine = None,
    engine_option: EngineOption = None,
    optimize: Annotated[
        bool, typer.Option("--optimize/--no-optimize", help="Go to the minima at both ends first.")
    ] = True,
    images: Annotated[int, typer.Option(min=3, help="Ends included; more come where it is steep.")] = 9,
    climb: Annotated[bool, typer.Option("--climb/--no-climb", help="The highest image climbs.")] = True,
    verify: Annotated[
        bool,
        typer.Option("--verify/--no-verify", help="Follow the path from the top to both sides."),
    ] = True,
    fmax: Annotated[
        float, typer.Option(min=0, help="Largest force across the band at the end, eV/A.")
    ] = 0.05,
    steps: Annotated[int, typer.Option(min=1, help="At most.")] = 300,
    device: Device = "cpu",
    charge: Charge = 0,
    spin: Spin = None,
    restart: Restart = False,
    json_: Json = False,
) -> None:
    """Relax a path between two molecules; its top is the transition state, nearly.

    Starts from a geodesic path. Images are added where the energy between two of them is not what they say.
    From the top the reaction path is followed to both sides, to see whether it joins the two ends. Writes
    neb.json, path.xyz, irc.xyz, transition_state.xyz and profile.png. `hint reaction` finds the saddle
    itself, usually in less time.

    Exit status: 0 converged, resolved, and the top joins both ends (or --no-verify); 3 not, or the ends are
    one geometry; 2 nothing could be done; 130 stopped: the same command goes on.
    """
    import json

    from hint_plugin.cli.support.progress import StatusLine
    from hint_plugin.cli.support.provenance import run_provenance
    from hint_plugin.data.file_io import write_json
    from hint_plugin.potentials.on_demand import OnDemand, PotentialSpec
    from hint_plugin.science.molecules.alignment import rmsd
    from hint_plugin.science.molecules.molecule_inputs import read_ends
    from hint_plugin.science.molecules.optimization import check_optimiser
    from hint_plugin.science.reactions.junction import connection, follow_top
    from hint_plugin.science.reactions.matching import match, same_atoms
    from hint_plugin.science.reactions.neb import plot_band
    from hint_plugin.science.reactions.one_reaction import SAME_MINIMUM
    from hint_plugin.science.reactions.reaction_files import irc_of, write_path
    from hint_plugin.science.reactions.reaction_settings import ReactionSettings

    start, files = read_ends(reactant, product), (reactant, product)
    same_atoms(*start)
    verify = verify and climb  # without climbing there is no saddle at the top
    if optimize or verify:
        check_optimiser()
    potential = OnDemand(PotentialSpec(model, engine, engine_option), device, charge, spin)
    calculator = potential.calculator()
    origin = run_provenance(files, model, calculator)
    stop = _Stop()
    with (
        stop,
        _made(output),
        _kept_band(context, origin, output, restart) as kept,
        _relaxed_ends(context, files, start, potential, origin, output, restart) as ends,
    ):
        collapsed = optimize and match(*ends) and not match(*start)
        if match(*ends) and rmsd(*ends) < SAME_MINIMUM:
            _same_ends(output, origin, json_)
        band = _band(ends, calculator, kept, stop, images=images, climb=climb, fmax=fmax, steps=steps)
        result = {**band.as_dict(), "collapsed": collapsed, "provenance": origin}
        result["outside_training"] = _outside(band, calculator)
        for name in ("irc.xyz", "transition_state.xyz"):
            (output / name).unlink(missing_ok=True)  # of an earlier band
        write_path(output / "path.xyz", band.images, band.energies.tolist())
        write_json(output / "neb.json", result)
        stop.what = f"The band is in {output}, and kept; where its top leads is not known"
        if verify and band.converged:
            with StatusLine("from the top") as status:
                found = follow_top(band, calculator, ReactionSettings(), status.say)
            result["connection"] = connection(found)
            write_json(output / "neb.json", result)
            if found.saddle is not None:
                write_path(output / "transition_state.xyz", [found.saddle.atoms], [found.saddle.energy])
            if found.ends is not None:
                write_path(output / "irc.xyz", *irc_of(found))
    plot_band(output / "profile.png", band, f"{reactant.stem} to {product.stem}")
    if json_:
        typer.echo(json.dumps(result, indent=2))
    else:
        typer.echo("\n".join(_in_words(result, verify)))
        typer.echo(f"written to {output}")
    if collapsed or not (band.converged and band.between.resolved):
        raise typer.Exit(EXIT_SOME_FAILED)
    if verify and not result["connection"]["joins"]:
        raise typer.Exit(EXIT_SOME_FAILED)


def _outside(band: "Band", calculator: Any) -> str:
    """How many images are outside of what a model was trained on, in a sentence."""
    from hint_plugin.potentials.extrapolation import in_one_sentence, outside_training

    images = zip(band.images, band.forces, strict=True)
    found = [(f"image {k}", outside_training(calculator, *image)) for k, image in enumerate(images)]
    return in_one_sentence([image for image in found if image[1]], len(found), "images")


def _same_ends(output: Path, origin: dict[str, Any], json_: bool) -> None:
    """Says that there is no reaction between two ends that are one geometry, and ends with 3."""
    import json

    from hint_plugin.data.file_io import write_json

    result = {"same_ends": True, "provenance": origin}
    write_json(output / "neb.json", result)
    words = "both ends are the same geometry but for place and orientation: this is no reaction"
    typer.echo(json.dumps(result, indent=2) if json_ else words)
    raise typer.Exit(EXIT_SOME_FAILED)


def _in_words(result: dict[str, Any], verify: bool) -> list[str]:
    """What a person has to know of a band, the doubts included."""
    from hint_plugin.science.reactions.reaction_files import KCAL

    state = "converged" if result["converged"] else "not converged"
    added = f", {result['images_added']} added where it is steep" if result["images_added"] else ""
    between = result["interpolation"]
    lines = [
        f"{state} after {result['steps']} steps, {result['largest_force']:.3f} eV/A; highest image "
        f"{result['highest_image']} of {result['images']}{added}",
        "energy, kcal/mol: "
        + ", ".join(f"{name} {KCAL * value:+.2f}" for name, value in result["barriers"].items()),
    ]
    if result["collapsed"]:
        lines.append("optimising has given both ends the same bonds: this potential has no such reaction")
    if not result["resolved"]:
        a, b = between["between_images"]
        lines.append(
            f"the barrier is not resolved: between images {a} and {b} the energy is "
            f"{KCAL * between['error']:.1f} kcal/mol off what they say. Give more --images or more --steps"
        )
    if result["outside_training"]:
        lines.append(f"warning: {result['outside_training']}")
    if "connection" in result:
        lines += _joins(result["connection"])
    elif verify:
        lines.append("not verified whether the top joins the two ends: the band has not converged")
    else:
        lines.append("not verified whether the top joins the two ends")
    return lines


def _joins(found: dict[str, Any]) -> list[str]:
    from hint_plugin.science.reactions.reaction_files import KCAL

    if found["joins"]:
        return ["the reaction path from the top leads to both ends"]
    if "ends" not in found:
        return [f"whether the top joins the two ends could not be verified: {found['failure']}"]
    lines = ["the reaction path from the top does not lead to both ends: look for what lies between"]
    for name, end in zip(("reactant", "product"), found["ends"], strict=True):
        lines.append(
            f"  {name}: {KCAL * end['energy_of_the_band']:+.2f} kcal/mol; the path ends at "
            f"{KCAL * end['energy']:+.2f} kcal/mol, {end['rmsd']:.2f} A from it"
        )
    return lines


class _Stop:
    """A run that is stopped says what there is of the band, too: `what`."""

    def __init__(self) -> None:
        self.what = ""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        from hint_plugin.errors import InterruptedRunError

        if self.what and isinstance(error, InterruptedRunError):
            raise InterruptedRunError(f"{error}. {self.what}") from None


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """The folder of the results; where an error leaves it empty, it goes again."""
    from hint_plugin.errors import HintError

    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except HintError:
        with suppress(OSError):
            if new:
                folder.rmdir()
        raise


def _kept_band(
    context: typer.Context, origin: dict[str, Any], output: Path, restart: bool
) -> AbstractContextManager["Journal"]:
    """Where the band is kept at work; that of other options is refused before anything is done."""
    from hint_plugin.data.provenance import identity
    from hint_plugin.parallel import journal_of, keep

    options = {name: value for name, value in options_of(context).items() if name != "verify"}
    return keep(
        journal_of(output, "neb-band"),
        {"verb": "neb", **options, **identity(origin)},
        lambda kept: "stopped before the band. Give the same command again to go on",
        restart=restart,
        drop_on_error=True,
    )


def _band(
    ends: list[Any], calculator: Any, kept: "Journal", stop: _Stop, steps: int, **options: Any
) -> "Band":
    """The band, from where it was kept, if it was; and kept on its way."""
    from hint_plugin.cli.support.progress import Bar
    from hint_plugin.science.reactions.neb import BandState, elastic_band

    start, last = BandState(**kept[0]["band"]) if 0 in kept else None, float("-inf")

    def keep(state: BandState) -> None:
        nonlocal last
        if time.monotonic() - last >= KEEP_EVERY:
            kept.add(0, {"band": state.as_dict()})
            stop.what = f"The band is kept as it was after {state.steps} steps"
            last = time.monotonic()

    with Bar("steps, at most", "steps") as bar:

        def report(step: int, top: float, force: float) -> None:
            bar(step, 0, steps)
            bar.say(f"top {top:.3f} eV, {force:.3f} eV/A")

        reactant, product = ends
        return elastic_band(
            reactant, product, calculator, steps=steps, report=report, start=start, keep=keep, **options
        )


@dataclass(frozen=True)
class End:
    """The work on one end; it stays where it is if it is not to be optimised."""

    potential: "OnDemand"
    optimize: bool

    def __call__(self) -> Callable[..., tuple[dict[str, Any], dict[str, Any]]]:
        """Nothing is to be set up."""
        return self._work

    def _work(self, name: str, atoms: Any, say: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        from hint_plugin.errors import EngineError
        from hint_plugin.science.molecules.curvature import relaxed, wrong_kind

        if not self.optimize:
            return {}, {"positions": atoms.positions}
        atoms.calc = self.potential.calculator()
        found = relaxed(atoms, False, 0.01, 300, say)
        if error := wrong_kind(found, False):
            raise EngineError(error, "geometry")
        return {}, {"positions": found.atoms.positions, "doubt": found.doubt}


@contextmanager
def _relaxed_ends(
    context: typer.Context,
    files: tuple[Path, Path],
    ends: list[Any],
    potential: "OnDemand",
    origin: dict[str, Any],
    output: Path,
    restart: bool,
) -> Iterator[list[Any]]:
    """The ends where the options want them, kept until the block ends.

    Raises:
        EngineError: an end has no minimum.
        And what `parallel.go_over` raises.
    """
    from hint_plugin.cli.support.progress import StatusLine
    from hint_plugin.data.provenance import identity
    from hint_plugin.errors import EngineError, HintError
    from hint_plugin.parallel import Spread, go_over, journal_of

    class Status(StatusLine):
        def __call__(self, done: int, failed: int, total: int) -> None: ...

    optimize = context.params["optimize"]
    options = options_of(context)
    of_ends = {name: options[name] for name in ("engine", "engine-option", "device", "charge", "spin")}
    run = {"verb": "neb", "optimize": optimize, **of_ends, **identity(origin)}
    journal = journal_of(output, "neb")
    todo = [(path.stem, end) for path, end in zip(files, ends, strict=True)]
    work, spread = End(potential, optimize), Spread(restart=restart)
    with Status("") as status, go_over(todo, work, journal, run, spread, status, "ends") as records:
        status.stop()
        try:
            found = []
            for (name, end), record in zip(todo, records, strict=True):
                if "error" in record:
                    raise EngineError(f"{name}: {record['error']}", record["kind"])
                found.append(end.copy())
                found[-1].positions = record["kept"]["positions"]
                if doubt := record["kept"].get("doubt"):
                    typer.echo(f"warning: the minimum of {name} means nothing: {doubt}", err=True)
            yield found
        except HintError:  # there is nothing to go on with
            journal.unlink()
            raise
