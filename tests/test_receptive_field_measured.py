"""Receptive fields that are measured: those of the graph where there is one; nothing moves; what cannot be told is said."""

from __future__ import annotations

import gc
import random
import weakref
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import featwatch as fw
from featwatch.explain import field_of, receptive_field
from featwatch.explain.ascent.frame import frame_of
from featwatch.explain.fields import probing
from featwatch.explain.fields.arithmetic import Start
from featwatch.explain.fields.measuring import measured
from featwatch.explain.forms import form_of
from featwatch.layers import choose
from tests.nets import functional
from tests.test_receptive_field import NETS, build

L = keras.layers


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.__name__)
def test_what_is_measured_is_what_the_graph_tells(net: Any) -> None:
    model = build(net)
    site = choose(model, "here")[0]
    found, start = measured(model, site), Start(model, site)
    assert len(found.units) >= 3
    for unit, span in zip(found.units, found.spans, strict=True):
        computed = start.seen(unit)
        if receptive_field(model, "here", unit).exact:
            assert span == computed, unit
        else:
            assert all(a <= c and b >= d for (a, b), (c, d) in zip(computed, span, strict=True)), unit
        for (low, high), (first, last) in zip(span, found.box(unit), strict=True):
            assert first <= low and last >= high
    field = field_of(model, site)
    if field.kind == "exact" and all(rule.regular and rule.stride for rule in found.rules):
        assert tuple((rule.size, rule.stride, rule.offset) for rule in found.rules) == tuple(
            zip(field.size, field.stride, field.offset, strict=True)
        )


class Block(L.Layer):
    def __init__(self, filters: int, stride: int, **more: Any) -> None:
        super().__init__(**more)
        self.first = L.Conv2D(filters, 3, strides=stride, padding="same", name="first")
        self.norm = L.BatchNormalization(name="norm")
        self.second = L.Conv2D(filters, 3, padding="same", kernel_initializer="zeros", name="second")
        self.beside = L.Conv2D(filters, 1, strides=stride, name="beside")

    def call(self, x: Any, training: bool | None = None) -> Any:
        return tf.nn.relu(self.second(keras.ops.relu(self.norm(self.first(x), training=training))) + self.beside(x))


class Net(keras.Model):
    """A residual net in code, with a pooling, weights of zero, and TensorFlow's functions in between."""

    def __init__(self, filters: int = 4) -> None:
        super().__init__(name="own")
        self.stem = L.Conv2D(filters, 5, strides=2, padding="same", name="stem")
        self.blocks = [Block(filters, 1, name="one"), Block(filters, 2, name="two")]
        self.pool = L.MaxPooling2D(name="pool")
        self.scores = L.Dense(3, activation="softmax", name="scores")
        self.dropout = L.Dropout(0.5)

    def call(self, x: Any, training: bool | None = None) -> Any:
        x = tf.nn.max_pool2d(tf.nn.silu(self.stem(x)), 3, 1, "SAME")
        for block in self.blocks:
            x = self.dropout(block(x, training=training), training=training)
        return self.scores(keras.ops.mean(self.pool(x), axis=(1, 2)))


def as_functional(shape: tuple[int, ...]) -> Any:
    """The same as a graph: layers of the same names."""

    def block(x: Any, stride: int, name: str) -> Any:
        y = keras.ops.relu(L.BatchNormalization()(L.Conv2D(4, 3, strides=stride, padding="same", name=f"{name}_first")(x)))
        y = L.Conv2D(4, 3, padding="same", name=f"{name}_second")(y)
        return keras.ops.relu(L.Add()([y, L.Conv2D(4, 1, strides=stride, name=f"{name}_beside")(x)]))

    inputs = keras.Input(shape)
    x = L.Conv2D(4, 5, strides=2, padding="same", name="stem")(inputs)
    x = L.MaxPooling2D(3, 1, padding="same")(keras.ops.silu(x))
    x = L.MaxPooling2D(name="pool")(block(block(x, 1, "one"), 2, "two"))
    return keras.Model(inputs, L.Dense(3, name="scores")(L.GlobalAveragePooling2D()(x)))


SHAPE = (61, 48, 3)


@pytest.fixture(scope="module")
def own() -> Any:
    model = Net()
    model(np.zeros((1, *SHAPE), np.float32))
    return model


LAYERS = ["stem", "one/first", "one/second", "two/first", "two/second", "two/beside", "pool", "scores"]


