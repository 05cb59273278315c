"""Every kind of model that `fit` takes can be watched, and what is read of it is what the model computes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import featwatch as fw
from featwatch.errors import FeatwatchWarning, RefusedValue
from featwatch.layers import Site, pick
from featwatch.survey import survey
from featwatch.taps import Reading, TapPass
from tests.nets import compiled, images

L = keras.layers
X, Y = images(70)
RNG = np.random.default_rng(0)


class Block(L.Layer):
    """A composite layer of the user's own."""

    def __init__(self, filters: int, **more: Any) -> None:
        super().__init__(**more)
        self.second = L.Conv2D(filters, 3, padding="same", activation="relu", name="second")     # made first, called last
        self.first = L.Conv2D(filters, 3, padding="same", name="first")
        self.norm = L.BatchNormalization(name="norm")

    def build(self, shape: Any) -> None:
        self.first.build(shape)
        inner = (*shape[:-1], self.first.filters)
        self.norm.build(inner)
        self.second.build(inner)

    def call(self, x: Any, training: bool | None = None) -> Any:
        return self.second(keras.ops.relu(self.norm(self.first(x), training=training)))


class Subclassed(keras.Model):
    def __init__(self, **more: Any) -> None:
        super().__init__(name="subclassed", **more)
        self.scores = L.Dense(3, activation="softmax", name="scores")
        self.block = Block(4, name="block")
        self.again = L.Conv2D(4, 3, padding="same", activation="relu", name="again")
        self.unused = L.ReLU(name="unused")

    def call(self, x: Any) -> Any:
        x = self.again(self.again(self.block(x)))
        return self.scores(keras.ops.mean(x, axis=(1, 2)))


class Functional(keras.Model):
    """A functional model within a subclassed one."""

    def __init__(self) -> None:
        super().__init__(name="outer")
        inputs = keras.Input((8, 8, 1))
        x = L.ReLU(name="relu")(L.BatchNormalization(name="norm")(L.Conv2D(4, 3, name="conv")(inputs)))
        self.backbone = keras.Model(inputs, x, name="backbone")
        self.pool = L.GlobalAveragePooling2D(name="pool")
        self.scores = L.Dense(3, activation="softmax", name="scores")

    def call(self, x: Any, training: bool | None = None) -> Any:
        return self.scores(self.pool(self.backbone(x, training=training)))


def built(model: Any) -> Any:
    model(X[:2])
    return model


def survey_and_read(model: Any, x: Any = X, choice: Any = None) -> tuple[list[Site], Reading, TapPass]:
    probe = fw.Probe(x)
    batch = next(iter(probe.batches()))[0]
    sites = pick(survey(model, batch).layers, choice, model.name)
    taps = TapPass(model, dict.fromkeys(sites, ("maximum", "mean", "features", "input_channel_minimum")), len(probe))
    taps.prepare(batch)
    return sites, taps.read(probe.batches()), taps


def names_of(sites: list[Site]) -> list[str]:
    return [site.name for site in sites]


def test_a_subclassed_model_is_read_in_the_order_in_which_it_calls() -> None:
    model = built(Subclassed())
    sites, reading, taps = survey_and_read(model)
    assert names_of(sites) == ["block/first", "block/second", "again", "scores"]
    assert taps.how == "calls, jit"
    assert [site.calls for site in sites] == [1, 1, 2, 1]
    np.testing.assert_allclose(reading.outputs[0], model.predict(X, verbose=0), atol=1e-5)
    np.testing.assert_allclose(reading.layers["block/first"]["maximum"], model.block.first(X).numpy().max((1, 2)), atol=1e-5)
    np.testing.assert_allclose(reading.layers["again"]["mean"], model.again(model.block(X)).numpy().mean((1, 2)), atol=1e-5)
    assert "call" not in vars(model.again)              # nothing stays behind
    assert "called 2 times; the first call is shown" in taps.info(sites[2]).note
    assert "no graph tells what follows it" in taps.info(sites[0]).note


def test_what_the_model_does_not_call_is_refused_with_the_reason() -> None:
    model = built(Subclassed())
    found = survey(model, X[:4])
    assert "does not call it in inference" in found.layers.refused["unused"]
    with pytest.raises(ValueError, match="layers: 'unused' cannot be watched: the model does not call it"):
        pick(found.layers, "unused", model.name)


def test_layers_within_a_layer_of_the_users_in_a_functional_model() -> None:
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, L.Dense(3, name="scores")(L.Flatten()(Block(4, name="block")(inputs))))
    sites, reading, taps = survey_and_read(model)
    assert (names_of(sites), taps.how) == (["block/first", "block/second", "scores"], "graph, jit")
    block = model.get_layer("block")
    np.testing.assert_allclose(reading.layers["block/second"]["mean"], block(X).numpy().mean((1, 2)), atol=1e-5)
    np.testing.assert_allclose(reading.outputs[0], model.predict(X, verbose=0), atol=1e-5)


