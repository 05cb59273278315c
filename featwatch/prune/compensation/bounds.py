"""How much of a probe is taken, and which layers are left out, so that compensating takes no more than it may."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from featwatch.prune.anatomy import Anatomy
from featwatch.prune.compensation.consumers import Consumer
from featwatch.prune.savings import Sizes

MOST = 5e11                         # multiply-adds: about ten seconds of a processor of two cores
_FOR_LAYERS = 0.6                   # of these, for what is computed once for a layer, however few samples there are
_RUNS = 2.2                         # of the whole model, for each sample: fitted to or judged on, and what is judged three times
_RIDGES = 5
_MEMORY = 256 << 20                 # of all tensors of a batch
_LARGEST = 32                       # samples of a batch


def samples_within(anatomy: Anatomy, probe: Any, samples: int, most: float, layers: float) -> int:
    """How many samples can be run, if `layers` multiply-adds go for what is computed once for each layer."""
    one = Sizes(anatomy, like=probe.x).of(())[1]
    return samples if one <= 0 else max(0, min(samples, int((most - layers) / (_RUNS * one))))


def layers_within(every: Sequence[Consumer], gone: Sequence[int], rows: Sequence[int], most: float) -> tuple[list[int], float]:
    """The places of the layers that can be compensated, the costly ones left out first, and what these take in all.

    Arguments:
        gone: of each layer how many channels it loses.
        rows: and of how many positions it is computed.
    """
    taking = [_taking(each, removed, count) for each, removed, count in zip(every, gone, rows, strict=True)]
    staying, total = set(range(len(every))), math.fsum(taking)
    for place in sorted(staying, key=lambda at: -taking[at]):
        if total <= _FOR_LAYERS * most:
            break
        staying.discard(place)
        total -= taking[place]
    return sorted(staying), total


def _taking(each: Consumer, removed: int, rows: int) -> float:
    """Multiply-adds, those of double precision counted twice: sums of products, factors, solutions, and judging them."""
    channels = len(each.ids)
    kept = channels - removed
    unknowns = min(kept, rows)
    sums = float(rows) * channels * unknowns
    solving = 2 * unknowns**3 / 3 + 4.0 * unknowns**2 * removed + float(rows) * kept * removed
    return each.groups * (sums + _RIDGES * solving)


def batch_within(anatomy: Anatomy, size: int) -> int:
    """Samples that are run at once: fewer where the model's tensors are large."""
    numbers = sum(math.prod(length or 1 for length in label.shape[1:]) for label in anatomy.labels.values())
    return int(np.clip(_MEMORY // max(4 * numbers, 1), 1, min(size, _LARGEST)))
