"""PdH made stable: its dynamical-matrix files with a spring on H."""

from __future__ import annotations

from pathlib import Path

DYN = Path(__file__).parents[1] / "data" / "formats" / "qe" / "pdh.dyn0"


def write_pdh_with_springs(folder: Path, spring: float) -> Path:
    """Write pdh.dyn0 to 3 with `spring` (Ry/bohr^2) added to C_HH(q) of every q; return that of dyn0."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in DYN.parent.glob("pdh.dyn*"):
        lines = path.read_text().splitlines()
        for k, line in enumerate(lines):
            if line.split() != ["2", "2"]:
                continue
            for axis in range(3):
                words = [float(word) for word in lines[k + 1 + axis].split()]
                words[2 * axis] += spring
                pairs = zip(words[::2], words[1::2], strict=True)
                lines[k + 1 + axis] = "".join(f"{x:12.8f}{y:12.8f}  " for x, y in pairs)
        (folder / path.name).write_text("\n".join(lines) + "\n")
    return folder / DYN.name
