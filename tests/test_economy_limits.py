"""Filters that cannot go alone, sizes that are left open, models without a graph, and what of it the log says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

import featwatch as fw
from featwatch.economy import NO_GRAPH, OPEN_SIZE, economies
from featwatch.records import AN_OUTPUT, LayerInfo
from tests.economy_nets import convolutions, model_of, named, scores

layers = keras.layers


def residual(x: Any) -> Any:
    x = layers.Conv2D(4, 3, name="stem")(x)
    y = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same", name="branch")(layers.ReLU()(x)))
    return scores(layers.Flatten()(layers.Conv2D(5, 1, name="next")(layers.Add(name="sum")([x, y]))))


def test_what_is_added_to_others_goes_with_them():
    found = named(model_of(residual, 8, 8, 1))
    assert found["branch"].note == "it goes together with one of 'stem'" and found["next"].note == ""
    # Of each of the two: kernel and bias; the batch normalisation; and what the branch and the next layer have for a channel.
    together = (9 + 1) + (9 * 4 + 1 + 4) + 9 * 3 + 5
    assert found["branch"].filter_parameters == found["stem"].filter_parameters == together
    assert found["branch"].filter_multiply_adds == 6 * 6 * (9 + 9 * 4 + 9 * 3 + 5)


def test_an_output_says_that_it_is_one():
    def build(x: Any) -> Any:
        x = layers.Dense(6, name="features")(x)
        return {"features": layers.ReLU()(x), "scores": layers.Softmax()(layers.Dense(3, name="logits")(x)),
                "size": layers.Dense(1, name="size")(layers.Dense(4, name="hidden")(x)) * 10.0}  # fmt: skip

    found = named(model_of(build, 5))
    assert {name: entry.note for name, entry in found.items()} == {
        "features": AN_OUTPUT, "logits": found["logits"].note, "hidden": "", "size": AN_OUTPUT,
    }  # fmt: skip
    assert "'softmax" in found["logits"].note and found["logits"].filter_parameters == 0 and found["logits"].multiply_adds == 18


@pytest.mark.parametrize(
    ("between", "why"),
    [
        (lambda x: layers.LayerNormalization(name="norm")(x), "'norm'"),
        (lambda x: layers.Softmax(name="soft")(x), "'soft'"),
        (lambda x: layers.Lambda(lambda y: y[..., :2], name="half")(x), "'half'"),
        (lambda x: layers.Permute((3, 1, 2))(x), "'unlike'"),
    ],
)  # fmt: skip
def test_filters_that_cannot_go_save_nothing_and_say_why(between: Callable[[Any], Any], why: str) -> None:
    def build(x: Any) -> Any:
        x = between(layers.Conv2D(4, 3, name="it")(x))
        return scores(layers.Flatten()(layers.MaxPooling2D(1, name="unlike")(x)))

    it = named(model_of(build, 6, 6, 2))["it"]
    assert why in it.note and (it.filter_parameters, it.filter_multiply_adds) == (0, 0)


@pytest.mark.parametrize(
    ("between", "note"),
    [
        (lambda x: layers.Average()([x, layers.Conv2D(4, 1, name="other")(x)]), "it goes together with one of 'other'"),
        (lambda x: layers.Concatenate(1)([x, layers.Conv2D(4, 1, name="other")(x)]), "it goes together with one of 'other'"),
        (lambda x: layers.Conv2D(4, 1, groups=2, name="grouped")(x), "2 of its filters go at a time"),
    ],
)  # fmt: skip
def test_with_what_a_filter_goes(between: Callable[[Any], Any], note: str) -> None:
    def build(filters: int) -> Any:
        return model_of(lambda x: scores(layers.Flatten()(between(layers.Conv2D(filters, 3, name="it")(x)))), 6, 6, 2)

    assert named(build(4))["it"].note == note


def test_a_layer_that_reads_two_ties_them():
    reader = layers.Dense(4, name="reader")

    def build(x: Any) -> Any:
        one, other = reader(layers.Dense(5, name="it")(x)), reader(layers.Dense(5, name="other")(x))
        return scores(layers.Concatenate()([one, other]))

    it = named(model_of(build, 3))["it"]
    assert it.note == "it goes together with one of 'other'" and it.filter_parameters == 2 * (3 + 1) + 4


def test_filters_of_a_depthwise_convolution_go_with_those_that_feed_them():
    def build(x: Any) -> Any:
        x = layers.DepthwiseConv2D(3, name="it")(layers.Conv2D(4, 1, name="before")(x))
        return scores(layers.GlobalMaxPooling2D()(layers.Conv2D(5, 1)(x)))

    found = named(model_of(build, 6, 6, 1))
    assert found["it"].note == "it goes together with one of 'before'" and found["before"].note == ""
    assert found["it"].filter_parameters == found["before"].filter_parameters == (1 + 1) + (9 + 1) + 5


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
    assert (first.multiply_adds, first.filter_multiply_adds) == (-1, -1) and first.filter_parameters > 0
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
