"""What a way to look for a reaction has to do: a path, a saddle, what the saddle connects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

from ase import Atoms

from hint_plugin.science.molecules import Stationary
from hint_plugin.science.reactions.irc import Path
from hint_plugin.science.reactions.reaction_settings import ReactionSettings, Say


@dataclass(frozen=True)
class Guess:
    """A path between two molecules: images, energies (eV), and where saddle searches begin, best first.

    `name`: where the path comes from. `evaluated`: geometries whose energy was computed for it. `relaxed`:
    whether the path was moved down, so that its top is near to a saddle. `failure`: why there are no tops.
    """

    images: list[Atoms]
    energies: list[float]
    tops: list[Atoms]
    name: str = "first path"
    evaluated: int = 0
    relaxed: bool = False
    failure: str = ""


class Method(Protocol):
    """One search for one reaction, in a `with` block, whose ends are minima; `say` is told the progress.

    All three steps raise EngineError where they fail, with the reason.
    """

    name: str

    def __init__(self, calculator: Any, settings: ReactionSettings, say: Say) -> None: ...

    @classmethod
    def check(cls) -> None:
        """Raises MissingDependencyError if something is not installed."""

    def path(self, reactant: Atoms, product: Atoms) -> Guess:
        """A path between two minima."""

    def more_paths(self, reactant: Atoms, product: Atoms, first: Guess) -> Iterator[Guess]:
        """Other paths between them, as the settings ask for; each is made when it is wanted."""

    def saddle(self, guess: Guess) -> Stationary:
        """A transition state: one imaginary mode."""

    def follow(self, saddle: Stationary) -> tuple[Path, Path]:
        """The reaction path to both sides of it, in any order."""

    def __enter__(self) -> Method: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