@pytest.mark.parametrize("layer", LAYERS)
def test_a_net_in_code_has_the_fields_of_the_same_net_as_a_graph(own: Any, layer: str) -> None:
    graph = as_functional(SHAPE)
    twin = choose(graph, layer.replace("/", "_"))[0]
    field, same = field_of(own, choose(own, layer)[0]), field_of(graph, twin)
    assert (field.kind, same.kind) == ("measured", "exact")
    assert (field.size, field.stride, field.offset, field.input) == (same.size, same.stride, same.offset, same.input)
    box, known = receptive_field(own, layer), receptive_field(graph, twin)
    assert (box.lo, box.hi, box.stride, box.within) == (known.lo, known.hi, known.stride, known.within)
    assert box.kind == "measured" and not box.exact and box.inside.kind == "measured"


def test_many_layers_do_not_make_what_is_seen_at_the_edge_vanish() -> None:
    """Plain gradients there are (1/6)^60 of what they begin with: 0 in single precision."""
    model = keras.Sequential([keras.Input((131, 1)), *[L.Conv1D(1, 3) for _ in range(59)], L.Conv1D(1, 3, name="here")])
    assert measured(model, choose(model, "here")[0], limited=False).box((5,)) == [(5, 125)]


def test_layers_of_the_users_own_within_a_graph() -> None:
    inputs = keras.Input((40, 30, 2))
    model = keras.Model(inputs, L.Conv2D(3, 3, name="behind")(Block(4, 2, name="block")(L.Conv2D(2, 3, name="before")(inputs))))
    assert receptive_field(model, "before").kind == "exact"
    inner = receptive_field(model, "block/second")
    assert (inner.kind, inner.size, inner.stride) == ("measured", (9, 9), (2, 2))
    behind = receptive_field(model, "behind")
    assert (behind.kind, behind.size, behind.stride) == ("measured", (13, 13), (2, 2))


def test_pooling_before_the_activation_counts() -> None:
    """What is recorded of such a layer is the map behind its activation: its units are those of the pooled map."""
    inputs = keras.Input((13, 12, 1))
    x = L.ReLU()(L.MaxPooling2D()(L.Conv2D(2, 3, name="here")(inputs)))
    model = keras.Model(inputs, x)
    assert choose(model, "here")[0].tapped is not model.get_layer("here")
    field = field_of(model, choose(model, "here")[0])
    assert (field.size, field.stride, field.offset, field.kind) == ((4, 4), (2, 2), (0, 0), "exact")
    assert receptive_field(model, "here", (4, 4)).hi == (11, 11)


def test_behind_a_mean_over_all_positions_a_unit_sees_everything_and_that_is_said() -> None:
    """Fields at the borders, which begin in the padding, do not make it seem that they moved."""
    inputs = keras.Input((24, 20, 2))
    x = L.Conv2D(4, 3, padding="same", name="before")(inputs)
    scale = L.Reshape((1, 1, 4))(L.Dense(4, activation="sigmoid", name="excite")(L.GlobalAveragePooling2D()(x)))
    x = L.Conv2D(3, 7, padding="same", name="behind")(L.Multiply()([x, scale]))
    model = keras.Model(inputs, x)
    before, behind = (field_of(model, choose(model, layer)[0]) for layer in ("before", "behind"))
    assert (before.size, before.stride, before.kind) == ((3, 3), (1, 1), "exact")
    assert (behind.size, behind.stride, behind.offset, behind.kind) == ((24, 20), (0, 0), (0, 0), "exact")
    assert receptive_field(model, "behind", (0, 0)).inside.hi == (23, 19)
    assert receptive_field(model, "behind", (0, 0)).stride == (0, 0)
    assert not frame_of(model, choose(model, "behind")[0], form_of(model), (24, 20)).patch


@pytest.mark.parametrize("layer", ["one/first", "two/second", "pool", "scores"])
def test_the_unit_of_a_net_in_code_has_the_same_value_in_its_window(own: Any, layer: str) -> None:
    site, x = choose(own, layer)[0], np.random.default_rng(0).normal(size=(3, *SHAPE)).astype(np.float32)
    map_size = {"one/first": (31, 24), "two/second": (16, 12), "pool": (8, 6), "scores": ()}[layer]
    frame = frame_of(own, site, form_of(own, x), map_size)
    assert frame.patch == (layer != "scores")
    if frame.patch:
        (top, left), (height, width) = frame.origin, frame.size
        assert height < SHAPE[0] and width <= SHAPE[1]
        there, here = (values(own, site, part) for part in (x, x[:, top : top + height, left : left + width]))
        full, unit = (slice(None), *frame.full_unit), (slice(None), *frame.unit)
        np.testing.assert_allclose(here[unit], there[full], rtol=1e-4, atol=1e-5)


