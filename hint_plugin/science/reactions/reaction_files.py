"""A reaction in files: geometries, paths, numbers, a picture of the energy profile, a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from hint_plugin.data import write_frames
from hint_plugin.data.drawing import picture
from hint_plugin.data.file_io import write_json
from hint_plugin.data.labels.ase_energies import with_energy
from hint_plugin.science.figures import new_figure, save_png
from hint_plugin.science.reactions.one_reaction import Reaction
from hint_plugin.science.reactions.pages import KCAL, PATHS, STRUCTURES, write_reaction_page
from hint_plugin.science.reactions.reaction_settings import ReactionSettings

_FILES = (*(f"{name}.xyz" for name in (*STRUCTURES, *PATHS)), "profile.png")


def write_report(
    folder: Path,
    reaction: Reaction,
    settings: ReactionSettings,
    title: str = "",
    about: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Everything that was reached: reaction.json, *.xyz, profile.png (with matplotlib), report.html.

    What an earlier search has left in the folder goes. Returns what is in reaction.json: `Reaction.as_dict`,
    and `about`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        (folder / name).unlink(missing_ok=True)
    for name, part in (
        ("reactant", reaction.reactant),
        ("product", reaction.product),
        ("transition_state", reaction.saddle),
    ):
        if part is not None:
            write_path(folder / f"{name}.xyz", [part.atoms], [part.energy])
    if reaction.guess_energies:
        write_path(folder / "guess_path.xyz", reaction.guess_path, reaction.guess_energies)
    if reaction.backward is not None and reaction.forward is not None:
        write_path(folder / "irc.xyz", *irc_of(reaction))
    result = {**reaction.as_dict(settings), **(about or {})}
    write_json(folder / "reaction.json", result)  # what is for the eye comes last, and costs nothing
    plot_profile(folder / "profile.png", reaction, title)
    write_reaction_page(folder, result, title.rstrip(":") or "Reaction")
    return result


def write_path(path: Path, images: Sequence[Atoms], energies: Sequence[float]) -> None:
    """Geometries as extxyz, with the energies (eV) where ASE has them."""
    write_frames(path, map(with_energy, images, energies))


def irc_of(reaction: Reaction) -> tuple[list[Atoms], list[float]]:
    """Images and energies (eV) of a path that was followed to both sides, reactant's side first."""
    back, forward = reaction.backward, reaction.forward
    assert back is not None and forward is not None
    return [*reversed(back.images), *forward.images[1:]], [*reversed(back.energies), *forward.energies[1:]]


@picture
def plot_profile(path: Path, reaction: Reaction, title: str = "") -> bool:
    """Energies along the reaction coordinate; of the guess where there is no better one.

    Returns False, and writes nothing, without matplotlib or without a path.
    """
    if not reaction.guess_energies or reaction.reactant is None:
        return False
    zero = reaction.reactant.energy
    figure = new_figure(6.4, 3.8)
    if figure is None:
        return False
    axes = figure.add_subplot()
    back, forward = reaction.backward, reaction.forward
    if back is not None and forward is not None and reaction.saddle is not None:
        s = np.concatenate([-np.array(back.lengths[::-1]), forward.lengths[1:]])
        energy = np.concatenate([back.energies[::-1], forward.energies[1:]])
        axes.plot(s, KCAL * (energy - zero), color="#1f5fa8", lw=1.6)
        axes.plot(0, KCAL * (reaction.saddle.energy - zero), "o", color="#c44e22")
        if reaction.ends is not None:
            for x, end, name in zip(
                s[[0, -1]], reaction.ends, ("reactant side", "product side"), strict=True
            ):
                height = KCAL * (end.energy - zero)
                axes.plot(x, height, "s", color="#1f5fa8")
                axes.annotate(
                    name, (x, height), textcoords="offset points", xytext=(0, 8), ha="center", fontsize=8
                )
        axes.set_xlabel("reaction coordinate / $\\mathrm{\\AA}$ amu$^{1/2}$")
    else:
        energies = KCAL * (np.array(reaction.guess_energies) - zero)
        axes.plot(energies, "o--", color="#888888", lw=1, label="guess of the path")
        axes.legend(frameon=False, fontsize=8)
        axes.set_xlabel("image")
    axes.set_ylabel("energy / kcal mol$^{-1}$")
    axes.set_title(f"{title} {reaction.verdict}".strip(), fontsize=10)
    axes.margins(x=0.1, y=0.15)
    save_png(figure, path)
    return True