def test_a_functional_model_within_a_subclassed_one_keeps_its_graph() -> None:
    model = built(Functional())
    sites, reading, taps = survey_and_read(model)
    assert names_of(sites) == ["backbone/conv", "scores"]
    assert (sites[0].tapped.name, sites[0].activation) == ("relu", "relu")      # through its batch-norm
    np.testing.assert_allclose(reading.layers["backbone/conv"]["maximum"], model.backbone(X).numpy().max((1, 2)), atol=1e-5)


def _two_inputs() -> tuple[Any, Any]:
    a, b = keras.Input((8, 8, 1), name="image"), keras.Input((5,), name="meta")
    x = L.Concatenate()([L.Flatten()(L.Conv2D(3, 3, activation="relu", name="conv")(a)), L.Dense(4, name="dense")(b)])
    x = L.Dense(3, name="scores")(x)
    return keras.Model({"meta": b, "image": a}, x), {"image": X, "meta": RNG.random((70, 5), np.float32)}


def _tuple_inputs() -> tuple[Any, Any]:
    a, b = keras.Input((8, 8, 1), name="left"), keras.Input((8, 8, 1), name="right")
    shared = L.Conv2D(3, 3, activation="relu", name="shared")
    x = L.Subtract()([L.Flatten()(shared(a)), L.Flatten()(shared(b))])
    return keras.Model([a, b], L.Dense(2, name="scores")(x)), (X, X[::-1].copy())


def _dict_outputs() -> tuple[Any, Any]:
    inputs = keras.Input((8, 8, 1))
    x = L.Flatten()(L.Conv2D(3, 3, activation="relu", name="conv")(inputs))
    return keras.Model(inputs, {"size": L.Dense(1, name="d1")(x), "kind": L.Dense(3, name="d2")(x)}), X


def _sequence() -> tuple[Any, Any]:
    inputs = keras.Input((6, 4))
    x, *_ = L.LSTM(5, return_sequences=True, return_state=True, name="lstm")(L.Conv1D(4, 2, name="conv")(inputs))
    return keras.Model(inputs, L.Dense(3, name="scores")(L.GRU(4, name="gru")(x))), RNG.random((70, 6, 4), np.float32)


def _words() -> tuple[Any, Any]:
    inputs = keras.Input((6,), dtype="int32")
    x = L.LSTM(5, name="lstm")(L.Embedding(20, 4, mask_zero=True, name="embedding")(inputs))
    return keras.Model(inputs, L.Dense(3, name="scores")(x)), RNG.integers(0, 20, (70, 6)).astype(np.int32)


def _volumes() -> tuple[Any, Any]:
    inputs = keras.Input((4, 6, 6, 1))
    x = L.Conv3DTranspose(2, 2, name="up")(L.Conv3D(3, 2, activation="relu", name="conv")(inputs))
    return keras.Model(inputs, L.Dense(3, name="scores")(L.GlobalMaxPooling3D()(x))), RNG.random((70, 4, 6, 6, 1), np.float32)


def _kinds_of_convolution() -> tuple[Any, Any]:
    inputs = keras.Input((8, 8, 1))
    x = L.DepthwiseConv2D(3, depth_multiplier=3, name="depthwise")(L.SeparableConv2D(4, 3, name="separable")(inputs))
    x = L.Conv2DTranspose(2, 3, name="transposed")(x)
    return keras.Model(inputs, L.Dense(3, name="scores")(L.Flatten()(x))), X


def _frames() -> tuple[Any, Any]:
    inputs = keras.Input((3, 8, 8, 1))
    x = L.TimeDistributed(L.Conv2D(2, 3, activation="relu"), name="each")(inputs)
    return keras.Model(inputs, L.Dense(3, name="scores")(L.Flatten()(x))), RNG.random((70, 3, 8, 8, 1), np.float32)


def _any_size() -> tuple[Any, Any]:
    inputs = keras.Input((None, None, 1))
    return keras.Model(inputs, L.GlobalAveragePooling2D()(L.Conv2D(3, 3, name="conv")(inputs))), X


