"""Rate constants in files: rates.json, rates.csv, isotope_effects.csv, and last of all a figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hint_plugin.data.drawing import picture
from hint_plugin.data.file_io import remove_earlier, write_csv, write_json
from hint_plugin.data.outputs import as_path
from hint_plugin.science.figures import new_figure, save_png
from hint_plugin.science.reactions.kinetics.channel import UNITS

_BLUE, _RED, _GREY, _GREEN = "#1f5fa8", "#c44e22", "#777777", "#3a8a4d"
_NAMES = ("tst", "tst_wigner", "tst_eckart", "cvt", "cvt_zct", "cvt_sct", "tst_zct", "tst_sct")
_IN_WORDS = {"per_s": "s$^{-1}$", "cm3_per_molecule_per_s": "cm$^3$ molecule$^{-1}$ s$^{-1}$"}


@dataclass
class Rates:
    """Rate constants of a reaction.

    Attributes:
        name: of the folder that they are from.
        channels: the elementary reactions, the most elementary first, as `rates.json` has them: `forward` and
            `reverse` (barriers, degeneracy, Arrhenius), `rows` by temperature, `isotope_effects`, `notes`.
        remarks: what has to be said beside the numbers.
        verified: by what the transition state was verified.
        error: what is known of the error of the potential; `said` is for people.
        path: the path with its adiabatic energy and curvature; None where there is none.
        about: what goes with it: `provenance`.
    """

    name: str
    channels: list[dict[str, Any]]
    remarks: list[str]
    verified: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] = field(default_factory=dict)
    path: dict[str, Any] | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """What is in rates.json."""
        return {
            "reaction": self.name,
            "transition_state": dict(self.verified),
            "model_error": dict(self.error),
            "remarks": self.remarks,
            "channels": self.channels,
            "path": self.path,
            **self.about,
        }

    def write(self, folder: str | Path) -> None:
        """rates.json, rates.csv, isotope_effects.csv if there are any, rates.png with matplotlib.

        The folder is made; what an earlier run has left in it goes.
        """
        place = as_path(folder)
        place.mkdir(parents=True, exist_ok=True)
        remove_earlier(place, "rates.json", (r"isotope_effects\.csv", r"rates\.(csv|png)"), ())
        write_json(place / "rates.json", self.as_dict())
        write_csv(place / "rates.csv", self._rows(), self._columns())
        effects = self._effects()
        if effects:
            first = ["channel", "isotopologue", "temperature_K", "method", "kie", "equilibrium"]
            columns = [*first, *(name for name in effects[0] if name not in first)]
            write_csv(place / "isotope_effects.csv", effects, columns)
        draw(place / "rates.png", self)

    def _columns(self) -> list[str]:
        first = ["channel", "direction", "temperature_K", "unit", "k", "method"]
        more = [name for row in self._rows() for name in row if name not in first]
        return [*first, *dict.fromkeys(more)]

    def _rows(self) -> list[dict[str, Any]]:
        found = []
        for channel in self.channels:
            for row in channel["rows"]:
                shared = {
                    name: value
                    for name, value in row.items()
                    if name not in ("forward", "reverse", "temperature_K")
                }
                for direction in ("forward", "reverse"):
                    if direction not in row:
                        continue
                    unit = UNITS[channel[direction]["molecularity"]]
                    about = {name.replace(f"_{unit}", ""): value for name, value in row[direction].items()}
                    found.append(
                        {
                            "channel": channel["name"],
                            "direction": direction,
                            "temperature_K": row["temperature_K"],
                            "unit": unit,
                            **about,
                            **shared,
                        }
                    )
        return found

    def _effects(self) -> list[dict[str, Any]]:
        return [
            {"channel": channel["name"], "isotopologue": effect["isotopologue"], **row}
            for channel in self.channels
            for effect in channel["isotope_effects"]
            for row in effect["rows"]
        ]


@picture
def draw(path: Path, rates: Rates) -> bool:
    """Arrhenius plot of the first channel, its isotope effects, and the path, as far as there are any.

    Returns False, and writes nothing, without matplotlib.
    """
    channel = rates.channels[0]
    panels = 1 + bool(channel["isotope_effects"]) + (rates.path is not None)
    figure = new_figure(4.2 * panels, 3.6)
    if figure is None:
        return False
    axes = list(np.atleast_1d(figure.subplots(1, panels)))
    _draw_rates(axes.pop(0), channel)
    if channel["isotope_effects"]:
        _draw_isotopes(axes.pop(0), channel)
    if rates.path is not None:
        _draw_path(axes.pop(0), rates.path)
    save_png(figure, path)
    return True


def _draw_rates(axes: Any, channel: dict[str, Any]) -> None:
    direction = "forward" if "forward" in channel else "reverse"
    unit = UNITS[channel[direction]["molecularity"]]
    t = np.array([row["temperature_K"] for row in channel["rows"]])
    colours = iter((_GREY, _GREEN, _BLUE, "#8a5fa8", "#aaaaaa", _RED, "#aaaaaa", _RED))
    for name in _NAMES:
        colour, key = next(colours), f"k_{name}_{unit}"
        if key in channel["rows"][0][direction]:
            k = [row[direction][key] for row in channel["rows"]]
            axes.semilogy(1000 / t, k, "o-", ms=3, lw=1.1, color=colour, label=_label(name))
    axes.set_xlabel("1000 K / T")
    axes.set_ylabel(f"k / {_IN_WORDS[unit]}")
    axes.set_title(f"{channel['name']}, {direction}", fontsize=9)
    axes.legend(frameon=False, fontsize=7)


def _label(name: str) -> str:
    words = {"wigner": "Wigner", "eckart": "Eckart"}
    return "/".join(words.get(word, word.upper()) for word in name.split("_"))


def _draw_isotopes(axes: Any, channel: dict[str, Any]) -> None:
    for effect in channel["isotope_effects"]:
        t = [row["temperature_K"] for row in effect["rows"]]
        (line,) = axes.plot(t, [row["kie"] for row in effect["rows"]], "o-", ms=3, lw=1.1)
        line.set_label(f"{effect['isotopologue']}, {effect['rows'][0]['method']}")
        axes.plot(
            t, [row["tst"] for row in effect["rows"]], "--", lw=0.9, color=line.get_color(), label="TST"
        )
    axes.set_xlabel("T / K")
    axes.set_ylabel("k light / k heavy")
    axes.legend(frameon=False, fontsize=7)


def _draw_path(axes: Any, path: dict[str, Any]) -> None:
    s = path["s_A_amu_half"]
    axes.plot(s, path["energy_eV"], color=_GREY, lw=1.2, label="V")
    axes.plot(
        s, path["adiabatic_ground_state_eV"], color=_BLUE, lw=1.4, label="$V_a^G$ from the ground state"
    )
    axes.set_xlabel("s / $\\mathrm{\\AA}$ amu$^{1/2}$")
    axes.set_ylabel("energy / eV")
    axes.legend(frameon=False, fontsize=7)
