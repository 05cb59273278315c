"""Small models of which one layer's number of filters can be chosen, and what is known of their layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from featwatch.economy import economies

layers = keras.layers
Build = Callable[[int], Any]


def model_of(build: Callable[[Any], Any], *shape: int | None) -> Any:
    inputs = keras.Input(shape)
    return keras.Model(inputs, build(inputs))


def scores(x: Any) -> Any:
    return layers.Dense(3, activation="softmax", name="scores")(x)


def named(model: Any) -> dict[str, Any]:
    """What is known of each layer, by name, those of nested models included."""
    found: dict[str, Any] = {}
    counted = economies(model)

    def look(owner: Any) -> None:
        for layer in owner.layers:
            if isinstance(layer, keras.Model):
                look(layer)
            elif id(layer) in counted:
                found[layer.name] = counted[id(layer)]

    look(model)
    return found


# Models of which the layer "it" has a number of filters that can be chosen, and whatever reads them adapts itself.
def convolutions(filters: int) -> Any:
    def build(x: Any) -> Any:
        x = layers.Conv2D(filters, 3, use_bias=False, name="it")(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Conv2D(5, 3, strides=2, padding="same")(layers.MaxPooling2D()(layers.ZeroPadding2D()(x)))
        return scores(layers.GlobalAveragePooling2D()(x))

    return model_of(build, 13, 12, 2)


def flattened(filters: int) -> Any:
    def build(x: Any) -> Any:
        x = layers.PReLU()(layers.Conv2D(filters, (3, 2), name="it")(x))
        return scores(layers.Dense(7, activation="relu")(layers.Dropout(0.5)(layers.Flatten()(layers.Cropping2D()(x)))))

    return model_of(build, 9, 8, 2)


def depthwise(filters: int) -> Any:
    def build(x: Any) -> Any:
        x = layers.Conv2D(filters, 3, activation="relu6", name="it")(x)
        x = layers.BatchNormalization(scale=False)(layers.DepthwiseConv2D(3, depth_multiplier=2)(x))
        x = layers.PReLU(shared_axes=(1, 2))(x)
        return scores(layers.GlobalMaxPooling2D()(layers.Conv2D(4, 1)(x)))

    return model_of(build, 8, 8, 1)


def separable(filters: int) -> Any:
    def build(x: Any) -> Any:
        x = layers.SeparableConv2D(filters, 3, depth_multiplier=2, name="it")(x)
        return scores(layers.GlobalMaxPooling2D()(layers.SeparableConv2D(4, 3, depth_multiplier=3, activation="gelu")(x)))

    return model_of(build, 9, 9, 3)


def concatenated(filters: int) -> Any:
    def build(x: Any) -> Any:
        one, other = layers.Conv2D(filters, 3, padding="same", name="it")(x), layers.Conv2D(4, 5, padding="same")(x)
        x = layers.Concatenate()([one, layers.BatchNormalization()(layers.Concatenate()([other, one]))])
        return scores(layers.Flatten()(layers.Conv2D(2, 3)(layers.UpSampling2D()(x))))

    return model_of(build, 6, 6, 1)


def transposed(filters: int) -> Any:
    def build(x: Any) -> Any:
        x = layers.Conv2DTranspose(filters, 3, strides=2, activation="elu", name="it")(x)
        return layers.Conv2DTranspose(2, 2, strides=2)(x)

    return model_of(build, 5, 5, 3)


def sequences(filters: int) -> Any:
    def build(x: Any) -> Any:
        x = layers.Conv1D(filters, 3, name="it")(x)
        x = layers.Dense(6, activation="silu")(layers.AveragePooling1D(2)(x))
        return scores(layers.Flatten()(layers.TimeDistributed(layers.Dense(4))(x)))

    return model_of(build, 20, 3)


def dense_on_sequences(units: int) -> Any:
    def build(x: Any) -> Any:
        x = keras.ops.tanh(layers.TimeDistributed(layers.Dense(units), name="it")(x))
        return scores(keras.ops.mean(x * 2.0, axis=1))

    return model_of(build, 11, 3)


def frames(filters: int) -> Any:
    def build(x: Any) -> Any:
        x = layers.TimeDistributed(layers.Conv2D(filters, 3, activation="relu"), name="it")(x)
        x = layers.TimeDistributed(layers.Flatten())(layers.TimeDistributed(layers.MaxPooling2D())(x))
        return scores(layers.Flatten()(layers.Conv1D(3, 2)(x)))

    return model_of(build, 4, 8, 8, 1)


def volumes(filters: int) -> Any:
    def build(x: Any) -> Any:
        x = layers.Conv3D(filters, 2, name="it")(x)
        return scores(layers.Flatten()(layers.Conv3D(2, 3, padding="same")(layers.ELU()(x))))

    return model_of(build, 5, 4, 4, 2)


def two_ways(filters: int) -> Any:
    """The filters are read twice, once by a nested model that is called for two of their forms."""
    inner = keras.Sequential([keras.Input((6, 6, filters)), layers.Conv2D(3, 3, name="inner"), layers.ReLU()])

    def build(x: Any) -> Any:
        x = layers.Conv2D(filters, 3, name="it")(x)
        one, other = inner(keras.ops.relu(x)), inner(keras.ops.tanh(x))
        gated = layers.Multiply()([x, keras.ops.sigmoid(x)])
        gap = layers.Reshape((1, 1, filters))(layers.GlobalAveragePooling2D()(gated))
        return scores(layers.Concatenate()([layers.Flatten()(part) for part in (one, other, layers.Conv2D(2, 1)(gap))]))

    return model_of(build, 8, 8, 1)


def shared(filters: int) -> Any:
    """Two inputs go through the same layers."""
    tower = [layers.Conv1D(filters, 3, name="it"), layers.BatchNormalization(), layers.Conv1D(4, 3), layers.Flatten()]
    inputs, towers = [keras.Input((10, 2)) for _ in range(2)], []
    for x in inputs:
        for layer in tower:
            x = layer(x)
        towers.append(x)
    return keras.Model(inputs, scores(layers.Subtract()(towers)))


def masked(filters: int) -> Any:
    """A map of one channel masks all of them."""
    def build(x: Any) -> Any:
        mask = layers.Conv2D(1, 3, activation="sigmoid")(x)
        return scores(layers.Flatten()(layers.Multiply()([layers.Conv2D(filters, 3, name="it")(x), mask])))

    return model_of(build, 7, 7, 1)


def one_per_group(filters: int) -> Any:
    def build(x: Any) -> Any:
        x = layers.Conv2D(filters, 3, name="it")(x)
        return scores(layers.GlobalMaxPooling2D()(layers.Conv2D(2 * filters, 3, groups=filters)(x)))

    return model_of(build, 8, 8, 1)


ALONE = [
    convolutions, flattened, depthwise, separable, concatenated, transposed, sequences, dense_on_sequences, frames, volumes,
    two_ways, shared, masked, one_per_group,
]  # fmt: skip
