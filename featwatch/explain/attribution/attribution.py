"""What an attribution gives, and the units of a layer that it is about."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from featwatch.analysis.exemplars import boxes, unravelled
from featwatch.explain.attribution.layer_functions import LayerFunctions, functions_of
from featwatch.explain.attribution.twin import Twin, twin_of
from featwatch.explain.fields.fields import field_of
from featwatch.explain.subject import filters_of, subject_of


@dataclass(frozen=True, eq=False)
class Attribution:
    """What of some images some filters answer to.  Images are (height, width), as the input is laid out as a picture."""

    filters: np.ndarray             # (filters,) int64
    maps: np.ndarray                # (filters, images, height, width) float32; with an axis of channels where asked for
    activation: np.ndarray          # (filters, images) float32: the largest value that leaves the activation
    units: np.ndarray               # (filters, images, axes) int32: the strongest unit's position in the map
    # Receptive fields, inside the image, of the units that act most: lo0, hi0, lo1, hi1, inclusive; −1 = no more of them.
    boxes: np.ndarray               # (filters, images, units, 4) int32; no units where fields are not known
    passes: int                     # pictures, or windows of them, that went forward through the model for the maps
    work: float                     # the same by area, in whole pictures
    note: str = ""                  # what was left out or approximated, in words


class NotFinite(ValueError):
    """Activations that are not finite; they may be so again."""


@dataclass
class Work:
    """What went forward through the model."""

    passes: int = 0
    pictures: float = 0.0           # by area

    def add(self, passes: int, size: tuple[int, int], whole: tuple[int, int]) -> None:
        """So many pictures of a size (height, width), out of whole ones of another."""
        self.passes += passes
        self.pictures += passes * size[0] * size[1] / (whole[0] * whole[1])


@dataclass(frozen=True, eq=False)
class Asked:
    """A layer, filters and images that an attribution is about, and which units of them act most."""

    functions: LayerFunctions
    filters: np.ndarray             # (filters,)
    pictures: np.ndarray            # (images, height, width, channels) float32
    twin: Twin | None
    values: np.ndarray              # (filters, images, units) float32, the largest first
    places: np.ndarray              # (filters, images, units) int32: flat positions in the map

    @property
    def units(self) -> np.ndarray:
        """(filters, images, axes) int32: the strongest unit's position in the map."""
        return unravelled(self.places[..., 0], self.functions.map_size)

    def boxes(self, share: float = 1.0) -> np.ndarray:
        """(filters, images, units, 4) int32: receptive fields of the units with at least this share of the largest value.

        A filter that is nowhere above zero on an image has none there.
        """
        functions = self.functions
        found = fields_of(functions, self.places)
        if found is None:
            return np.zeros((*self.values.shape[:2], 0, 4), np.int32)
        acting = acts(self.values, share)
        if share >= 1:
            acting[..., 1:] = False
        most = int(acting.sum(axis=-1).max(initial=0))
        return np.where(acting[..., None], found, np.int32(-1))[:, :, :most]

    def limited(self, share: float = 1.0) -> str:
        """What is said where more units may act than are looked at; "" where all of them are."""
        known = self.values.shape[-1]
        units = math.prod(self.functions.map_size)
        if units <= known or not acts(self.values, share)[..., -1].any():
            return ""
        return f"where {known} units of a map act there may be more: the strongest {known} count and have boxes"

    def attribution(self, maps: np.ndarray, work: Work, *, share: float = 1.0, notes: Sequence[str] = ()) -> Attribution:
        """The result, with what is said of every one."""
        said = [*notes, self.limited(share) if share < 1 else "", *([self.twin.note] if self.twin else [])]
        return Attribution(
            self.filters, maps, self.values[..., 0], self.units, self.boxes(share), work.passes, work.pictures,
            "; ".join(filter(None, said)),
        )  # fmt: skip


def acts(values: np.ndarray, share: float) -> np.ndarray:
    """Which units act: (…, units) values, the largest first, of at least a share of the largest, above zero."""
    return (values > 0) & (values >= share * values[..., :1])


def asked(model: Any, layer: Any, filters: Any, images: Any, twin: Any) -> Asked:
    """What an attribution is about, from a user's arguments.

    Raises:
        ValueError: an argument is out of its range, the layer has no attributions (Unsuitable), or the filters'
            activations are not finite.
        TypeError: `twin` is no twin.
    """
    subject = subject_of(model, layer, images)
    functions = functions_of(model, subject)
    pictures = subject.pictures(images)
    return looked(functions, filters_of(filters, functions.filters, subject.site.name), pictures, twin_of(model, twin))


def looked(functions: LayerFunctions, filters: np.ndarray, pictures: np.ndarray, twin: Twin | None = None) -> Asked:
    """The same of a layer whose functions there are.  Raises NotFinite."""
    at_once = functions.at_once(functions.size)
    parts = [
        functions.strongest(pictures[first : first + at_once], filters, twin) for first in range(0, len(pictures), at_once)
    ]
    values, places = (np.concatenate([part[i] for part in parts]).swapaxes(0, 1) for i in (0, 1))
    finite = np.isfinite(values).all(axis=(1, 2))
    if not finite.all():
        numbers = ", ".join(map(str, filters[~finite][:5]))
        raise NotFinite(
            f"activations of layer {functions.subject.site.name!r} are not finite for these images (filters {numbers}): "
            "did the training diverge?"
        )
    return Asked(functions, filters, pictures, twin, values, places.astype(np.int32))


def fields_of(functions: LayerFunctions, places: np.ndarray) -> np.ndarray | None:
    """(…, 4) int32: receptive fields of units, inside the picture, lo0, hi0, lo1, hi1; None where they are not known.

    Arguments:
        places: (…) flat positions in the map.
    """
    model, form = functions.subject.reference(), functions.subject.form
    field = functions.facts("field", lambda: field_of(model, functions.subject.site))
    found = boxes(unravelled(places, functions.map_size), field.size, field.stride, field.offset)
    if found is None or found.shape[-1] != 2 * len(form.axes):
        return None
    height, width = functions.size
    full = np.empty((*places.shape, 4), np.int32)
    full[..., :] = (0, height - 1, 0, width - 1)
    for axis, of_picture in enumerate(form.axes):
        last = (height, width)[of_picture] - 1
        full[..., 2 * of_picture : 2 * of_picture + 2] = np.clip(found[..., 2 * axis : 2 * axis + 2], 0, last)
    return full
