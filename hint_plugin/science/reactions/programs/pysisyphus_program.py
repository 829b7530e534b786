"""Growing string, saddle search and reaction path of pysisyphus, as a program of its own.

    python pysisyphus_program.py

Jobs come as lines of JSON on standard input, and lines of JSON on standard output are its part:

| who | line |
|---|---|
| it, first | {"folder": a temporary one, as pysisyphus writes files wherever it is} |
| it, when it is loaded | {"ready": true} |
| they | {"job": a name in JOBS, ...: arguments of that function} |
| it, as often as it needs | {"positions": [3N], "hessian": true or false} |
| they | {"energy": E, "forces": [3N], "hessian": [3N, 3N] if it was asked for} |
| or, of a string | {"several": [K, 3N]} |
| they | {"several": [K answers as above]} |
| it, at the end of the job | {"done": result} or {"failed": why} |
| they hang up | it removes the folder and ends |

Lengths are in A, energies in eV; pysisyphus has bohr and Hartree. This file imports nothing of HINT's, and
nothing of HINT's imports pysisyphus.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np


class Conversation:
    """Lines of JSON over the streams that the program was started with."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        log = os.open("output.txt", os.O_WRONLY | os.O_CREAT, 0o644)
        for stream in (1, 2):  # pysisyphus prints pages of tables
            os.dup2(log, stream)

    def say(self, message: dict[str, Any]) -> None:
        """Send one."""
        print(json.dumps(message), file=self._out, flush=True)

    def hear(self) -> dict[str, Any]:
        """Wait for the next one. The program ends where nobody is there any more."""
        line = sys.stdin.readline()
        if not line:
            sys.exit()
        found: dict[str, Any] = json.loads(line)
        return found


def calculator_of(talk: Conversation) -> Any:
    """A calculator of pysisyphus that asks for what it needs."""
    from pysisyphus.calculators.Calculator import Calculator
    from pysisyphus.constants import AU2EV, BOHR2ANG

    def converted(found: dict[str, Any]) -> dict[str, Any]:
        answer = {"energy": found["energy"] / AU2EV}
        answer["forces"] = np.array(found["forces"]) * BOHR2ANG / AU2EV
        if "hessian" in found:
            answer["hessian"] = np.array(found["hessian"]) * BOHR2ANG**2 / AU2EV
        return answer

    class Asked(Calculator):
        """`known`: answers by the bytes of the coordinates, of what was asked together last."""

        known: ClassVar[dict[bytes, dict[str, Any]]] = {}

        def ask_together(self, many: list[Any]) -> None:
            """Energies and forces of several images of a string; `known` has them then."""
            new = {coords.tobytes(): coords for coords in many}
            answers = {key: self.known[key] for key in new if key in self.known}
            if missing := [key for key in new if key not in answers]:
                talk.say({"several": [(new[key] * BOHR2ANG).tolist() for key in missing]})
                found = [converted(one) for one in talk.hear()["several"]]
                answers |= zip(missing, found, strict=True)
            self.known.clear()
            self.known.update(answers)

        def _ask(self, coords: Any, hessian: bool) -> dict[str, Any]:
            talk.say({"positions": (coords * BOHR2ANG).tolist(), "hessian": hessian})
            return converted(talk.hear())

        def get_energy(self, atoms: Any, coords: Any) -> dict[str, Any]:
            found = self.known.get(np.asarray(coords, dtype=float).tobytes())
            return self._ask(coords, False) if found is None else dict(found)

        get_forces = get_energy

        def get_hessian(self, atoms: Any, coords: Any) -> dict[str, Any]:
            return self._ask(coords, True)

    return Asked()


def _geometry(symbols: list[str], positions: Any, calculator: Any, kind: str, **more: Any) -> Any:
    from pysisyphus.constants import ANG2BOHR
    from pysisyphus.Geometry import Geometry

    coords = np.array(positions, dtype=float).ravel() * ANG2BOHR
    found = Geometry(symbols, coords, coord_type=kind, **more)
    found.set_calculator(calculator)
    return found


