"""Kernels and maps as pictures: what of them is shown, and how they become bytes (rows H7, H8)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Pictures:
    """Of each filter the kernels of its strongest input channels."""

    pixels: np.ndarray          # (filters, shown, rows, columns) uint8: weight = (pixel − 128) / 127 · largest
    inputs: np.ndarray          # (filters, shown) int32, the strongest first
    largest: np.ndarray         # (filters,) float32; NaN for a filter with a weight that is not finite
    covered: np.ndarray         # (filters,) float32: share of the filter's energy that is shown


def planes(kernel: np.ndarray) -> tuple[np.ndarray, str]:
    """A kernel's (rows, columns, inputs, filters), a 1-D one as one row, and what of it is left out, in words.

    Of a 3-D kernel, (slices, rows, columns, inputs, filters), an axis of length one is left out, otherwise all but
    the middle slice.
    """
    space = kernel.shape[:-2]
    if len(space) == 1:
        return kernel[None], ""
    if len(space) == 2:
        return kernel, ""
    if 1 in space:
        return kernel.squeeze(space.index(1)), ""
    return kernel[space[0] // 2], f"the middle one of {space[0]} slices is shown"


def pictures(kernel: np.ndarray, shown: np.ndarray, inputs: int) -> Pictures:
    """A kernel as pictures, for each filter of the `inputs` input channels that carry most of its energy.

    Arguments:
        kernel: (…, channels, filters) float32, all of it: energy and scale are those of the whole filter.
        shown: (rows, columns, channels, filters), what of it `planes` gave.

    >>> kernel = np.zeros((1, 3, 2, 1)); kernel[..., 1, 0] = [[-2.0, 0.0, 1.0]]
    >>> found = pictures(kernel, kernel, 1)
    >>> found.inputs.tolist(), found.pixels.tolist(), found.largest.tolist(), found.covered.tolist()
    ([[1]], [[[[1, 128, 192]]]], [2.0], [1.0])
    """
    channels, filters = kernel.shape[-2:]
    whole = kernel.reshape(-1, channels, filters)
    finite = np.isfinite(whole).all(axis=(0, 1))
    if not finite.all():
        whole, shown = np.where(finite, whole, 0), np.where(finite, shown, 0)
    energy = np.einsum("pcf,pcf->cf", whole, whole, dtype=np.float64)           # (channels, filters)
    strongest = np.argsort(-energy, axis=0, kind="stable")[:inputs]             # (inputs, filters)
    chosen = np.take_along_axis(shown, strongest[None, None], axis=2)           # (rows, columns, inputs, filters)
    largest = np.abs(whole).max(axis=(0, 1)).astype(np.float32)
    total = energy.sum(axis=0)
    of_shown = np.einsum("rcif,rcif->f", chosen, chosen, dtype=np.float64)
    covered = np.divide(of_shown, total, out=np.ones(filters), where=total > 0)
    return Pictures(
        pixels=signed(chosen, largest).transpose(3, 2, 0, 1),
        inputs=strongest.T.astype(np.int32),
        largest=np.where(finite, largest, np.float32(np.nan)),
        covered=np.where(finite, covered, np.nan).astype(np.float32),
    )


def signed(values: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """uint8: values from −reach to reach, (filters,), along the last axis; value = (pixel − 128) / 127 · reach."""
    scale = np.divide(127.0, reach.astype(np.float64), out=np.zeros(reach.shape), where=reach > 0)
    return np.asarray(np.rint(values * scale) + 128, np.uint8)


def unsigned(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """uint8: values from low to high, (filters,), along the last axis; value = low + pixel / 255 · (high − low)."""
    span = high.astype(np.float64) - low
    scale = np.divide(255.0, span, out=np.zeros(span.shape), where=span > 0)
    return np.asarray(np.rint((values - low) * scale), np.uint8)


def rows_and_columns(shape: Sequence[int]) -> tuple[int, int]:
    """Of a map of this shape, (…, filters): a 1-D one is a row."""
    return int(shape[-3]) if len(shape) > 2 else 1, int(shape[-2])


@dataclass(frozen=True)
class Fit:
    """What of some maps fits into a record: how many samples, and how many positions on a side become one."""

    samples: int
    cell: int


def fitted(size: tuple[int, int], filters: int, samples: int, *, longest: int, values: int, least: int = 6) -> Fit:
    """The finest picture of `size` (rows, columns) of at most `longest` on a side with at most `values` numbers in all.

    First the maps get coarser, down to `least` on the longer side; then there are fewer samples, one at least; then
    they get coarser still.

    >>> fitted((78, 78), 64, 6, longest=24, values=500_000), fitted((56, 56), 512, 6, longest=24, values=500_000)
    (Fit(samples=6, cell=4), Fit(samples=6, cell=5))
    """
    side = max(size)

    def numbers(cell: int) -> int:
        return math.prod(-(-n // cell) for n in size) * filters

    finest = -(-side // longest)
    coarse = max(finest, -(-side // least))
    for cell in range(finest, coarse):
        if numbers(cell) * samples <= values:
            return Fit(samples, cell)
    while numbers(coarse) > values and coarse < side:
        coarse += 1
    return Fit(max(1, min(samples, values // numbers(coarse))), coarse)