def values(model: Any, site: Any, x: np.ndarray) -> np.ndarray:
    """What leaves a layer, caught by hand."""
    caught: list[Any] = []
    call = site.layer.call

    def telling_call(*args: Any, **kwargs: Any) -> Any:
        caught.append(call(*args, **kwargs))
        return caught[-1]

    object.__setattr__(site.layer, "call", telling_call)
    try:
        model(x, training=False)
    finally:
        object.__delattr__(site.layer, "call")
    return np.asarray(caught[0])


def test_nothing_of_the_model_moves() -> None:
    for model in (Net(), functional()):
        x = np.random.default_rng(0).normal(size=(4, *(SHAPE if isinstance(model, Net) else (8, 8, 1)))).astype(np.float32)
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(x, np.arange(4) % 3, verbose=0)
        random.seed(1), np.random.seed(1), keras.utils.set_random_seed(1)
        weights = [variable.numpy() for variable in (*model.variables, *model.optimizer.variables)]
        states = random.getstate(), np.random.get_state()[1].tolist(), tf.random.get_global_generator().state.numpy().tolist()
        generators = [generator for layer in model._flatten_layers() for generator in layer._seed_generators]
        seeds = [generator.state.numpy().tolist() for generator in generators]
        attributes = [dict(vars(layer)) for layer in model._flatten_layers()]
        following = tf.random.uniform((3,)).numpy()
        keras.utils.set_random_seed(1), random.setstate(states[0])
        compiled = model.train_function
        for site in choose(model, None):
            assert field_of(model, site, probe=x).kind in ("measured", "exact")
            assert measured(model, site, x).units
        after = [variable.numpy() for variable in (*model.variables, *model.optimizer.variables)]
        assert all(np.array_equal(a, b) for a, b in zip(weights, after, strict=True))
        assert np.random.get_state()[1].tolist() == states[1] and random.getstate() == states[0]
        assert tf.random.get_global_generator().state.numpy().tolist() == states[2]
        np.testing.assert_array_equal(tf.random.uniform((3,)), following)
        assert seeds == [generator.state.numpy().tolist() for generator in generators]
        assert [list(vars(layer)) for layer in model._flatten_layers()] == [list(each) for each in attributes]
        assert model.train_function is compiled and not tf.compat.v1.get_default_graph()._gradient_override_map