@pytest.mark.parametrize(
    ("make", "choice", "expected"),
    [
        (_two_inputs, None, ["dense", "conv", "scores"]),
        (_tuple_inputs, None, ["shared", "scores"]),
        (_dict_outputs, None, ["conv", "d1", "d2"]),
        (_sequence, ["conv", "lstm", "gru", "scores"], None),
        (_words, ["embedding", "lstm", "scores"], None),
        (_volumes, None, ["conv", "up", "scores"]),
        (_kinds_of_convolution, None, ["separable", "depthwise", "transposed", "scores"]),
        (_frames, None, ["each", "scores"]),
        (_any_size, None, ["conv"]),
    ],
)
def test_a_layers_reductions_equal_what_a_model_up_to_it_predicts(make: Callable[[], Any], choice: Any, expected: Any) -> None:
    model, x = make()
    sites, reading, taps = survey_and_read(model, x, choice)
    assert sorted(names_of(sites)) == sorted(expected or choice) and taps.refused == {}
    for ours, theirs in zip(reading.outputs, keras.tree.flatten(model.predict(x, verbose=0)), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    for site in sites:
        differences = []
        for node in site.layer._inbound_nodes:          # of a shared layer one call is read
            output = keras.Model(model.inputs, node.output_tensors[0])
            values = output.predict(x if isinstance(x, dict) else keras.tree.flatten(x), verbose=0)
            maximum = values.reshape(len(values), -1, values.shape[-1]).max(1)
            got = reading.layers[site.name]
            differences.append(
                max(np.abs(got["maximum"] - maximum).max(), np.abs(got["features"] - values.reshape(len(values), -1)).max())
            )
        assert min(differences) < 1e-4


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy: str) -> None:
    keras.config.set_dtype_policy(policy)
    try:
        model = built(Subclassed())
    finally:
        keras.config.set_dtype_policy("float32")
    _, reading, _ = survey_and_read(model)
    assert reading.layers["again"]["maximum"].dtype == np.float32
    np.testing.assert_allclose(reading.outputs[0], model.predict(X, verbose=0).astype(np.float32), atol=2e-2)


# The ladder


class Uncompilable(Subclassed):
    def call(self, x: Any) -> Any:
        return super().call(tf.ensure_shape(tf.numpy_function(lambda v: v * np.float32(2), [x], tf.float32), (None, 8, 8, 1)))


class Untraceable(Subclassed):
    def call(self, x: Any) -> Any:
        return super().call(x * float(np.asarray(x).max() > -1))        # only a real tensor is an array


class Writing(Subclassed):
    def __init__(self) -> None:
        super().__init__()
        self.looks = tf.Variable(0, trainable=False)

    def call(self, x: Any) -> Any:
        self.looks.assign_add(1)
        return super().call(x)


class Looping(Subclassed):
    def call(self, x: Any) -> Any:
        def again(i: Any, v: Any) -> Any:
            return i + 1, tf.ensure_shape(self.again(v), v.shape)

        (_, x) = tf.while_loop(lambda i, _: i < 2, again, (0, self.block(x)))
        return self.scores(keras.ops.mean(x, axis=(1, 2)))


@pytest.mark.parametrize(("kind", "how"), [(Uncompilable, "calls"), (Untraceable, "calls, eager")])
def test_each_rung_of_the_ladder_carries(kind: type[Any], how: str) -> None:
    model = built(kind())
    sites, reading, taps = survey_and_read(model)
    assert (taps.how, names_of(sites)) == (how, ["block/first", "block/second", "again", "scores"])
    np.testing.assert_allclose(reading.outputs[0], model(X).numpy(), atol=1e-5)


def test_a_layer_within_a_loop_is_refused_and_the_others_are_read() -> None:
    sites, reading, _ = survey_and_read(built(Looping()))
    assert names_of(sites) == ["block/first", "block/second", "scores"]
    assert "within a loop" in survey(built(Looping()), X[:4]).layers.refused["again"]


def test_layers_called_within_a_function_of_the_users_are_refused() -> None:
    class Traced(Subclassed):
        @tf.function
        def call(self, x: Any) -> Any:
            return super().call(x)

    found = survey(built(Traced()), X[:4])
    assert not found.layers.sites and "tf.function" in found.layers.refused["block"]


def test_a_model_whose_call_writes_variables_is_not_watched(tmp_path: Path) -> None:
    model = compiled(Writing())
    with pytest.warns(FeatwatchWarning, match="could not be set up.*writes a tf.Variable in inference"):
        model.fit(X, Y, epochs=1, batch_size=35, verbose=0, callbacks=[fw.Watch(tmp_path, fw.Probe(X, Y), background=False)])
    expected = compiled(Writing())
    expected.fit(X, Y, epochs=1, batch_size=35, verbose=0)
    assert int(model.looks) == int(expected.looks)


# Within fit


