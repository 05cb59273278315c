"""What layers cost, what a filter less saves: against models with a filter less, TensorFlow's own graph, published counts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import featwatch as fw
from featwatch.economy import NO_GRAPH, OPEN_SIZE, economies
from featwatch.records import AN_OUTPUT, LayerInfo

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
    "gated": lambda x: x * keras.ops.silu(x), "sloped": lambda x: layers.PReLU()(x), "enlarged": lambda x: layers.UpSampling2D()(x),
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


# Filters that cannot go alone


def residual(x: Any) -> Any:
    x = layers.Conv2D(4, 3, name="stem")(x)
    y = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same", name="branch")(layers.ReLU()(x)))
    return scores(layers.Flatten()(layers.Conv2D(5, 1, name="next")(layers.Add(name="sum")([x, y]))))


def test_of_what_is_added_to_others_only_its_own_is_counted():
    found = named(model_of(residual, 8, 8, 1))
    assert found["branch"].note == "its output is added to others' (sum): what would have to go along is not counted"
    assert found["branch"].filter_parameters == 9 * 4 + 1 + 4            # kernel, bias, batch normalisation
    assert found["branch"].filter_multiply_adds == 6 * 6 * 9 * 4
    assert (found["stem"].filter_parameters, found["stem"].filter_multiply_adds) == (9 + 1, 6 * 6 * 9)
    assert found["next"].note == ""


def test_an_output_says_that_it_is_one():
    def build(x: Any) -> Any:
        x = layers.Dense(6, name="features")(x)
        return {"features": layers.ReLU()(x), "scores": layers.Softmax()(layers.Dense(3, name="logits")(x)),
                "size": layers.Dense(1, name="size")(layers.Dense(4, name="hidden")(x)) * 10.0}  # fmt: skip

    found = named(model_of(build, 5))
    assert {name: entry.note for name, entry in found.items()} == {
        "features": AN_OUTPUT, "logits": AN_OUTPUT, "hidden": "", "size": AN_OUTPUT,
    }  # fmt: skip
    assert found["logits"].filter_parameters == -1 and found["logits"].multiply_adds == 18


@pytest.mark.parametrize(
    ("between", "why"),
    [
        (lambda x: layers.LayerNormalization(name="norm")(x), "'norm' normalises it together with the others"),
        (lambda x: layers.Softmax(name="soft")(x), "'soft' takes a softmax over it and the others"),
        (lambda x: layers.Conv2D(4, 1, groups=2, name="grouped")(x), "'grouped' reads it in groups"),
        (lambda x: layers.Lambda(lambda y: y[..., :2], name="half")(x), "what 'half' makes of it is not known"),
        (lambda x: x * np.ones((4,), np.float32), "is not known"),
        (lambda x: layers.Average(name="mean")([x, layers.Conv2D(4, 1)(x)]), "its output is averaged with others' (mean)"),
        (lambda x: layers.Concatenate(1, name="below")([x, layers.Conv2D(4, 1)(x)]), "lies beside others' in the same channels"),
        (lambda x: layers.Permute((3, 1, 2))(x), "what 'unlike' makes of it is not known"),
    ],
)  # fmt: skip
def test_why_a_filter_cannot_go_alone(between: Callable[[Any], Any], why: str) -> None:
    def build(x: Any) -> Any:
        x = between(layers.Conv2D(4, 3, name="it")(x))
        return scores(layers.Flatten()(layers.MaxPooling2D(1, name="unlike")(x)))

    it = named(model_of(build, 6, 6, 2))["it"]
    assert why in it.note
    assert (it.filter_parameters, it.filter_multiply_adds) >= (9 * 2 + 1, 16 * 9 * 2)


def test_a_layer_that_also_reads_others_cannot_lose_an_input():
    reader = layers.Dense(4, name="reader")

    def build(x: Any) -> Any:
        one, other = reader(layers.Dense(5, name="it")(x)), reader(layers.Dense(5, name="other")(x))
        return scores(layers.Concatenate()([one, other]))

    it = named(model_of(build, 3))["it"]
    assert "'reader' reads other things, too" in it.note and it.filter_parameters == 4


def test_filters_of_a_depthwise_convolution_go_with_those_that_feed_them():
    def build(x: Any) -> Any:
        x = layers.DepthwiseConv2D(3, name="it")(layers.Conv2D(4, 1, name="before")(x))
        return scores(layers.GlobalMaxPooling2D()(layers.Conv2D(5, 1)(x)))

    found = named(model_of(build, 6, 6, 1))
    assert found["it"].note == "it goes only together with the filter that feeds it, which is not counted"
    assert found["it"].filter_parameters == 9 + 1 + 5
    assert found["before"].filter_parameters == 1 + 1 + found["it"].filter_parameters and found["before"].note == ""


def test_what_a_layer_holds_beside_its_kernel_is_not_guessed():
    class Scaled(layers.Dense):
        def build(self, input_shape):
            super().build(input_shape)
            self.gain = self.add_weight(shape=(), initializer="ones")

    found = named(model_of(lambda x: scores(Scaled(4, name="it")(layers.Dense(5, name="before")(x))), 3))
    assert "it" not in found and "what 'it' makes of it is not known" in found["before"].note


# Sizes, inputs, and models without a graph


def test_a_size_that_the_model_leaves_open_is_that_of_the_samples():
    def build(x: Any) -> Any:
        x = layers.MaxPooling2D()(layers.Conv2D(4, 3, padding="same", activation="relu")(x))
        squeezed = layers.GlobalAveragePooling2D(keepdims=True)(layers.ZeroPadding2D()(x))
        x = layers.Multiply()([layers.Concatenate()([x, x]), layers.Conv2D(8, 1, activation="sigmoid")(squeezed)])
        return scores(layers.GlobalAveragePooling2D()(layers.Conv2D(5, 3)(x)))

    free, fixed = model_of(build, None, None, 1), model_of(build, 12, 10, 1)
    given = [(e.multiply_adds, e.filter_multiply_adds) for e in economies(free, (12, 10, 1)).values()]
    assert given == [(e.multiply_adds, e.filter_multiply_adds) for e in economies(fixed).values()]
    first, *_ = economies(free).values()
    assert (first.multiply_adds, first.filter_multiply_adds, first.filter_parameters) == (-1, -1, 9 + 1)
    assert first.note.endswith(OPEN_SIZE)


def test_channels_may_come_first():
    def build(form: str) -> Any:
        def built(x: Any) -> Any:
            x = layers.Conv2D(6, 3, data_format=form, name="it")(x)
            x = layers.BatchNormalization(1 if form == "channels_first" else -1)(x)
            x = layers.MaxPooling2D(2, data_format=form)(layers.DepthwiseConv2D(3, data_format=form)(layers.ReLU()(x)))
            return scores(layers.Flatten(data_format=form)(layers.Conv2DTranspose(3, 2, data_format=form)(x)))

        return model_of(built, *((2, 12, 11) if form == "channels_first" else (12, 11, 2)))

    first, last = build("channels_first"), build("channels_last")
    assert list(economies(first).values()) == list(economies(last).values())
    assert named(first)["it"].note == ""


def test_which_layers_read_the_input():
    def build(x: Any) -> Any:
        x = layers.ZeroPadding2D()(layers.BatchNormalization()(layers.Rescaling(1 / 255)(x)))
        one, other = layers.Conv2D(4, 3, name="one")(x), layers.Conv2D(4, 3, name="other")(x)
        return scores(layers.Flatten()(layers.Conv2D(2, 1, name="next")(layers.Add()([one, other]))))

    found = named(model_of(build, 8, 8, 3))
    assert [name for name, entry in found.items() if entry.reads_input] == ["one", "other"]


def infos(model: Any, shape: tuple[int, ...], log_dir: Any) -> dict[str, LayerInfo]:
    x = np.random.default_rng(0).random((12, *shape), np.float32)
    fw.snapshot(model, fw.Probe(x), str(log_dir), recorders=[fw.FilterHealth()])
    return {info.name: info for info in map(LayerInfo.of, fw.load(str(log_dir)).sessions[-1].layers) if info}


def test_the_log_says_what_each_layer_costs(tmp_path):
    model = convolutions(6)
    found, known = infos(model, (13, 12, 2), tmp_path), named(model)
    for name, info in found.items():
        assert info.multiply_adds == known[name].multiply_adds
        assert info.filter_parameters == known[name].filter_parameters
        assert info.filter_multiply_adds == known[name].filter_multiply_adds
        assert (info.saving_note, info.reads_input) == (known[name].note, known[name].reads_input)
    assert found["it"].reads_input and found["scores"].saving_note == AN_OUTPUT


def test_a_model_without_a_graph_says_so(tmp_path):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.first, self.last = layers.Dense(4, name="first"), layers.Dense(2, name="last")

        def call(self, inputs):
            return self.last(keras.ops.relu(self.first(inputs)))

    model = Own()
    model(np.zeros((1, 3), np.float32))
    first = infos(model, (3,), tmp_path)["first"]
    assert (first.multiply_adds, first.filter_parameters, first.saving_note) == (-1, -1, NO_GRAPH)
    assert economies(model) == {}
