"""Networks whose filters are judged in tests: every activation, every kind of layer, and what looks at their health."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import featwatch as fw
from featwatch.preparation import prepare
from featwatch.recording import Recording
from featwatch.records import LayerHealth
from featwatch.writers import MemoryWriter

layers = keras.layers
FILTERS = 6


class Checkup:
    """Looks at the health of a model's filters over and over, with the weights of the moment; compiles once."""

    def __init__(self, model: Any, x: np.ndarray) -> None:
        self._x = x
        self._model = model
        self._recorder = fw.FilterHealth()
        probe = fw.Probe(x)
        prepared = prepare(model, probe, [self._recorder], None, None)
        self.sites = {site.name: site for site in prepared.passes.plan.sites}
        self._writer = MemoryWriter()
        self._recording = Recording(model, probe, prepared, self._writer, background=False)
        self._epoch = 0
        self._plain: Any = None

    def __call__(self) -> dict[str, LayerHealth]:
        """Health by layer, one epoch later than at the last call."""
        self._writer.records.clear()
        self._recording.snapshot(self._epoch, [self._recorder])
        self._epoch += 1
        assert not self._recording.failure(), self._recording.failure()
        return {record.layer: record for record in self._writer.records if isinstance(record, LayerHealth)}

    def activations(self, tensors: dict[str, Any]) -> dict[str, np.ndarray]:
        """The whole tensors over the probe, by name, (samples, …), as a plain Keras model gives them; always the same ones."""
        self._plain = self._plain or keras.Model(self._model.inputs, tensors)
        return self._plain.predict(self._x, verbose=0)


def leaky(x: Any) -> Any:
    """It calls itself a rectifier, and is none."""
    return keras.ops.leaky_relu(x, negative_slope=0.2)


leaky.__name__ = "relu"


def _conv(name: str, activation: Any = None) -> Any:
    return layers.Conv2D(FILTERS, 3, activation=activation, name=name)


