"""The traced functions of one layer that attributions need, each made when it is first asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from featwatch.explain.ascent.ascent import traced
from featwatch.explain.ascent.frame import Frame, frame_of
from featwatch.explain.attribution.rules import ruled
from featwatch.explain.attribution.twin import Twin
from featwatch.explain.forms import Unsuitable
from featwatch.explain.kept import kept
from featwatch.explain.subject import Subject

MOST_UNITS = 16                         # of a map, the strongest
_PIXELS_AT_ONCE = 1 << 18
_PICTURES_AT_ONCE = 256
_EPSILONS = {"float16": 1e-3, "bfloat16": 8e-3}

Maps = Callable[[tf.Tensor], tf.Tensor]     # pictures -> (pictures, …, filters), what leaves the layer's activation


class LayerFunctions:
    """The functions of one layer.  They always use the weights of the moment, or a twin's.

    Arguments:
        subject: the layer.

    Raises:
        Unsuitable: the layer's values cannot be had, or its map has no fixed size.
        WritesState: the model writes variables in inference.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._functions: dict[Hashable, Any] = {}
        self._facts: dict[Hashable, Any] = {}
        self._variables: tuple[Any, ...] = ()
        self.map_size: tuple[int, ...] = ()
        self.filters = 0
        model: Any = subject.reference()
        strongest = self._strongest(None)
        used = {id(variable) for variable in strongest.graph.variables}
        # Only what the layer depends on: a twin of VGG-16 for a convolution need not draw its dense layers.
        self._variables = tuple(variable for variable in model.variables if id(variable._value) in used)
        self.frame: Frame = frame_of(model, subject.site, subject.form, self.map_size)
        self.precision = _EPSILONS.get(getattr(subject.site.layer, "compute_dtype", "float32"), 1e-7)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the model's input."""
        return self.subject.form.size[:2]

    def at_once(self, size: Sequence[int]) -> int:
        """How many pictures of a size (height, width) go in one batch."""
        return max(1, min(_PICTURES_AT_ONCE, _PIXELS_AT_ONCE // (size[0] * size[1])))

    def call(
        self, key: Hashable, body: Callable[..., Any], specs: Sequence[tf.TensorSpec], arguments: Sequence[Any],
        twin: Twin | None = None, mode: str = "gradient",
    ) -> Any:  # fmt: skip
        """What `body(maps, *arguments)` gives, as NumPy: traced at the first call with this key.

        Arguments:
            specs: of the arguments.
            mode: what ReLUs pass back: `featwatch.explain.attribution.rules`.
        """
        function = self._function(key, body, specs, twin, mode)
        tensors = [tf.constant(each, spec.dtype) for each, spec in zip(arguments, specs, strict=True)]
        values = tuple(twin.values(self._variables)) if twin is not None else ()
        return tf.nest.map_structure(lambda tensor: tensor.numpy(), function(*tensors, values))

    def facts(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What `make` gives, kept with the functions."""
        if key not in self._facts:
            self._facts[key] = make()
        return self._facts[key]

    def window_map(self, size: tuple[int, int]) -> tuple[int, ...] | None:
        """The size of the map that the layer makes of a window (height, width) of a picture; None where it takes none."""

        def found() -> tuple[int, ...] | None:
            shapes: list[tuple[int, ...]] = []

            def body(maps: Maps, pictures: tf.Tensor) -> tf.Tensor:
                shapes.append(tuple(maps(pictures).shape[1:-1]))
                return tf.shape(pictures)[0]

            channels = self.subject.form.size[2]
            try:
                self._function(("window", size), body, [tf.TensorSpec((None, *size, channels), tf.float32)], None)
            except Exception:                       # such as a layer that only takes inputs of one size
                return None
            return shapes[0]

        return self.facts(("window", size), found)

    def strongest(self, pictures: np.ndarray, filters: np.ndarray, twin: Twin | None) -> tuple[np.ndarray, np.ndarray]:
        """Values and flat positions, (pictures, filters, units) each, of the units of each map that act most, in order."""
        function = self._strongest(twin)
        values = tuple(twin.values(self._variables)) if twin is not None else ()
        found = function(tf.constant(pictures, tf.float32), tf.constant(filters, tf.int32), values)
        return found[0].numpy(), found[1].numpy()

    def _strongest(self, twin: Twin | None) -> Any:
        def body(maps: Maps, pictures: tf.Tensor, filters: tf.Tensor) -> Any:
            after = maps(pictures)
            shape = tuple(after.shape[1:])
            if after.shape.rank is None or after.shape.rank < 2 or None in shape or 0 in shape:
                raise Unsuitable(f"the layer gives values of the shape {after.shape}: every axis but the first has to be fixed")
            self.map_size, self.filters = tuple(int(n) for n in shape[:-1]), int(shape[-1])
            units = math.prod(self.map_size)
            flat = tf.ensure_shape(tf.reshape(after, (-1, units, self.filters)), (None, units, self.filters))
            with tf.control_dependencies([tf.debugging.assert_equal(tf.shape(after)[0], tf.shape(pictures)[0])]):
                chosen = tf.transpose(tf.gather(flat, filters, axis=2), (0, 2, 1))
            values, places = tf.math.top_k(chosen, min(MOST_UNITS, units))
            # Where it puts NaN is not said.
            finite = tf.reduce_all(tf.math.is_finite(chosen), axis=2, keepdims=True)
            return tf.where(finite, values, np.float32(np.nan)), places

        form = self.subject.form
        specs = [tf.TensorSpec((None, *form.size), tf.float32), tf.TensorSpec((None,), tf.int32)]
        return self._function("strongest", body, specs, twin)

    def _function(
        self, key: Hashable, body: Callable[..., Any], specs: Sequence[tf.TensorSpec], twin: Twin | None, mode: str = "gradient"
    ) -> Any:
        key = key, mode, twin is not None
        if key not in self._functions:
            variables = self._variables if twin is not None else ()

            def function(*arguments: Any) -> Any:
                *tensors, values = arguments
                state = tuple(zip(variables, values, strict=True))

                def maps(pictures: tf.Tensor) -> tf.Tensor:
                    try:
                        with ruled(mode):
                            return self.subject.maps(pictures, state)[1]
                    except KeyError:
                        name = self.subject.site.name
                        raise Unsuitable(
                            f"the values of layer {name!r} cannot be had: the model does not call it in inference, or from "
                            "within a tf.function of its own"
                        ) from None

                return body(maps, *tensors)

            self._functions[key] = traced(function, *specs, tuple(tf.TensorSpec(v.shape, v.dtype) for v in variables))
        return self._functions[key]


def functions_of(model: Any, subject: Subject) -> LayerFunctions:
    """The functions of a layer, kept with the model.  Raises as `LayerFunctions` does."""
    return kept(model, ("attributions", *subject.key), lambda: LayerFunctions(subject))
