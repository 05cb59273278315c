"""`factorise`: groups of filters that act together, where they act, and what they look for (row F8)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from featwatch.analysis.factors import Factors, factors
from featwatch.analysis.kernels import Fit, fitted
from featwatch.explain.ascent.directed import painted
from featwatch.explain.fields.fields import site_of
from featwatch.explain.forms import Unsuitable
from featwatch.explain.kept import kept
from featwatch.explain.maps import picture, pooled
from featwatch.explain.responses import Responses
from featwatch.graphs import graph_of
from featwatch.layers import Site
from featwatch.probe import Probe
from featwatch.records import FactorGroups
from featwatch.structures import leaves, mapped

LONGEST = 64                        # rows and columns of a map that are factorised
MOST_VALUES = 4_000_000             # of the layer, likewise
_AT_ONCE = 16                       # images in a batch
CLIPPED = 1e-6                      # of the energy: what is below it is rounding


def factorise(
    model: Any, layer: Any, image: Any, groups: int = 6, *, probe: Any = None, steps: int | None = None, images: bool = True
) -> FactorGroups:
    """Groups of a layer's filters that act together in one image or in several, where, and an image that maximises each.

    The layer's values, those that leave its activation, are factorised at all positions of all images together: at each
    position so much of each group, each group so much of each filter, nothing below 0.  Values below 0, as GELU gives
    them, count as 0.  Of a layer without positions the images take their place.

    Arguments:
        model: a built model; it is not changed.
        layer: its name, or the layer itself.
        image: a sample of the model's input, or several: an array, a dict or tuple of arrays, or a `Probe`.
        groups: how many, at most: never more than filters or positions.
        probe: a `Probe`, or samples, that tells the range of the input and gives the starts of the groups' images; None = the
            images themselves.
        steps: of gradient ascent for the groups' images; None = as of `feature_images`.
        images: whether these are wanted.

    Raises:
        ValueError: an argument is out of its range, or nothing is active: the message says why.

    Example:
        >>> found = factorise(net, "conv", x[:3], groups=2)
        >>> found.maps.shape, found.weights.shape, found.images.shape
        ((3, 2, 6, 6), (2, 4), (2, 3, 3, 1))
    """
    if isinstance(groups, bool) or not hasattr(groups, "__index__") or groups < 1:
        raise ValueError(f"groups={groups!r}: give a whole number of 1 or more")
    site = site_of(model, layer)
    samples = _several(model, image)
    count = len(leaves(samples)[0][1])
    if not count:
        raise ValueError("image: there is none")
    shown = image if isinstance(image, Probe) else Probe(samples, size=count, batch_size=_batch_size(model, count))
    values, tensor = _values(model, site, shown)
    try:
        record = grouped(values, int(groups), samples=np.arange(len(values)), layer=site.name, epoch=0, tensor=tensor)
    except Unsuitable as reason:
        raise Unsuitable(f"layer {site.name!r}: {reason}") from None
    if not images:
        return record
    rest = shown if probe is None else probe if isinstance(probe, Probe) else Probe(probe)
    try:
        return with_images(record, model, site, rest, steps=steps)
    except Unsuitable as reason:
        return replace(record, note=_joined(record.note, f"no feature images: {reason}"))


@dataclass(frozen=True)
class Tensor:
    """What of a layer was factorised."""

    full_size: tuple[int, int] | None   # rows and columns of its map; None = it has no positions
    cell: int = 1                       # positions on a side of which each value is the mean
    slices: tuple[int, ...] = ()        # of a map with more than two axes, of which the middle one was taken

    @property
    def note(self) -> str:
        notes = []
        if self.full_size is None:
            notes.append("the layer has no positions: samples take their place")
        elif self.cell > 1:
            notes.append(f"of means over {self.cell} positions" + (f" × {self.cell}" if self.full_size[0] > 1 else ""))
        if self.slices:
            notes.append(f"of the middle one of {' × '.join(map(str, self.slices))} slices")
        return "; ".join(notes)


def tensor_of(shape: tuple[int, ...], samples: int, *, longest: int, values: int) -> tuple[Tensor, int]:
    """How a layer's values of this shape, (…, filters), are factorised, and of how many samples."""
    if len(shape) < 2:
        return Tensor(None), samples
    size = (int(shape[-3]) if len(shape) > 2 else 1, int(shape[-2]))
    fit: Fit = fitted(size, int(shape[-1]), samples, longest=longest, values=values)
    return Tensor(size, fit.cell, tuple(shape[:-3])), fit.samples