def string(calculator: Any, symbols: list[str], ends: Any, nodes: int, cycles: int) -> dict[str, Any]:
    """Growing string with a climbing image: images [K, 3N], energies, and its top between the images."""
    from pysisyphus.constants import AU2EV, BOHR2ANG
    from pysisyphus.cos.GrowingString import GrowingString
    from pysisyphus.optimizers.StringOptimizer import StringOptimizer

    class Together(GrowingString):
        """Its images are asked for together, before each asks for itself."""

        def calculate_image_forces(self, image_indices: Any = None) -> dict[str, Any]:
            images, _ = self.get_images_to_calculate(image_indices)
            calculator.ask_together([np.array(image.cart_coords, dtype=float) for image in images])
            found: dict[str, Any] = super().calculate_image_forces(image_indices)
            return found

    images = [_geometry(symbols, end, calculator, "cart") for end in ends]
    path = Together(images, lambda: calculator, max_nodes=nodes - 2, climb=True)
    search = StringOptimizer(path, max_cycles=cycles, align=True)
    search.run()
    top, energy, _, where = path.get_splined_hei()
    return {
        "images": [(image.cart_coords * BOHR2ANG).tolist() for image in path.images],
        "energies": [image.energy * AU2EV for image in path.images],
        "top": (top * BOHR2ANG).tolist(),
        "where": float(where),
        "complete": bool(path.fully_grown),
    }


def saddle(calculator: Any, symbols: list[str], start: Any, method: str, cycles: int) -> dict[str, Any]:
    """A first-order saddle in redundant internal coordinates, a Hessian at every step."""
    from pysisyphus.constants import BOHR2ANG
    from pysisyphus.tsoptimizers import RSIRFOptimizer, RSPRFOptimizer

    searches = {"rsprfo": RSPRFOptimizer, "rsirfo": RSIRFOptimizer}
    geometry = _geometry(symbols, start, calculator, "redund")
    search = searches[method](
        geometry, thresh="gau", max_cycles=cycles, trust_radius=0.2, hessian_recalc=1, hessian_init="calc"
    )
    search.run()
    return {
        "positions": (search.geometry.cart_coords * BOHR2ANG).tolist(),
        "converged": bool(search.is_converged),
        "steps": int(search.cur_cycle) + 1,
    }


def reaction_path(calculator: Any, symbols: list[str], start: Any, cycles: int) -> dict[str, Any]:
    """EulerPC to both sides: for each geometries and energies (eV), saddle first."""
    from pysisyphus.constants import AU2EV, BOHR2ANG
    from pysisyphus.irc import EulerPC

    geometry = _geometry(symbols, start, calculator, "cart")
    irc = EulerPC(geometry, max_cycles=cycles)
    irc.run()
    top = irc.ts_index
    sides = []
    for points, converged in (
        (range(top, -1, -1), irc.forward_is_converged),
        (range(top, len(irc.all_energies)), irc.backward_is_converged),
    ):
        sides.append(
            {
                "images": [(irc.all_coords[k] * BOHR2ANG).tolist() for k in points],
                "energies": [float(irc.all_energies[k] * AU2EV) for k in points],
                "converged": bool(converged),
            }
        )
    return {"sides": sides}


MODULES = ("pysisyphus.cos.GrowingString", "pysisyphus.tsoptimizers", "pysisyphus.irc")
"""Some seconds of imports, done before the first job."""
JOBS: dict[str, Callable[..., dict[str, Any]]] = {
    "string": string,
    "saddle": saddle,
    "reaction_path": reaction_path,
}


def main() -> None:
    """Do jobs until nobody asks any more."""
    with tempfile.TemporaryDirectory(prefix="hint-pysisyphus-") as folder:
        os.chdir(folder)
        _serve(folder)


def _serve(folder: str) -> None:
    talk = Conversation()
    talk.say({"folder": folder})
    calculator = calculator_of(talk)
    for name in MODULES:
        importlib.import_module(name)
    talk.say({"ready": True})
    while True:
        job = talk.hear()
        do = JOBS[job.pop("job")]
        try:
            talk.say({"done": do(calculator, **job)})
        except Exception as error:  # whatever a program of others stumbles over is an answer, and no end
            talk.say({"failed": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
