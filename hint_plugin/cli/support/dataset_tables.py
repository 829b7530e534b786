"""What `hint dataset stats` and `check` print."""

from collections.abc import Mapping, Sequence
from typing import Any

from hint_plugin.data.sets.audit import Audit


def print_statistics(summary: dict[str, Any]) -> None:
    """Tables of the summary of `Statistics`."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(
        f"{summary['frames']} frames, {summary['formulas']} formulas; {summary['with_energy']} with energy, "
        f"{summary['with_forces']} with forces, {summary['with_stress']} with stress, "
        f"{summary['periodic']} periodic",
        highlight=False,
    )
    if summary["ase_names"]:
        names = ase_names_in_words(summary["ase_names"], summary["inputs"])
        console.print(names, highlight=False, markup=False, soft_wrap=True)  # commands to copy stay whole
    labels = ", ".join(f"{count} {kind}" for kind, count in summary["labels"].items())
    probes = ", ".join(f"{count} of K = {k}" for k, count in summary["probes"].items())
    console.print(f"Hessian labels: {labels or 'none'}" + (f" ({probes})" if probes else ""), highlight=False)
    for text in summary["near_misses"]:
        console.print(f"remark: {text}", highlight=False, markup=False, soft_wrap=True)
    if summary["methods"]:
        methods = ", ".join(f"{name} ({count})" for name, count in summary["methods"].items())
        console.print(f"methods: {methods}", highlight=False)
    table = Table("element", "atoms", "frames", "E0 / eV", box=SIMPLE)
    for symbol, counts in summary["elements"].items():
        e0 = summary["e0_eV"].get(symbol)
        table.add_row(symbol, str(counts["atoms"]), str(counts["frames"]), "" if e0 is None else f"{e0:.4f}")
    console.print(table)
    table = Table("", "count", "mean", "std", "rms", "min", "median", "max", box=SIMPLE, padding=(0, 1, 0, 0))
    for key, name in (
        ("atoms_per_frame", "atoms"),
        ("energy_per_atom_eV", "E/atom - E0, eV"),
        ("force_norm_eV_per_A", "force, eV/A"),
        ("hessian_eV_per_A2", "|H|, eV/A^2"),
        ("hvp_eV_per_A", "|Hv|, eV/A"),
        ("noise_eV_per_A2", "noise, eV/A^2"),
        ("nearest_distance_A", "nearest, A"),
    ):
        row = summary[key]
        if row["count"]:
            cells = [
                f"{row[c]:.3g}" if c in row else "" for c in ("mean", "std", "rms", "min", "median", "max")
            ]
            table.add_row(name, str(row["count"]), *cells)
    console.print(table)


def ase_names_in_words(names: Mapping[str, int], files: Sequence[str]) -> str:
    """That labels have ASE's own names, and the commands that rename them."""
    from hint_plugin.data.labels.frame_labels import rename_line

    found = ", ".join(f"{name} ({count} frames)" for name, count in names.items())
    lines = [
        f"Some labels have ASE's own names: {found}. Trainers expect REF_energy, REF_forces and REF_stress. "
        "These commands rename them:"
    ]
    return "\n".join([*lines, *(f"  {rename_line(file)}" for file in files)])


def audit_in_words(found: Audit, respects: Sequence[str], show: int | None) -> str:
    """Counts of each file, then problems, duplicates, what files share, and remarks."""
    lines = []
    for name, counts in found.files.items():
        kinds = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count and kind != "frames")
        lines.append(f"{name}: {counts['frames']} frames" + (f" ({kinds})" if kinds else ""))
        known = found.labels[name]
        if known:
            lines.append("  with " + ", ".join(f"{what}: {count}" for what, count in known.items()))
    lines += _some("problems", [str(problem) for problem in found.problems], show)
    same = [f"{a}, frame {i} is {b}, frame {j}" for a, i, b, j in found.duplicates]
    lines += _some("duplicates", same, show)
    if found.leakage:
        lines.append("files share:")
        for respect, pairs in found.leakage.items():
            mark = " (counts as leakage)" if respect in respects else ""
            lines += [
                f"  {respect:<10} {pair}: {count}{mark if count else ''}" for pair, count in pairs.items()
            ]
    for name, names in found.ase_names.items():
        lines.append(ase_names_in_words(names, [name]))
    lines += [f"remark: {mixture}." for mixture in found.mixtures]
    lines += _some("remarks", [str(remark) for remark in found.remarks], show)
    if found.untested:
        lines.append("tests that could not be made:")
        lines += [
            f"  {test}: {count} labels, since {reason}" for (test, reason), count in found.untested.items()
        ]
    leaks = any(any(found.leakage.get(respect, {}).values()) for respect in respects)
    clean = "nothing is wrong, but see the remarks" if found.remarks or found.mixtures else "nothing is wrong"
    lines.append(clean if not (found.problems or found.duplicates or leaks) else "not clean")
    return "\n".join(lines)


def _some(title: str, lines: list[str], show: int | None) -> list[str]:
    if not lines:
        return []
    shown = [f"  {line}" for line in lines[:show]]
    more = [f"  ... and {len(lines) - len(shown)} more"] if len(shown) < len(lines) else []
    return [f"{len(lines)} {title}:", *shown, *more]