def grouped(
    values: np.ndarray, groups: int, *, samples: np.ndarray, layer: str, epoch: int, tensor: Tensor,
    shown: np.ndarray | None = None, earlier: np.ndarray | None = None,
) -> FactorGroups:  # fmt: skip
    """The record of a layer's groups, without images.

    Arguments:
        values: (samples, rows, columns, filters) float32.
        samples: (samples,) int, as what they are recorded.
        shown: indices of those whose maps are recorded; None = all.
        earlier: as of `featwatch.analysis.factors.factors`.

    Raises Unsuitable where nothing is active, or something is not finite.
    """
    if not np.isfinite(values).all():
        raise Unsuitable("activations are not finite (did the training diverge?)")
    found = factors(values.reshape(-1, values.shape[-1]), groups, earlier)
    if found is None:
        raise Unsuitable("no filter rises above 0 in these samples")
    maps = np.moveaxis(found.amounts.reshape(*values.shape[:-1], -1), -1, 1)        # (samples, groups, rows, columns)
    maps = maps if shown is None else maps[shown]
    largest = maps.max(axis=(0, 2, 3), initial=0.0)
    scale = np.divide(255.0, largest.astype(np.float64), out=np.zeros(len(largest)), where=largest > 0)
    return FactorGroups(
        epoch=epoch,
        layer=layer,
        samples=(samples if shown is None else samples[shown]).astype(np.int32),
        maps=np.rint(maps * scale[:, None, None]).astype(np.uint8),
        largest=largest.astype(np.float32),
        weights=found.weights,
        share=found.share,
        unexplained=found.unexplained,
        likeness=found.likeness if earlier is not None else np.zeros(0, np.float32),
        full_size=tensor.full_size or (1, 1),
        note=_joined(tensor.note, *_remarks(found, groups)),
    )


def with_images(
    record: FactorGroups, model: Any, site: Site, probe: Probe, rows: np.ndarray | None = None, *, steps: int | None = None
) -> FactorGroups:
    """The record with an image that maximises each group's total.  Arguments and errors as of `directed.painted`."""
    images, painter = painted(model, site, probe, record.weights, rows, steps=steps)
    low, high = painter.bounds.limits
    return replace(
        record, pixels=images.pixels, low=low, high=high, activation=images.activation, reached=images.reached,
        note=_joined(record.note, painter.note),
    )  # fmt: skip


def _remarks(found: Factors, groups: int) -> list[str]:
    remarks = []
    if len(found.share) < groups:
        remarks.append(f"{len(found.share)} of {groups} groups: more would explain nothing")
    if found.clipped > CLIPPED:
        remarks.append(f"values below 0, {100 * found.clipped:.2g} % of the energy, count as 0")
    if not found.settled:
        remarks.append("the factorisation had not settled when its steps were over")
    return remarks


def _values(model: Any, site: Site, probe: Probe) -> tuple[np.ndarray, Tensor]:
    """(samples, rows, columns, filters) float32 of a layer, pooled where it is large, and how."""
    key = ("values", id(site.layer), id(site.tapped))
    whole = kept(model, key, lambda: Responses(model, [site], lambda values, bare: values))
    parts: list[np.ndarray] = []
    tensor: Tensor | None = None
    for batch, count in probe.batches():
        found = whole.read(batch)
        if site.name not in found:
            raise Unsuitable(f"layer {site.name!r} cannot be read: {whole.refused[site.name]}")
        values = found[site.name].values[:count]
        if tensor is None:
            tensor, fitting = tensor_of(values.shape[1:], len(probe), longest=LONGEST, values=MOST_VALUES)
            if fitting < len(probe):
                raise Unsuitable(f"image: {len(probe)} images are too many for layer {site.name!r}; give {fitting} at most")
        parts.append(values[:, None, None] if values.ndim == 2 else pooled(picture(tf.constant(values)), tensor.cell).numpy())
    assert tensor is not None
    return np.concatenate(parts), tensor


def _batch_size(model: Any, count: int) -> int:
    shapes = [tensor.shape for tensor in getattr(graph_of(model), "inputs", None) or ()]
    fixed = next((shape[0] for shape in shapes if shape and shape[0] is not None), None)
    return int(fixed or min(count, _AT_ONCE))


def _several(model: Any, image: Any) -> Any:
    """Samples, also of a single one without the axis of the samples."""
    if isinstance(image, Probe):
        return image.x
    samples = mapped(np.asarray, image)
    inputs = getattr(graph_of(model), "inputs", None)
    if inputs and len(leaves(samples)) == len(inputs) and leaves(samples)[0][1].ndim == len(inputs[0].shape) - 1:
        return mapped(lambda array: array[None], samples)
    return samples


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))
