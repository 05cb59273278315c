"""What putting an embedding's samples on a grid takes, beside SciPy's `linear_sum_assignment` (row E7).

    python -m benchmarks.grid --repeats 5

Both take turns in one process, one thread, and must reach the same sum.  CPU time is given, as the median and the spread.  SciPy
takes minutes for 5,000 samples; `--peer-up-to` says up to how many it is run.  Writes benchmarks/results/grid.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.cost import RESULTS, _machine


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; returns the exit status."""
    parser = argparse.ArgumentParser(description="What putting samples on a grid takes.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peer-up-to", type=int, default=1000, help="samples up to which SciPy is run (default: %(default)s)")
    options = parser.parse_args(arguments)
    from featwatch.analysis.grid import assignment, box_over

    assignment(np.eye(2), box_over(np.eye(2)))          # compiles
    measured: list[dict[str, Any]] = []
    for size in options.sizes:
        for name, points in layouts(size).items():
            measured.append(_measured(name, points, options.repeats, size <= options.peer_up_to))
            print(_row(measured[-1]), file=sys.stderr, flush=True)
    result = {**_machine(), "layouts": measured}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "grid.json").write_text(json.dumps(result, indent=1) + "\n")
    header = ["| samples | layout | CPU seconds | SciPy | times | proven |", "| --- | --- | --- | --- | --- | --- |"]
    print("\n".join([*header, *map(_row, measured)]))
    return 0


def layouts(count: int) -> dict[str, np.ndarray]:
    """Layouts as UMAP and PCA make them, and such as are hard: (count, 2) each."""
    rng = np.random.default_rng(0)
    centres, classes = rng.uniform(-10, 10, (10, 2)), rng.integers(0, 10, count)
    angle, radius = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.uniform(size=count))
    disks = 2 * radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return {
        "scattered": rng.uniform(size=(count, 2)),
        "ten disks": centres[classes] + disks,
        "normal": rng.normal(size=(count, 2)),
        "one outlier": np.vstack([rng.normal(size=(count - 1, 2)), [[1e4, 0.0]]]),
        "on a line": np.stack([rng.uniform(size=count), np.zeros(count)], axis=1),
        "in ten places": centres[classes],
        "in one place": np.ones((count, 2)),
    }


def _measured(name: str, points: np.ndarray, repeats: int, with_peer: bool) -> dict[str, Any]:
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    from featwatch.analysis.grid import assignment, box_over

    box = box_over(points)
    costs = cdist(points, box.centres(np.arange(box.columns * box.rows)), "sqeuclidean") if with_peer else None
    ours: list[float] = []
    peers: list[float] = []
    for _ in range(repeats):
        found, seconds = _timed(lambda: assignment(points, box))
        ours.append(seconds)
        if costs is not None:
            (_, cells), seconds = _timed(lambda: linear_sum_assignment(costs))
            peers.append(seconds)
    result = {"samples": len(points), "layout": name, "proven": found.exact, "seconds": _spread(ours)}
    if costs is not None:
        everyone = np.arange(len(points))
        sums = {"sum": float(costs[everyone, found.cells].sum()), "peer_sum": float(costs[everyone, cells].sum())}
        result |= {"peer_seconds": _spread(peers), **sums}
    return result


def _timed(function: Callable[[], Any]) -> tuple[Any, float]:
    started = time.process_time()
    result = function()
    return result, time.process_time() - started


def _spread(seconds: list[float]) -> dict[str, float]:
    return {"median": statistics.median(seconds), "min": min(seconds), "max": max(seconds)}


def _row(one: dict[str, Any]) -> str:
    own, peer = one["seconds"], one.get("peer_seconds")
    theirs = f"{peer['median']:.2f} | {peer['median'] / own['median']:.0f} ×" if peer else "– | –"
    spread = f"{own['median']:.3f} ({own['min']:.3f}–{own['max']:.3f})"
    return f"| {one['samples']:,} | {one['layout']} | {spread} | {theirs} | {'yes' if one['proven'] else 'no'} |"


if __name__ == "__main__":
    sys.exit(main())