def watched(tmp_path: Path, model: Any, x: Any = X, y: Any = Y, probe: Any = None, epochs: int = 1, **more: Any) -> Any:
    recorders = [fw.FilterHealth(), fw.Separation()]
    watch = fw.Watch(tmp_path, probe or fw.Probe(x, y), recorders=recorders, background=False, strict=True, **more)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FeatwatchWarning)
        model.fit(x, y, epochs=epochs, batch_size=35, verbose=0, callbacks=[watch])
    return fw.load(tmp_path)


def test_a_model_that_fit_builds_is_recorded_from_epoch_0_on(tmp_path: Path) -> None:
    run = watched(tmp_path, compiled(Subclassed()), epochs=2)
    assert run.epochs == [0, 1, 2] and run.session.tap == "calls, jit"
    assert run.layers == ["block/first", "block/second", "again", "scores"]


@pytest.mark.parametrize("kind", ["subclassed", "sequential"])
def test_building_a_model_before_its_first_batch_changes_no_weight(tmp_path: Path, kind: str) -> None:
    def train(callbacks: list[Any]) -> list[np.ndarray]:
        keras.utils.set_random_seed(3)
        more = [L.Conv2D(3, 3, name="conv"), L.Flatten(), L.Dropout(0.3), L.Dense(3, activation="softmax")]
        model = compiled(Subclassed() if kind == "subclassed" else keras.Sequential(more))
        model.fit(X, Y, epochs=2, batch_size=35, verbose=0, callbacks=callbacks)
        return [variable.value.numpy() for variable in (*model.variables, *model.optimizer.variables)]

    alone = train([])
    recorders = [fw.FilterHealth(), fw.Separation()]
    seen = train([fw.Watch(tmp_path, fw.Probe(X, Y), recorders=recorders, background=False)])
    assert all(np.array_equal(one, other) for one, other in zip(alone, seen, strict=True))


def test_a_sequential_model_without_an_input_is_recorded_from_epoch_0_on(tmp_path: Path) -> None:
    model = compiled(keras.Sequential([L.Conv2D(3, 3, name="conv"), L.Flatten(), L.Dense(3, activation="softmax")]))
    run = watched(tmp_path, model)
    assert run.epochs == [0, 1] and run.session.tap == "graph, jit"


@pytest.mark.parametrize("how", [{"run_eagerly": True}, {"jit_compile": True}, {"steps_per_execution": 2}])
def test_ways_to_compile(tmp_path: Path, how: dict[str, Any]) -> None:
    model = Subclassed()
    model.compile("adam", "sparse_categorical_crossentropy", **how)
    run = watched(tmp_path, model)
    assert run.epochs == [0, 1] and run.predictions(1).accuracy >= 0


def test_the_output_of_classes_is_found_by_its_loss(tmp_path: Path) -> None:
    model, _ = _dict_outputs()
    loss = {"size": "mse", "kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}
    model.compile("adam", loss)
    targets = {"size": np.float32(Y)[:, None], "kind": Y}
    run = watched(tmp_path, model, y=targets, probe=fw.Probe(X, Y))
    assert (run.session.output, run.session.outputs) == ("kind", ("kind", "size"))
    expected = model.predict(X, verbose=0)["kind"].argmax(1)
    assert np.array_equal(run.predictions(1).classes, expected)


# Mistakes


@pytest.mark.parametrize(
    ("make", "probe", "message"),
    [
        (_two_inputs, lambda: fw.Probe(X), "takes 2 inputs .* and the probe gives 1: pass x as a dict or a tuple"),
        (_two_inputs, lambda: fw.Probe({"image": X, "mta": X}), "takes the inputs 'meta', 'image'; the probe has 'image', 'mta'"),
        (_tuple_inputs, lambda: fw.Probe((X, X[:, :4])), r"shape \(4, 8, 1\).*for its input 'right'"),
        (lambda: (built(Subclassed()), X), lambda: fw.Probe(X[..., 0]), "cannot be called on the probe's samples"),
    ],
)
def test_a_probe_that_does_not_fit_the_model_is_refused(tmp_path: Path, make: Any, probe: Any, message: str) -> None:
    model, x = make()
    model.compile("adam", "mse")
    watch = fw.Watch(tmp_path, probe(), background=False)
    with pytest.raises(RefusedValue, match=message):
        model.fit(x, np.zeros((70, 3), np.float32), epochs=1, verbose=0, callbacks=[watch])


def test_labels_beyond_the_classes_are_refused(tmp_path: Path) -> None:
    watch = fw.Watch(tmp_path, fw.Probe(X, Y + 5), background=False)
    with pytest.raises(RefusedValue, match="labels go up to 7 and the output .* has 3 classes"):
        compiled(Subclassed()).fit(X, Y, epochs=1, verbose=0, callbacks=[watch])