def test_it_is_traced_once_and_goes_with_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Net()
    model(np.zeros((1, *SHAPE), np.float32))
    made: list[probing.Probing] = []
    original = probing.Probing

    def making(*args: Any, **kwargs: Any) -> probing.Probing:
        made.append(original(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(probing, "Probing", making)
    for _ in range(3):
        for site in choose(model, None):
            assert field_of(model, site).kind == "measured"
    assert len(made) == 1
    runs: list[int] = []
    monkeypatch.setattr(made[0], "_function", lambda *_: runs.append(1))
    assert field_of(model, choose(model, "stem")[0]).kind == "measured" and not runs        # nothing is measured twice
    gone = weakref.ref(model)
    made.clear()
    del model, site
    monkeypatch.undo()
    gc.collect()
    assert gone() is None


def test_what_takes_too_long_is_left_and_said(own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Net()
    x = np.zeros((1, *SHAPE), np.float32)
    model(x)
    site = choose(model, "two/second")[0]
    monkeypatch.setattr(probing, "SECONDS_PER_MODEL", 0.0)
    field = field_of(model, site)
    assert field.size == () and "not measured, to spare the training" in field.kind and "'two/second'" in field.kind
    assert receptive_field(model, "two/second").kind == "measured"          # who asks for it waits for it
    monkeypatch.setattr(probing, "_ELEMENTS_PER_SECOND", 1e3)
    again = Net()
    again(x)
    reasons = {field_of(again, each).kind for each in choose(again, None)}
    assert len(reasons) == 1 and "per unit" in reasons.pop()
    monkeypatch.undo()
    monkeypatch.setattr(probing, "_ELEMENTS_PER_SECOND", 1e8)               # some units can be had, not all
    few = Net()
    few(x)
    assert field_of(few, choose(few, "stem")[0]).size == (5, 5)


class Sorting(keras.Model):
    """Each position of the map is a pixel that an index, computed from all of the picture, points to."""

    def __init__(self) -> None:
        super().__init__(name="sorting")
        self.conv = L.Conv2D(2, 1, name="conv")

    def call(self, x: Any) -> Any:
        brightest = tf.argmax(tf.reduce_sum(x, (2, 3)), axis=1)
        return self.conv(x + tf.cast(brightest, tf.float32)[:, None, None, None])


class TwoInputs(keras.Model):
    def __init__(self) -> None:
        super().__init__(name="two_inputs")
        self.left, self.right = L.Conv2D(2, 3, name="left"), L.Conv2D(2, 3, name="right")
        self.both = L.Conv2D(2, 3, name="both")

    def call(self, inputs: Any) -> Any:
        return self.both(self.left(inputs["left"]) + self.right(inputs["right"]))


class Tokens(keras.Model):
    def __init__(self) -> None:
        super().__init__(name="tokens")
        self.embedding, self.conv = L.Embedding(10, 4), L.Conv1D(3, 3, name="conv")

    def call(self, x: Any) -> Any:
        return self.conv(self.embedding(x))


def test_what_cannot_be_measured_is_said() -> None:
    sorting = Sorting()
    sorting(np.zeros((1, 9, 8, 1), np.float32))
    with pytest.raises(ValueError, match="depends on more of its input than gradients tell"):
        receptive_field(sorting, "conv")
    assert "more of its input" in field_of(sorting, choose(sorting, "conv")[0]).kind
    two, x = TwoInputs(), {name: np.zeros((2, 9, 8, 1), np.float32) for name in ("left", "right")}
    two(x)
    assert receptive_field(two, "left", probe=x).size == (3, 3)
    with pytest.raises(ValueError, match="depends on several inputs"):
        receptive_field(two, "both", probe=x)
    tokens = Tokens()
    tokens(np.zeros((1, 7), np.int32))
    with pytest.raises(ValueError, match="takes int32 values"):
        receptive_field(tokens, "conv", probe=np.zeros((2, 7), np.int32))
    unbuilt = TwoInputs()
    unbuilt(x)
    with pytest.raises(ValueError, match="pass probe="):
        receptive_field(unbuilt, "left")
    with pytest.raises(ValueError, match=r"the map of layer 'left' has the size \(7, 6\)"):
        receptive_field(two, "left", (7, 0), probe=x)


def test_an_input_whose_size_is_left_open_is_told_by_the_probe() -> None:
    inputs = keras.Input((None, None, 1))
    x = L.Conv2D(2, 3, name="conv")(inputs)
    model = keras.Model(inputs, L.Dense(2, name="scores")(L.GlobalAveragePooling2D()(x)))
    with pytest.raises(ValueError, match="leaves open"):
        receptive_field(model, "scores")
    box = receptive_field(model, "scores", probe=np.zeros((3, 10, 12, 1), np.float32))
    assert (box.kind, box.inside.hi) == ("measured", (9, 11))
    assert field_of(model, choose(model, "scores")[0], probe=np.zeros((3, 10, 12, 1), np.float32)).size == (10, 12)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision(policy: str) -> None:
    keras.config.set_dtype_policy(policy)
    try:
        model = Net()
        model(np.zeros((1, *SHAPE), np.float32))
    finally:
        keras.config.set_dtype_policy("float32")
    assert receptive_field(model, "two/second").size == (29, 29)


def test_channels_first(own: Any) -> None:
    class First(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.norm = L.BatchNormalization(axis=1)
            self.conv = L.Conv2D(4, 3, strides=2, data_format="channels_first", name="conv")

        def call(self, x: Any) -> Any:
            return self.conv(self.norm(x))

    model = First()
    try:
        model(np.zeros((1, 2, 11, 9), np.float32))
    except Exception as error:
        pytest.skip(f"this TensorFlow has no such convolution: {type(error).__name__}")
    box = receptive_field(model, "conv", (1, 1))
    assert (box.lo, box.hi, box.stride) == ((2, 2), (4, 4), (2, 2))


def test_a_watched_training_says_what_was_measured(tmp_path: Any) -> None:
    model = Net()
    x, y = np.random.default_rng(0).random((12, 24, 24, 3), np.float32), np.arange(12) % 3
    model.compile("sgd", "sparse_categorical_crossentropy")
    watch = fw.Watch(tmp_path, fw.Probe(x, y), recorders=[fw.Exemplars(top=2)], background=False)
    model.fit(x, y, epochs=1, verbose=0, callbacks=[watch])
    run = fw.load(tmp_path)
    info = run.layer_infos["one/second"]
    assert (info.field_kind, info.field_size, info.field_stride, info.field_input) == ("measured", (17, 17), (2, 2), (24, 24))
    record = run.exemplars("one/second", 0)
    assert record.receptive_field == "measured" and record.boxes.shape[-1] == 4
