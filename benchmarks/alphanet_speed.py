"""What AlphaNet costs, against the public AlphaNet and MACE, on the same graphs, in one run.

    python benchmarks/alphanet_speed.py [--public PATH] [--threads 1 2] [--sizes oma horm small]
        [--graphs molecule cluster crystal] [--repeats 7] [--out results.json]

Float32, random weights (the time does not depend on them), 4 elements. Graphs at 5 A: a molecule of 10
atoms, a cluster of 99 (11 ethanols), a silicon crystal of 512; they are built once, so no neighbour list is
timed.

================== =================================================================================
E+F                energy and forces
E+F step           energy, forces with their graph, backward of (E/N)^2 + mean F^2 to the parameters
+ one Hv           the same with |H v|^2/(3N)^2 of a Rademacher probe, as ``--loss hint_hutchinson``
full Hessian       3N products with unit vectors; molecule only
================== =================================================================================

Seconds: CPU time with one thread, which other processes disturb less, wall time with more; median over the
repeats and, after +-, half the distance of the quartiles. The models take turns within a row, so that a
change of the machine's speed meets all of them. All have HINT's setting of the allocator
(`hint_plugin.allocator`). Memory: peak of a process of its own that makes the step
twice, less what it held before (VmHWM; ru_maxrss would count the parent's). A model that needs more than 16
GB or 2 minutes for a step is left out of that row, with a note.

Groups: ``oma`` and ``horm`` are the two published sizes of AlphaNet, 4 layers of 176 and of 128 channels,
with ours of as many parameters within 10 %; ``small`` is our small and medium. MACE (ScaleShiftMACE, 128x0e
+ 128x1o, two layers, MACE's own kernels) is always there. (x N) is the time over that of ours: of the same
size for the public code, of ``medium`` for MACE.

--public is a checkout of github.com/zmyybc/AlphaNet (GPL-3, not part of HINT), run as it is, without
dropout and without its neighbour list. It needs torch_geometric and pydantic_settings; where torch_scatter
is missing, a few lines here that do the same with torch's own index_add take its place.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import time
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _mace import make_mace
from torch import Tensor, nn

from hint_plugin.allocator import keep_freed_memory

warnings.filterwarnings("ignore", category=UserWarning)  # of the models compared

CUTOFF = 5.0
ELEMENTS = [1, 6, 8, 14]
MEMORY_LIMIT, TIME_LIMIT = 16 * 2**30, 120.0
#: Seconds that the repeats of one model's row may take, if three of them take less.
ROW_SECONDS = 30.0

ROWS = ("E+F", "E+F step", "+ one Hv", "full Hessian")

#: model -> (group, the model of ours that it is compared with)
MODELS = {
    "ours, OMA size": ("oma", "ours, OMA size"),
    "public, OMA": ("oma", "ours, OMA size"),
    "ours, HORM size": ("horm", "ours, HORM size"),
    "public, HORM": ("horm", "ours, HORM size"),
    "ours, medium": ("small", "ours, medium"),
    "ours, small": ("small", "ours, small"),
    "MACE 128x0e+128x1o": ("", "ours, medium"),
}

#: Options of the public model as HORM published them (OMA's are in the checkout).
HORM = {
    "num_layers": 4,
    "hidden_channels": 128,
    "cutoff": CUTOFF,
    "num_radial": 64,
    "head": 16,
    "main_chi1": 32,
    "mp_chi1": 32,
    "chi2": 8,
    "hidden_channels_chi": 96,
}

#: None: as the checkout has it.
PUBLIC: dict[str, dict[str, Any] | None] = {"public, OMA": None, "public, HORM": HORM}

EnergyFunction = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Graph:
    """A structure and its edges: r_ij = r_j - r_i + shifts."""

    name: str
    numbers: Tensor
    positions: Tensor
    edges: Tensor
    shifts: Tensor
    cell: Tensor


def make_graph(name: str) -> Graph:
    """``molecule`` (10 atoms), ``cluster`` (99) or ``crystal`` (512), every atom shaken by 0.03 A."""
    from ase import Atoms
    from ase.build import bulk, molecule
    from ase.neighborlist import neighbor_list

    rng = np.random.default_rng(0)
    if name == "molecule":
        atoms = molecule("CH3COCH3")
    elif name == "cluster":
        atoms = Atoms()
        corners = [(x, y, z) for x in range(3) for y in range(2) for z in range(2)][:11]
        for corner in corners:
            one = molecule("CH3CH2OH")
            one.rotate(rng.uniform(0, 360), rng.normal(size=3), center="COP")
            one.translate(SPACING * np.array(corner) - one.positions.mean(0))
            atoms += one
    else:
        atoms = bulk("Si", cubic=True) * (4, 4, 4)
    atoms.positions += rng.normal(0, 0.03, atoms.positions.shape)
    i, j, offsets = neighbor_list("ijS", atoms, CUTOFF)
    dtype = torch.get_default_dtype()
    return Graph(
        name,
        torch.tensor(atoms.numbers),
        torch.tensor(atoms.positions, dtype=dtype),
        torch.tensor(np.stack([i, j])),
        torch.tensor(offsets @ atoms.cell.array, dtype=dtype),
        torch.tensor(atoms.cell.array, dtype=dtype),
    )


#: A between the molecules of the cluster.
SPACING = 4.4


def make_ours(name: str) -> nn.Module:
    """Our model, in the size of that name."""
    from hint_plugin.models.alphanet import SIZES, AlphaNet

    if name == "ours, OMA size":
        config = SIZES["large"]
    elif name == "ours, HORM size":
        config = replace(SIZES["large"], channels=128, node_width=5, edge_channels=192)
    else:
        config = SIZES[name.removeprefix("ours, ")]
    return AlphaNet(ELEMENTS, replace(config, cutoff=CUTOFF), average_neighbours=20.0)


def make_public(options: dict[str, Any] | None, path: Path) -> nn.Module:
    """The public model with these options; None: those of its OMA checkpoint.

    Raises:
        SystemExit: ``path`` is no checkout of it, or something that it imports is missing.
    """
    provide_scatter()
    sys.path.insert(0, str(path))
    try:
        from alphanet.config import All_Config
        from alphanet.models.alphanet import AlphaNet
    except ModuleNotFoundError as error:
        raise SystemExit(f"--public {path}: {error}. Wanted a checkout and what it imports") from None
    if options is None:
        config = All_Config.from_json(path / "pretrained" / "OMA" / "oma.json").model
    else:
        config = All_Config(model=options).model
    config.compute_forces = config.compute_stress = False
    config.dtype = "32" if torch.get_default_dtype() == torch.float32 else "64"
    return AlphaNet(config).eval()


def provide_scatter() -> None:
    """If torch_scatter is missing, put a module with the three of its functions in use in its place."""
    try:
        import torch_scatter  # noqa: F401

        return
    except ModuleNotFoundError as error:
        if error.name != "torch_scatter":
            raise
        import torch_geometric  # noqa: F401  (would use the module below for more than it offers)

    def scatter(
        source: Tensor,
        index: Tensor,
        dim: int = -1,
        out: Tensor | None = None,
        dim_size: int | None = None,
        reduce: str = "sum",
    ) -> Tensor:
        dim = dim % source.dim()
        size = list(source.shape)
        size[dim] = int(index.max()) + 1 if dim_size is None else int(dim_size)
        total = source.new_zeros(size).index_add(dim, index, source)
        if reduce == "mean":
            counts = torch.bincount(index, minlength=size[dim]).clamp(min=1).to(source.dtype)
            return total / counts.view([-1 if d == dim else 1 for d in range(source.dim())])
        if reduce not in ("sum", "add"):
            raise NotImplementedError(f"scatter with reduce={reduce!r}")
        return total

    def segment_coo(source: Tensor, index: Tensor, dim_size: Any = None, reduce: str = "sum") -> Tensor:
        return scatter(source, index, 0, None, dim_size, reduce)

    def segment_csr(source: Tensor, pointers: Tensor) -> Tensor:
        owners = torch.repeat_interleave(torch.arange(len(pointers) - 1), pointers.diff())
        return scatter(source, owners, 0, None, len(pointers) - 1)

    module = types.ModuleType("torch_scatter")
    vars(module).update(scatter=scatter, segment_coo=segment_coo, segment_csr=segment_csr)
    sys.modules["torch_scatter"] = module


def public_energies(
    model: nn.Module, positions: Tensor, numbers: Tensor, owner: Tensor, edges: Tensor, shifts: Tensor
) -> Tensor:
    """Energies of the structures [G] from the public model, whose vectors run along r_j - r_i like ours."""
    from alphanet.models.graph import GraphData

    vectors = positions[edges[1]] - positions[edges[0]] + shifts
    graph = GraphData(
        pos=positions,
        batch=owner,
        z=numbers,
        natoms=torch.bincount(owner),
        edge_index=edges.flip(0),  # (j, i)
        edge_attr=vectors.norm(dim=-1),
        edge_vec=vectors,
    )
    return model(graph, "infer")[0].flatten()


def make_energy(name: str, graph: Graph, public: Path | None) -> tuple[nn.Module, EnergyFunction]:
    """A model and its energy as a function of the positions of a graph."""
    torch.manual_seed(0)
    owner = torch.zeros(len(graph.numbers), dtype=torch.long)
    ptr = torch.tensor([0, len(graph.numbers)])
    if name.startswith("public"):
        model = make_public(PUBLIC[name], public or Path())
        return model, lambda x: public_energies(
            model, x, graph.numbers, owner, graph.edges, graph.shifts
        ).sum()
    data = {"edge_index": graph.edges, "shifts": graph.shifts, "batch": owner, "ptr": ptr}
    if name.startswith("ours"):
        model = make_ours(name)
        data["atomic_numbers"] = graph.numbers
        return model, lambda x: model(data | {"positions": x}).sum()
    model = make_mace(ELEMENTS)
    species = torch.tensor([ELEMENTS.index(z) for z in graph.numbers.tolist()])
    data |= {
        "node_attrs": nn.functional.one_hot(species, len(ELEMENTS)).to(graph.positions),
        "unit_shifts": torch.zeros_like(graph.shifts),
        "cell": graph.cell,
    }
    return model, lambda x: model(data | {"positions": x}, compute_force=False)["energy"].sum()


def make_step(row: str, model: nn.Module, energy: EnergyFunction, graph: Graph) -> Callable[[], None]:
    """What a row times."""
    from hint_plugin.core.hvp import hvp_from_forces

    shape = graph.positions.shape
    generator = torch.Generator().manual_seed(0)
    probe = (torch.randint(0, 2, (1, *shape), generator=generator) * 2 - 1).to(graph.positions)

    def step() -> None:
        x = graph.positions.clone().requires_grad_(True)
        e = energy(x)
        training = row in ("E+F step", "+ one Hv")
        (gradient,) = torch.autograd.grad(e, x, create_graph=row != "E+F")
        if row == "full Hessian":
            for component in gradient.flatten().unbind():
                torch.autograd.grad(component, x, retain_graph=True)
        elif training:
            loss = (e / len(x)) ** 2 + gradient.square().mean()
            if row == "+ one Hv":
                loss = loss + hvp_from_forces(-gradient, x, probe).square().sum() / x.numel() ** 2
            loss.backward()
            model.zero_grad(set_to_none=True)

    return step


def status_bytes(field: str) -> int:
    """VmRSS or VmHWM of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(x for x in lines if x.startswith(field)).split()[1]) * 1024


