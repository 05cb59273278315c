"""What is to be explained: one layer of a model, as a function of pictures."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from featwatch.explain.fields.fields import site_of
from featwatch.explain.forms import Form, form_of
from featwatch.layers import Site
from featwatch.probe import Probe
from featwatch.running import State, filters_last, reach


@dataclass(frozen=True, eq=False)
class Subject:
    """One layer of a model, and the form of the model's only input."""

    reference: weakref.ref[Any]     # to the model
    site: Site
    form: Form

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells it from the model's other subjects, for `kept`."""
        return id(self.site.layer), id(self.site.tapped), self.form

    def maps(self, pictures: tf.Tensor, state: State = ()) -> tuple[tf.Tensor, tf.Tensor]:
        """While a function is traced: what enters the layer's activation, and what leaves it.

        (pictures, …, filters) float32 each; the same tensor where no activation applies, or what enters it cannot be had.

        Arguments:
            pictures: (pictures, height, width, channels), in the units of the model's input; perhaps of another size.
            state: values that some variables of the model are to have meanwhile.
        """
        reached = reach(self._model(), self.form.inputs(pictures), self.site, state)
        after = filters_last(reached.after, self.site.layer)
        return (after if reached.before is reached.after else filters_last(reached.before, self.site.layer)), after

    def pictures(self, images: Any) -> np.ndarray:
        """(images, height, width, channels) float32 of a `Probe`, or of an array of samples of the model's input.

        Raises ValueError where they do not fit the input.
        """
        samples = np.asarray(images.x if isinstance(images, Probe) else images)
        if samples.shape[1:] != self.form.shape:
            wanted = ", ".join(map(str, self.form.shape))
            raise ValueError(f"images of the shape {samples.shape}: expected (images, {wanted}), as the model takes them")
        if not len(samples) or samples.dtype.kind not in "fiub" or not np.isfinite(samples).all():
            raise ValueError(f"images of the shape {samples.shape} and type {samples.dtype}: expected some, of finite numbers")
        return self.form.pictures(samples).astype(np.float32)

    def _model(self) -> Any:
        model = self.reference()
        if model is None:
            raise RuntimeError("the model is gone")
        return model


def subject_of(model: Any, layer: Any, samples: Any = None) -> Subject:
    """A layer of a model as a subject.

    Arguments:
        layer: its name, "block/conv" within a nested model, the layer itself, or its `Site`.
        samples: a `Probe` or samples of the input, which tell what the model leaves open.

    Raises:
        ValueError: there is no such layer, or (Unsuitable) the input is no picture, sequence or vector of numbers.
    """
    samples = samples.x if isinstance(samples, Probe) else samples
    return Subject(weakref.ref(model), site_of(model, layer), form_of(model, samples))


def filters_of(filters: Sequence[int] | int | None, count: int, layer: str) -> np.ndarray:
    """(filters,) int64: the filters that are meant, None = all.  Raises ValueError where the layer has no such filters."""
    if filters is None:
        return np.arange(count)
    named = np.atleast_1d(np.asarray(filters))
    if named.ndim != 1 or not len(named) or named.dtype.kind not in "iu":
        raise ValueError(f"filters={filters!r}: give the numbers of some filters, as in filters=[0, 3]")
    if named.min() < 0 or named.max() >= count:
        raise ValueError(f"filters={filters!r}: layer {layer!r} has the filters 0 to {count - 1}")
    return named.astype(np.int64)
