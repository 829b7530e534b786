"""What `hint neb` does, as a function of the same name and options.

from hint_plugin.science.reactions.run_neb import neb
found = neb("reactant.xyz", "product.xyz", "gfn2-xtb")
found.band.height
found.write("neb")
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase import Atoms

from hint_plugin.data.file_io import write_json
from hint_plugin.data.outputs import a_folder, as_path
from hint_plugin.data.provenance import identity, of_structures, run_provenance
from hint_plugin.errors import EngineError, HintError, InterruptedRunError
from hint_plugin.parallel import Reported, Spread, go_over, journal_for_now, journal_of, keep
from hint_plugin.parallel.journal import Journal
from hint_plugin.potentials.extrapolation import in_one_sentence, outside_training
from hint_plugin.potentials.on_demand import OnDemand
from hint_plugin.potentials.on_demand import origin as origin_of
from hint_plugin.science.molecules.alignment import rmsd
from hint_plugin.science.molecules.molecule_inputs import read_ends
from hint_plugin.science.molecules.optimization import check_optimiser
from hint_plugin.science.reactions.junction import connection, follow_top
from hint_plugin.science.reactions.matching import match, same_atoms
from hint_plugin.science.reactions.neb import Band, BandState, elastic_band, plot_band
from hint_plugin.science.reactions.one_reaction import SAME_MINIMUM, Reaction
from hint_plugin.science.reactions.reaction_files import irc_of, write_path
from hint_plugin.science.reactions.reaction_settings import ReactionSettings

KEEP_EVERY = 1.0  # s: of a band at work

Molecule = Atoms | str | Path


@dataclass
class NebResult:
    """An elastic band between two molecules, and what its top leads to.

    Attributes:
        title: of the figure.
        about: what goes with the results: `provenance`.
        band: None where both ends are one geometry, so that there is no reaction.
        collapsed: whether optimising has given both ends the same bonds, which they had not before.
        wanted: whether it was to be verified that the top joins the ends.
        reaction: what was found from the top; None where nothing was looked for.
        outside_training: how many images are outside of what a model was trained on, in a sentence.
    """

    title: str
    about: Mapping[str, Any]
    band: Band | None = None
    collapsed: bool = False
    wanted: bool = True
    reaction: Reaction | None = None
    outside_training: str = ""

    @property
    def complete(self) -> bool:
        """Whether the band has converged and is resolved, and, where wanted, its top joins both ends."""
        if self.band is None or self.collapsed or not (self.band.converged and self.band.between.resolved):
            return False
        return not self.wanted or bool(self.reaction and connection(self.reaction)["joins"])

    def as_dict(self) -> dict[str, Any]:
        """What neb.json holds."""
        if self.band is None:
            return {"same_ends": True, **self.about}
        found = {**self.band.as_dict(), "collapsed": self.collapsed, **self.about}
        found["outside_training"] = self.outside_training
        return found if self.reaction is None else found | {"connection": connection(self.reaction)}

    def write(self, folder: str | Path) -> None:
        """neb.json, path.xyz, irc.xyz, transition_state.xyz, profile.png, as far as there is something."""
        place = as_path(folder)
        place.mkdir(parents=True, exist_ok=True)
        self.write_numbers(place)
        self.draw(place)

    def draw(self, folder: Path) -> None:
        """profile.png, of a band."""
        if self.band is not None:
            plot_band(folder / "profile.png", self.band, self.title)

    def write_numbers(self, folder: Path) -> None:
        """All but the figure; the folder is there."""
        for name in ("irc.xyz", "transition_state.xyz"):
            (folder / name).unlink(missing_ok=True)  # of an earlier band
        if self.band is not None:
            write_path(folder / "path.xyz", self.band.images, self.band.energies.tolist())
        write_json(folder / "neb.json", self.as_dict())
        found = self.reaction
        if found is not None and found.saddle is not None:
            write_path(folder / "transition_state.xyz", [found.saddle.atoms], [found.saddle.energy])
        if found is not None and found.ends is not None:
            write_path(folder / "irc.xyz", *irc_of(found))


def neb(
    reactant: Molecule,
    product: Molecule,
    potential: Any,
    output: str | Path | None = None,
    *,
    optimize: bool = True,
    images: int = 9,
    climb: bool = True,
    verify: bool = True,
    fmax: float = 0.05,
    steps: int = 300,
    device: str = "cpu",
    charge: int = 0,
    spin: int | None = None,
    restart: bool = False,
    report: Any = None,
) -> NebResult:
    """Relax a path between two molecules; its top is the transition state, nearly.

    Args:
        reactant, product, potential, output, device, charge, spin: see `hint_plugin.science.reactions.run`.
            With an output, a run that is stopped goes on when it is called again.
        optimize: go to the minima at both ends first.
        images: ends included; more are added where the path is steep.
        climb: let the highest image climb.
        verify: follow the reaction path from the top to both sides; without `climb` there is no saddle at the
            top, and nothing is followed.
        fmax: eV/A, the largest force across the band at the end.
        steps: of the band, at most.
        restart: drop what an interrupted run has left.
        report: called with (steps, 0, steps at most); where it has `say`, that is told in words what is done.

    Raises:
        HintError: files, options or packages with which nothing can be done; a run that is stopped.
    """
    options = {"optimize": optimize, "images": images, "climb": climb, "fmax": fmax, "steps": steps}
    folder = a_folder(as_path(output))
    given = [end if isinstance(end, Atoms) else Path(end) for end in (reactant, product)]
    start = read_ends(*given)
    same_atoms(*start)
    verify = verify and climb
    if optimize or verify:
        check_optimiser()
    source = OnDemand.of(potential, device, charge, spin)
    names = [end.get_chemical_formula() if isinstance(end, Atoms) else end.stem for end in given]
    about = _provenance(given, source)
    result = NebResult(f"{names[0]} to {names[1]}", {"provenance": about}, wanted=verify)
    run = {"verb": "neb", **source.asked(), "device": device, "charge": charge, "spin": spin}
    run |= identity(about)
    show = Reported(report)
    search = _Run(source, folder, run, restart, show)
    show(0, 0, steps)
    with (
        search,
        search.made(),
        search.journal(options) as kept,
        search.relaxed_ends(names, start, optimize) as ends,
    ):
        result.collapsed = optimize and match(*ends) and not match(*start)
        if not (match(*ends) and rmsd(*ends) < SAME_MINIMUM):
            result.band = search.band(ends, kept, images=images, climb=climb, fmax=fmax, steps=steps)
            result.outside_training = _outside(result.band, source.calculator())
        if folder is not None:
            result.write_numbers(folder)
        if verify and result.band is not None and result.band.converged:
            result.reaction = search.from_the_top(result.band)
            if folder is not None:
                result.write_numbers(folder)
    if folder is not None:
        result.draw(folder)
    return result


def _provenance(given: list[Any], source: OnDemand) -> dict[str, Any]:
    calculator = source.calculator()
    about = run_provenance([end for end in given if isinstance(end, Path)], source.model, calculator)
    if in_memory := [end for end in given if isinstance(end, Atoms)]:
        about["data"].append(of_structures(in_memory))
    about.setdefault("engine", origin_of(calculator))
    return about


def _outside(band: Band, calculator: Any) -> str:
    images = zip(band.images, band.forces, strict=True)
    found = [(f"image {k}", outside_training(calculator, *image)) for k, image in enumerate(images)]
    return in_one_sentence([image for image in found if image[1]], len(found), "images")


class _Run:
    """The steps of a run, kept when it is stopped; as a context it says what there is of the band then.

    Args:
        source: what computes.
        folder: of the results; None keeps nothing.
        run: all that the ends depend on, in words.
        restart: drop what an interrupted run has left.
        show: who is told how far it is.
    """

    def __init__(
        self, source: OnDemand, folder: Path | None, run: dict[str, Any], restart: bool, show: Reported
    ) -> None:
        self._source, self._folder, self._run, self._restart, self._show = source, folder, run, restart, show
        self._calculator = source.calculator()
        self._so_far = ""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if self._so_far and self._folder is not None and isinstance(error, InterruptedRunError):
            raise InterruptedRunError(f"{error}. {self._so_far}") from None

    @contextmanager
    def made(self) -> Iterator[None]:
        """The folder of the results; where an error leaves it empty, it goes again."""
        new = self._folder is not None and not self._folder.exists()
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
        try:
            yield
        except HintError:
            with suppress(OSError):
                if new and self._folder is not None:
                    self._folder.rmdir()
            raise

    @contextmanager
    def journal(self, options: Mapping[str, Any]) -> Iterator[Journal]:
        """Where the band is kept at work; that of other options is refused before anything is done."""

        def stopped(kept: Journal) -> str:
            return "stopped before the band. Give the same command again to go on"

        run, again = {**self._run, **options}, {"restart": self._restart, "drop_on_error": True}
        with self._place("neb-band") as place, keep(place, run, stopped, **again) as kept:
            yield kept

    @contextmanager
    def _place(self, name: str) -> Iterator[Path]:
        with ExitStack() as stack:
            folder = self._folder
            yield stack.enter_context(journal_for_now()) if folder is None else journal_of(folder, name)

    @contextmanager
    def relaxed_ends(self, names: list[str], ends: list[Any], optimize: bool) -> Iterator[list[Any]]:
        """The ends where the options want them, kept until the block ends.

        Raises:
            EngineError: an end has no minimum.
            And what `parallel.go_over` raises.
        """
        todo, work = list(zip(names, ends, strict=True)), End(self._source, optimize)
        spread = Spread(restart=self._restart)
        run, words = {**self._run, "optimize": optimize}, _Words(self._show.say)
        with (
            self._place("neb") as place,
            go_over(todo, work, place, run, spread, words, "ends") as records,
        ):
            try:
                moved = [_moved(*one, record) for one, record in zip(todo, records, strict=True)]
                for (name, _), record in zip(todo, records, strict=True):
                    if doubt := record["kept"].get("doubt"):
                        self._show.warn(f"the minimum of {name} means nothing: {doubt}")
                yield moved
            except HintError:  # there is nothing to go on with
                place.unlink(missing_ok=True)
                raise

    def band(self, ends: list[Any], kept: Journal, *, steps: int, **options: Any) -> Band:
        """The band, from where it was kept, if it was; and kept on its way."""
        start, last = BandState(**kept[0]["band"]) if 0 in kept else None, float("-inf")

        def keep_it(state: BandState) -> None:
            nonlocal last
            if time.monotonic() - last >= KEEP_EVERY:
                kept.add(0, {"band": state.as_dict()})
                self._so_far = f"The band is kept as it was after {state.steps} steps"
                last = time.monotonic()

        def report(step: int, top: float, force: float) -> None:
            self._show(step, 0, steps)
            self._show.say(f"top {top:.3f} eV, {force:.3f} eV/A")

        reactant, product = ends
        follow: dict[str, Any] = {"report": report, "start": start, "keep": keep_it}
        band = elastic_band(reactant, product, self._calculator, steps=steps, **follow, **options)
        self._so_far = f"The band is in {self._folder}, and kept; where its top leads is not known"
        return band

    def from_the_top(self, band: Band) -> Reaction:
        """See `follow_top`."""
        return follow_top(
            band, self._calculator, ReactionSettings(), lambda text: self._show.say(f"from the top: {text}")
        )


@dataclass(frozen=True)
class _Words:
    """A `Display` that hears words alone: there are but two ends to count."""

    say: Callable[[str], None]

    def __call__(self, done: int, failed: int, total: int, /) -> None: ...


@dataclass(frozen=True)
class End:
    """The work on one end; it stays where it is if it is not to be optimised."""

    potential: OnDemand
    optimize: bool

    def __call__(self) -> Callable[..., tuple[dict[str, Any], dict[str, Any]]]:
        """Nothing is to be set up."""
        return self._work

    def _work(self, name: str, atoms: Any, say: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        from hint_plugin.science.molecules.curvature import relaxed, wrong_kind

        if not self.optimize:
            return {}, {"positions": atoms.positions}
        atoms.calc = self.potential.calculator()
        found = relaxed(atoms, False, 0.01, 300, say)
        if error := wrong_kind(found, False):
            raise EngineError(error, "geometry")
        return {}, {"positions": found.atoms.positions, "doubt": found.doubt}


def _moved(name: str, end: Any, record: Mapping[str, Any]) -> Any:
    """A copy of an end where its record has it. Raises EngineError if it has failed."""
    if "error" in record:
        raise EngineError(f"{name}: {record['error']}", record["kind"])
    found = end.copy()
    found.positions = record["kept"]["positions"]
    return found
