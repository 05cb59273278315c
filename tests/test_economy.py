"""What layers cost, what a filter less saves: against models with a filter less, TensorFlow's own graph, published counts."""

from __future__ import annotations

import math
from typing import Any

import keras
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from featwatch.economy import economies
from tests.economy_nets import ALONE, Build, frames, model_of, named, one_per_group, scores

layers = keras.layers


def multiply_adds_of_graph(model: Any) -> int:
    """Multiply-adds of the operations that TensorFlow runs for one sample, by the shapes of its own graph."""
    specs = [tf.TensorSpec((1, *tensor.shape[1:]), tensor.dtype) for tensor in model.inputs]
    traced = tf.function(lambda *inputs: model(inputs[0] if len(inputs) == 1 else list(inputs), training=False))
    total = 0
    for operation in traced.get_concrete_function(*specs).graph.get_operations():
        if operation.type in ("Conv2D", "Conv3D"):
            total += math.prod(operation.outputs[0].shape) * math.prod(operation.inputs[1].shape[:-1])
        elif operation.type == "DepthwiseConv2dNative":
            total += math.prod(operation.outputs[0].shape) * math.prod(operation.inputs[1].shape[:2])
        elif operation.type in ("Conv2DBackpropInput", "Conv3DBackpropInputV2"):
            total += math.prod(operation.inputs[2].shape) * math.prod(operation.inputs[1].shape[:-1])
        elif operation.type in ("MatMul", "BatchMatMulV2"):
            inner = operation.inputs[0].shape[-2 if operation.type == "MatMul" and operation.get_attr("transpose_a") else -1]
            total += math.prod(operation.outputs[0].shape) * inner
    return total


@pytest.mark.parametrize("build", ALONE, ids=lambda build: build.__name__)
def test_what_a_filter_less_saves_is_what_the_model_without_it_lacks(build: Build) -> None:
    model, less = build(6), build(5)
    it = named(model)["it"]
    assert it.note == ""
    assert it.filter_parameters == model.count_params() - less.count_params()
    before, after = (sum(found.multiply_adds for found in named(each).values()) for each in (model, less))
    assert it.filter_multiply_adds == before - after


STAGES = {
    "conv": lambda x, filters: layers.Conv2D(filters, 3, padding="same")(x),
    "transposed": lambda x, filters: layers.Conv2DTranspose(filters, 2)(x),
    "separable": lambda x, filters: layers.SeparableConv2D(filters, 3, padding="same")(x),
    "dense": lambda x, filters: layers.Dense(filters)(x),
    "twice": lambda x, filters: layers.Concatenate()([(y := layers.Conv2D(filters, 1)(x)), layers.ReLU()(y)]),
}  # fmt: skip
BETWEEN = {
    "normalised": lambda x: layers.BatchNormalization()(x), "pooled": lambda x: layers.MaxPooling2D(2, padding="same")(x),
    "depthwise": lambda x: layers.DepthwiseConv2D(2, depth_multiplier=2, padding="same")(x),
    "gated": lambda x: x * keras.ops.silu(x), "sloped": lambda x: layers.PReLU()(x),
    "enlarged": lambda x: layers.UpSampling2D()(x),
}  # fmt: skip
STEPS = st.tuples(st.sampled_from(sorted(STAGES)), st.lists(st.sampled_from(sorted(BETWEEN)), max_size=2))


@settings(max_examples=15, deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=3), st.data())
def test_so_it_is_in_any_chain(stages: list[tuple[str, list[str]]], data: st.DataObject) -> None:
    chosen = data.draw(st.integers(0, len(stages) - 1))

    def build(less: int) -> Any:
        def built(x: Any) -> Any:
            for at, (kind, between) in enumerate(stages):
                x = STAGES[kind](x, 4 - less * (at == chosen))
                for step in between:
                    x = BETWEEN[step](x)
            return scores(layers.Flatten()(x))

        return model_of(built, 5, 4, 2)

    model, less = build(0), build(1)
    whole, rest = economies(model), economies(less)
    own = [layer for layer in model.layers if id(layer) in whole and not isinstance(layer, layers.DepthwiseConv2D)]
    it = whole[id(own[chosen])]
    assert it.note == "" and it.filter_parameters == model.count_params() - less.count_params()
    assert it.filter_multiply_adds == sum(e.multiply_adds for e in whole.values()) - sum(e.multiply_adds for e in rest.values())


# Keras runs a convolution in groups, and what is distributed over time, within functions and loops of their own.
IN_ONE_GRAPH = [build for build in ALONE if build not in (frames, one_per_group)]


@pytest.mark.parametrize("build", IN_ONE_GRAPH, ids=lambda build: build.__name__)
def test_multiply_adds_are_those_of_tensorflows_graph(build: Build) -> None:
    model = build(6)
    assert sum(found.multiply_adds for found in named(model).values()) == multiply_adds_of_graph(model)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "published"),
    [("VGG16", 15.47e9), ("ResNet50", 3.858e9), ("MobileNetV2", 300e6), ("DenseNet121", 2.834e9)],
)  # fmt: skip
def test_the_counts_of_well_known_nets_are_the_published_ones(name: str, published: float) -> None:
    counted = economies(getattr(keras.applications, name)(weights=None))
    assert sum(found.multiply_adds for found in counted.values()) == pytest.approx(published, rel=3e-3)
