"""Time and memory of weighted local density on a million frames, and how exact its neighbours are.

    python benchmarks/sampling_scale.py [--points 50000 300000 1000000] [--dimension 500] [--pca 64]
        [--threads 2] [--folder scale-data] [--out results.json]

Made-up features of clusters: their sizes follow a power law (a few hold most points, many are rare), each
lies near a plane of 12 dimensions of its own, and the variance of all falls off as 1/j^2 over orthogonal
directions j, as the principal components of SOAP features do. Independent Gaussian numbers, where all
distances are alike, would be no model of structures.

Each row is a process of its own: features are read from a file, neighbours found, 1 % of the points drawn.
Recall is what `mean_neighbour_distance` reports: the fraction of the true 10 nearest neighbours found, on
1000 random points against all. The time includes PCA, index, recall and search; on a machine that others use
too, believe the CPU time. With PCA, neighbours and distances are those of the reduced features: the last
column is the rank correlation of its d with the d of all features, on the same points.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np


def make_features(path: Path, points: int, dimension: int, seed: int = 0, clusters: int = 2000) -> None:
    """Write [points, dimension] float32, block by block."""
    rng = np.random.default_rng(seed)
    weights = rng.pareto(1.2, clusters) + 0.02
    spectrum = (1.0 / np.arange(1, dimension + 1)).astype(np.float32)
    basis = np.linalg.qr(rng.normal(size=(dimension, dimension)))[0].astype(np.float32).T * spectrum[:, None]
    centres = rng.normal(size=(clusters, dimension)).astype(np.float32)
    planes = 0.3 * rng.normal(size=(clusters, 12, dimension)).astype(np.float32)
    planes *= (0.8 ** np.arange(12, dtype=np.float32))[:, None]
    matrix = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(points, dimension))
    for start in range(0, points, 20_000):
        n = min(20_000, points - start)
        member = rng.choice(clusters, n, p=weights / weights.sum())
        rows = centres[member] + 0.05 * rng.normal(size=(n, dimension)).astype(np.float32)
        along = rng.normal(size=(n, 12)).astype(np.float32)
        for cluster in np.unique(member):
            rows[member == cluster] += along[member == cluster] @ planes[cluster]
        matrix[start : start + n] = rows @ basis
    matrix.flush()


def work(path: Path, pca: int, search: str, threads: int) -> None:
    """One row, printed as JSON; in a process of its own."""
    from hint_plugin.sampling import mean_neighbour_distance
    from hint_plugin.sampling.density import weighted_order
    from hint_plugin.sampling.reduce import fit_reduction

    start = time.perf_counter()
    features = np.load(path, mmap_mode="r")
    kept = 1.0
    if pca:
        reduction = fit_reduction(features, "none", pca, 0)
        features, kept = reduction.apply(features), reduction.explained
    reduced = time.perf_counter()
    found = mean_neighbour_distance(features, 10, search=search, threads=threads)  # type: ignore[arg-type]
    order = weighted_order(found.distance, len(features) // 100, 0)
    end = time.perf_counter()
    np.save(path.with_suffix(f".{search}{pca}.d.npy"), found.distance)
    row = found.settings | {
        "points": len(features),
        "pca": pca or None,
        "explained_variance": kept,
        "seconds_pca": reduced - start,
        "seconds": end - start,
        "cpu_seconds": sum(resource.getrusage(resource.RUSAGE_SELF)[:2]),
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "mean_d": float(found.distance.mean()),
        "mean_d_chosen": float(found.distance[order].mean()),
    }
    print(json.dumps(row))


def run(path: Path, pca: int, search: str, threads: int) -> dict:
    """`work` in a process of its own."""
    command = [sys.executable, __file__, "--work", str(path), str(pca), search, str(threads)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Command line."""
    if sys.argv[1:2] == ["--work"]:
        work(Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=int, nargs="+", default=[50_000, 300_000, 1_000_000])
    parser.add_argument("--dimension", type=int, default=500)
    parser.add_argument("--pca", type=int, default=64)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--exact-up-to", type=int, default=50_000, help="all pairs as well, up to so many")
    parser.add_argument("--folder", type=Path, default=Path("scale-data"), help="of the features")
    parser.add_argument("--out", type=Path, help="write the numbers there")
    options = parser.parse_args()
    from scipy.stats import spearmanr

    options.folder.mkdir(parents=True, exist_ok=True)
    rows = []
    heads = ("points", "features", "search", "probed", "recall", "time (s)", "CPU (s)", "peak (GB)")
    print("| " + " | ".join((*heads, "rank correlation")) + " |")
    print("|---" * 9 + "|")
    for points in options.points:
        path = options.folder / f"{points}x{options.dimension}.npy"
        if not path.exists():
            make_features(path.with_suffix(".part.npy"), points, options.dimension)
            path.with_suffix(".part.npy").replace(path)
        trials = [(0, "approximate"), (options.pca, "approximate")]
        if points <= options.exact_up_to:
            trials.insert(0, (0, "exact"))
        for pca, search in trials:
            row = run(path, pca, search, options.threads)
            full = np.load(path.with_suffix(f".{trials[0][1]}0.d.npy"))
            own = np.load(path.with_suffix(f".{search}{pca}.d.npy"))
            row["rank_correlation"] = float(spearmanr(full, own).statistic)
            rows.append(row)
            cells = (points, pca or options.dimension, row.get("index", "exact"), row.get("probed", "-"))
            numbers = f"{row['recall']:.3f} | " if "recall" in row else "1 | "
            numbers += f"{row['seconds']:.0f} | {row['cpu_seconds']:.0f} | {row['peak_gb']:.1f} | "
            print(
                "| " + " | ".join(map(str, cells)) + f" | {numbers}{row['rank_correlation']:.3f} |",
                flush=True,
            )
            if options.out:
                options.out.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