def probe_step(row: str, name: str, graph_name: str, public: Path | None, threads: int, answer: Any) -> None:
    """In a process of its own: make a step twice, send its time (s) and memory (MB), or why it failed."""
    keep_freed_memory()
    torch.set_num_threads(threads)
    graph = make_graph(graph_name)
    model, energy = make_energy(name, graph, public)
    step = make_step(row, model, energy, graph)
    before = status_bytes("VmRSS")
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_LIMIT, MEMORY_LIMIT))
    try:
        for _ in range(2):
            start = time.perf_counter()
            step()
            seconds = time.perf_counter() - start
    except (RuntimeError, MemoryError) as error:
        out_of_memory = isinstance(error, MemoryError) or "memory" in str(error)
        answer.put("more than 16 GB" if out_of_memory else f"failed: {error}")
        return
    answer.put((seconds, (status_bytes("VmHWM") - before) / 2**20))


def measure_alone(
    row: str, name: str, graph: str, public: Path | None, threads: int
) -> tuple[float, float] | str:
    """Time and memory of a step in a new process, or a note."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    child = context.Process(target=probe_step, args=(row, name, graph, public, threads, answer))
    child.start()
    child.join(2 * TIME_LIMIT + 30.0)
    if child.is_alive():
        child.kill()
        child.join()
        return "more than 2 minutes"
    if answer.empty():
        return f"died with code {child.exitcode}"
    found = answer.get()
    return "more than 2 minutes" if not isinstance(found, str) and found[0] > TIME_LIMIT else found


def measure(
    graph_name: str, names: list[str], public: Path | None, threads: int, repeats: int
) -> list[dict[str, Any]]:
    """A record for each row and model."""
    clock = time.process_time if threads == 1 else time.perf_counter
    torch.set_num_threads(threads)
    graph = make_graph(graph_name)
    made = {name: make_energy(name, graph, public) for name in names}
    records = []
    for row in ROWS if graph_name == "molecule" else ROWS[:-1]:
        steps, times, alone = {}, {}, {}
        for name in names:
            alone[name] = measure_alone(row, name, graph_name, public, threads)
            if isinstance(alone[name], str):
                print(f"{graph_name}, {row}: {name} left out: {alone[name]}", flush=True)
            else:
                steps[name], times[name] = make_step(row, *made[name], graph), []
        for name, step in steps.items():  # TorchScript profiles its first passes
            for _ in range(3 if name.startswith("MACE") else 1):
                step()
        for number in range(repeats):
            for name, step in steps.items():
                if number >= 3 and (number + 1) * alone[name][0] > ROW_SECONDS:
                    continue
                start = clock()
                step()
                times[name].append(clock() - start)
        for name in names:
            record = {
                "graph": graph_name,
                "atoms": len(graph.numbers),
                "edges": graph.edges.shape[1],
                "threads": threads,
                "row": row,
                "model": name,
                "parameters": sum(p.numel() for p in made[name][0].parameters()),
            }
            if name in times:
                low, median, high = np.percentile(times[name], [25, 50, 75])
                record |= {"seconds": median, "spread": (high - low) / 2, "repeats": len(times[name])}
                record["memory_mb"] = alone[name][1]
            else:
                record["note"] = alone[name]
            records.append(record)
    return records


def report(records: list[dict[str, Any]]) -> None:
    """A table of one graph and number of threads."""
    from rich.console import Console
    from rich.table import Table

    first = records[0]
    found = {(r["model"], r["row"]): r for r in records}
    rows = [row for row in ROWS if (first["model"], row) in found]
    threads = f"{first['threads']} thread" + ("s" if first["threads"] > 1 else "")
    table = Table(
        title=f"{first['graph']}: {first['atoms']} atoms, {first['edges']} edges, {threads}, float32; seconds"
    )
    table.add_column("model")
    table.add_column("parameters", justify="right")
    for row in rows:
        table.add_column(row, justify="right")
    table.add_column("MB of " + ", ".join(rows), justify="right")
    for name in dict.fromkeys(r["model"] for r in records):
        cells = [found[name, row] for row in rows]
        texts = []
        for row, cell in zip(rows, cells, strict=True):
            text = cell.get("note", "-")
            if "seconds" in cell:
                text = f"{cell['seconds']:.3g} +- {cell['spread']:.1g}"
                ours = found.get((MODELS[name][1], row), {})
                if MODELS[name][1] != name and "seconds" in ours:
                    text += f" (x {cell['seconds'] / ours['seconds']:.1f})"
            texts.append(text)
        memory = " / ".join(f"{c['memory_mb']:.0f}" if "memory_mb" in c else "-" for c in cells)
        table.add_row(name, f"{cells[0]['parameters']:,}", *texts, memory)
    Console(width=None if sys.stdout.isatty() else 170).print(table)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--public", type=Path, help="checkout of the public AlphaNet")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    groups = ["oma", "horm", "small"]
    parser.add_argument("--sizes", nargs="+", choices=groups, default=groups)
    graphs = ["molecule", "cluster", "crystal"]
    parser.add_argument("--graphs", nargs="+", choices=graphs, default=graphs)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, help="write the numbers there")
    options = parser.parse_args()

    public = options.public.resolve() if options.public else None
    names = [name for name, (group, _) in MODELS.items() if group in ("", *options.sizes)]
    if public is None:
        names = [name for name in names if not name.startswith("public")]
        print("The public AlphaNet is left out: give its checkout with --public")
    keep_freed_memory()
    records: list[dict[str, Any]] = []
    for threads in options.threads:
        for graph in options.graphs:
            new = measure(graph, names, public, threads, options.repeats)
            report(new)
            records += new
            if options.out:
                options.out.write_text(json.dumps(records, indent=2) + "\n")


if __name__ == "__main__":
    main()