# Name of the layer -> (the function that really applies, by its name; how its tensor comes from the input).
ACTIVATED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    **{f"by_{name}": (name, lambda x, name=name: _conv(f"by_{name}", name)(x))
       for name in ("relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "sigmoid", "tanh", "softmax")},
    "prelu": ("prelu", lambda x: layers.PReLU(alpha_initializer="ones")(_conv("prelu")(x))),
    "so_called": ("leaky_relu", lambda x: _conv("so_called", leaky)(x)),
    "operation": ("relu", lambda x: keras.ops.relu(_conv("operation")(x))),
    "ceiling": ("ceiling", lambda x: layers.ReLU(max_value=0.5)(_conv("ceiling")(x))),
    "half_elu": ("half_elu", lambda x: layers.ELU(alpha=0.5)(_conv("half_elu")(x))),
    "normalised": ("tanh", lambda x: layers.Activation("tanh")(layers.BatchNormalization()(_conv("normalised")(x)))),
    "pooled": ("relu", lambda x: layers.ReLU()(layers.MaxPooling2D()(_conv("pooled")(x)))),
    "averaged": ("relu", lambda x: layers.ReLU()(layers.AveragePooling2D(2)(layers.BatchNormalization()(_conv("averaged")(x))))),
    "dropped": ("gelu", lambda x: layers.Activation("gelu")(layers.SpatialDropout2D(0.5)(_conv("dropped")(x)))),
}  # fmt: skip


def activated() -> tuple[Any, dict[str, Any]]:
    """A model with one layer for each way to be activated, and the tensors that stand for them; and one that is added first."""
    inputs = keras.Input((8, 8, 3))
    tensors = {name: make(inputs) for name, (_, make) in ACTIVATED.items()}
    outputs = [layers.GlobalAveragePooling2D()(tensor) for tensor in tensors.values()]
    tensors["added"] = layers.Conv2D(FILTERS, 3, padding="same", name="added")(inputs)
    total = layers.Add()([layers.BatchNormalization()(tensors["added"]), layers.Concatenate()([inputs, inputs])])
    outputs.append(layers.GlobalAveragePooling2D()(layers.ReLU()(total)))
    return keras.Model(inputs, layers.Concatenate()(outputs)), tensors


# Name of a layer of each kind -> (the layer, the shape that it takes).  All are rectified.
KINDS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "dense": (lambda: layers.Dense(FILTERS, "relu", name="dense"), (256,)),
    "by_position": (lambda: layers.Dense(FILTERS, "relu", name="by_position"), (64, 4)),
    "conv1d": (lambda: layers.Conv1D(FILTERS, 5, activation="relu", name="conv1d"), (64, 4)),
    "conv2d": (lambda: layers.Conv2D(FILTERS, 3, strides=2, padding="same", activation="relu", name="conv2d"), (8, 8, 4)),
    "conv3d": (lambda: layers.Conv3D(FILTERS, 3, activation="relu", name="conv3d"), (4, 4, 4, 4)),
    "grouped": (lambda: layers.Conv2D(FILTERS, 3, groups=2, activation="relu", name="grouped"), (8, 8, 4)),
    "depthwise": (lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu", name="depthwise"), (8, 8, 4)),
    "depthwise1d": (lambda: layers.DepthwiseConv1D(5, depth_multiplier=2, activation="relu", name="depthwise1d"), (64, 4)),
    "separable": (lambda: layers.SeparableConv2D(FILTERS, 3, activation="relu", name="separable"), (8, 8, 4)),
    "transposed": (
        lambda: layers.Conv2DTranspose(FILTERS, 3, strides=2, padding="same", activation="relu", name="transposed"), (8, 8, 4)
    ),
    "distributed": (
        lambda: layers.TimeDistributed(layers.Conv1D(FILTERS, 5, activation="relu"), name="distributed"), (4, 16, 4)
    ),
    # 7 columns: where there are as many columns as filters, `keras.ops.add` of Keras 3.15 adds the biases to the columns.
    "first": (lambda: layers.Conv2D(FILTERS, 2, data_format="channels_first", activation="relu", name="first"), (4, 8, 8)),
}  # fmt: skip


def kinds() -> tuple[Any, dict[str, Any]]:
    """A model with one layer of each kind, side by side, and their tensors."""
    inputs = keras.Input((8, 8, 4))
    tensors, outputs = {}, []
    for name, (make, shape) in KINDS.items():
        entering = layers.Permute((3, 1, 2))(inputs) if name == "first" else layers.Reshape(shape)(inputs)
        tensors[name] = make()(entering)
        outputs.append(layers.Dense(1, name=f"{name}_out")(layers.Flatten()(tensors[name])))
    return keras.Model(inputs, layers.Concatenate()(outputs)), tensors


def kernel_of(layer: Any) -> Any:
    inner = layer.layer if isinstance(layer, layers.TimeDistributed) else layer
    return inner.pointwise_kernel if isinstance(inner, layers.SeparableConv2D) else inner.kernel


def bias_of(layer: Any) -> Any:
    return (layer.layer if isinstance(layer, layers.TimeDistributed) else layer).bias


def of_filter(layer: Any, kernel: np.ndarray, index: int) -> np.ndarray:
    """The part of a kernel that makes one filter, as a view: (…, channels that it looks at)."""
    if isinstance(layer, (layers.DepthwiseConv1D, layers.DepthwiseConv2D)):
        multiplier = kernel.shape[-1]
        return kernel[..., index // multiplier, index % multiplier : index % multiplier + 1]
    if isinstance(layer, layers.Conv2DTranspose):
        return kernel[..., index, :]
    return kernel[..., index]


def set_filter(layer: Any, index: int, change: Callable[[np.ndarray], Any], bias: float | None = None) -> None:
    """Let `change` change one filter's weights in place, and set its bias."""
    kernel = keras.ops.convert_to_numpy(kernel_of(layer)).copy()
    change(of_filter(layer, kernel, index))
    kernel_of(layer).assign(kernel)
    if bias is not None:
        values = keras.ops.convert_to_numpy(bias_of(layer)).copy()
        values[index] = bias
        bias_of(layer).assign(values)
