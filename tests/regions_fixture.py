"""Decision regions as Python estimates them, for the page's tests: `python -m tests.regions_fixture` writes the file again."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from featwatch.analysis.grid import assignment, box_over, mapped
from featwatch.analysis.regions import regions

FIXTURE = Path(__file__).parent.parent / "tensorboard_plugin" / "frontend" / "tests" / "fixtures" / "regions.json"


def cases() -> list[dict[str, Any]]:
    """Samples, options, and what comes of them; rows of cells as one character a cell, the bottom row first."""
    rng = np.random.default_rng(4)
    centres = rng.uniform(-6, 6, (4, 2))
    classes = rng.integers(0, 4, 60).astype(np.int32)
    points = (centres[classes] + rng.normal(size=(60, 2)) * 1.4).astype(np.float32)
    points[7] = np.nan
    classes[11] = -1
    lattice = rng.integers(0, 5, (50, 2)).astype(np.float32)            # several in one place, many equally near
    box = box_over(points[:7])
    cells = assignment(points[:7], box).cells
    grid = {"cells": cells.tolist(), **dataclasses.asdict(box)}
    return [
        case(points, classes, resolution=40),
        case(lattice, rng.integers(0, 3, 50), resolution=32, neighbors=5, smoothing=0.03),
        case(lattice, rng.integers(0, 9, 50), resolution=24, neighbors=1, smoothing=0.0),
        case(points[:2], np.array([3, 30]), resolution=16, neighbors=3),
        case(points, classes, resolution=30, extent=(-3.0, 5.0, -2.0, 4.0), smoothing=0.1),
        case(points[:7], classes[:7], resolution=24, neighbors=1, grid=grid, share=0.4),
    ]


def case(
    points: np.ndarray, classes: np.ndarray, grid: dict[str, Any] | None = None, share: float = 0.0, **options: Any
) -> dict[str, Any]:
    """What goes in, and what comes out; of the leads some rows’ means, of the boundary its length."""
    places = points if grid is None else mapped(points, np.array(grid["cells"]), box_over(points), share)
    found = regions(places, classes, **options)
    ends = found.boundary()
    return {
        "points": [None if np.isnan(value) else float(value) for value in points.ravel()],
        "classes": np.asarray(classes).tolist(),
        "options": options,
        "grid": grid,
        "share": share,
        "left": found.left,
        "bottom": found.bottom,
        "step": found.step,
        "cells": ["".join(chr(ord("0") + cell) for cell in row) for row in found.cells.tolist()],
        "margin": [round(float(value), 7) for value in found.margin[:: max(1, len(found.margin) // 4)].mean(axis=1)],
        "segments": len(ends),
        "length": float(np.hypot(*(ends[:, 1] - ends[:, 0]).T).sum()),
    }


def text() -> str:
    return "[\n" + ",\n".join(json.dumps(each) for each in cases()) + "\n]\n"


if __name__ == "__main__":
    FIXTURE.write_text(text(), encoding="utf-8")
