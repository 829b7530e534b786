"""What it is worth that freed memory stays with the process (`hint_plugin.allocator`).

    python benchmarks/memory.py [--rounds 3] [--out results.json]

Steps of alphanet_speed.py, CPU time on one thread, float32, with glibc's defaults and with HINT's setting:
one process for each, taking turns; medians of seven steps in each process and over the rounds.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from alphanet_speed import make_energy, make_graph, make_step

from hint_plugin.allocator import keep_freed_memory

MODELS = ("MACE 128x0e+128x1o", "ours, medium", "ours, small")
GRAPHS = ("molecule", "cluster")
STEPS = ("E+F step", "+ one Hv")


def seconds(model: str, graph_name: str, keep: bool) -> dict[str, float]:
    """Of each of the steps."""
    if keep and not keep_freed_memory():
        raise SystemExit("nothing to compare: no glibc here, or its settings are given in the environment")
    torch.set_num_threads(1)
    graph = make_graph(graph_name)
    module, energy = make_energy(model, graph, None)
    found = {}
    for name in STEPS:
        step = make_step(name, module, energy, graph)
        for _ in range(3):
            step()
        times = []
        for _ in range(7):
            start = time.process_time()
            step()
            times.append(time.process_time() - start)
        found[name] = median(times)
    return found


def main() -> None:
    """Command line."""
    from rich.console import Console
    from rich.table import Table

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the numbers there")
    options = parser.parse_args()
    table = Table(title="CPU time of a step, ms")
    for head in ("model", "graph", "step", "glibc's defaults", "kept", "kept / defaults"):
        table.add_column(head, justify="left" if head in ("model", "graph", "step") else "right")
    records: list[dict[str, Any]] = []
    context = multiprocessing.get_context("spawn")
    for model in MODELS:
        for graph in GRAPHS:
            found: dict[bool, list[dict[str, float]]] = {False: [], True: []}
            for _ in range(options.rounds):
                for keep, times in found.items():
                    with context.Pool(1) as pool:
                        times.append(pool.apply(seconds, (model, graph, keep)))
            for step in STEPS:
                old, new = (1e3 * median(t[step] for t in found[keep]) for keep in (False, True))
                records.append(
                    {"model": model, "graph": graph, "step": step, "default_ms": old, "kept_ms": new}
                )
                table.add_row(model, graph, step, f"{old:.1f}", f"{new:.1f}", f"{new / old:.2f}")
    Console().print(table)
    if options.out:
        options.out.write_text(json.dumps(records, indent=2) + "\n")


if __name__ == "__main__":
    main()
