"""The smaller model is the same in everything but its size: names, structure, types, functions, what is trained, how compiled."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.backend.common import global_state

from featwatch.prune.anatomy import Anatomy
from featwatch.prune.rebuild import rebuilt
from tests.pruning_truth import apart, drawn, masked

L = keras.layers
FACTOR = 3.0


def tripled(x: Any) -> Any:
    return FACTOR * x


def penalty(weights: Any) -> Any:
    return 0.01 * keras.ops.sum(keras.ops.abs(weights))


def distance(y: Any, predicted: Any) -> Any:
    return keras.ops.mean(keras.ops.abs(y - predicted), axis=-1)


class Halving(keras.optimizers.schedules.LearningRateSchedule):
    """Of the user's own, and registered nowhere."""

    def __init__(self, start: float) -> None:
        self.start = start

    def __call__(self, step: Any) -> Any:
        return self.start / (1 + keras.ops.cast(step, "float32"))

    def get_config(self) -> dict[str, Any]:
        return {"start": self.start}


class Own(keras.Model):
    """A functional model with a training step of its own."""

    def train_step(self, batch: Any) -> Any:
        return {**super().train_step(batch), "own": 1.0}


class Named(keras.Model):
    """A functional model that makes its graph itself."""

    def __init__(self, width: int, **options: Any) -> None:
        inputs = keras.Input((6,))
        super().__init__(inputs, L.Dense(2)(L.Dense(width, name="wide")(inputs)), **options)


def rich() -> Any:
    """Two inputs and two outputs by name, a nested model called twice, a shared layer, functions of the user's own."""
    inputs = {"pictures": keras.Input((8, 8, 3), name="pictures"), "numbers": keras.Input((4,), name="numbers", optional=True)}
    inner = keras.Sequential(
        [keras.Input((8, 8, 6)), L.Conv2D(6, 3, padding="same", activation=lambda x: FACTOR * x, name="c"), L.ReLU(name="r")],
        name="inner",
    )
    limited = keras.constraints.MaxNorm(2)
    x = L.Conv2D(6, 1, name="stem", kernel_regularizer=penalty, kernel_constraint=limited)(inputs["pictures"])
    x = L.Dropout(0.3, seed=5, name="drop")(inner(inner(x)))
    x = L.Lambda(tripled, name="lambda")(x)
    shared = L.Conv2D(8, 3, activation=tripled, name="shared", dtype="float32")
    x = keras.ops.relu(shared(x)) + shared(x)
    x = L.BatchNormalization(name="norm")(L.Activation(tripled, name="own")(x))
    x = L.Reshape((-1, 6, 8), name="form")(x)
    x = keras.ops.reshape(x, (-1, 36, 8))
    x = L.TimeDistributed(L.Dense(5, activation=tripled, name="each"), name="times")(x)
    x = L.Concatenate(name="both")([L.Flatten(name="flat")(x), inputs["numbers"]])
    outputs = {"a": L.Dense(2, name="a")(x), "b": L.Dense(3, name="b")(L.Dense(7, activation="relu", name="hidden")(x))}
    model = Own(inputs, outputs, name="rich")
    rng = np.random.default_rng(0)
    for variable in model.variables:
        if variable.dtype.startswith("float"):
            low, high = (0.5, 1.5) if variable.name == "moving_variance" else (-0.4, 0.5)
            variable.assign(rng.uniform(low, high, variable.shape))
    model.get_layer("shared").trainable = model.get_layer("inner").trainable = False
    model.get_layer("norm").trainable = False
    model.get_layer("hidden").bias.trainable = False
    return model


def fed(count: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    shapes = {"pictures": (8, 8, 3), "numbers": (4,)}
    return {name: rng.normal(size=(count, *shape)).astype(np.float32) for name, shape in shapes.items()}


def pruned(model: Any, share: float = 0.4) -> tuple[Any, Anatomy, set[int]]:
    anatomy = Anatomy(model)
    groups = drawn(anatomy, share)
    assert groups
    return rebuilt(anatomy, groups), anatomy, groups


def test_it_gives_what_masking_gives_and_is_the_same_in_all_else() -> None:
    model = rich()
    small, anatomy, groups = pruned(model)
    given = small(fed())
    assert list(given) == ["a", "b"] and small.count_params() < model.count_params()
    assert apart(keras.tree.flatten(given), masked(model, anatomy, groups, fed())) < 1e-5
    assert type(small) is Own and small.name == "rich"
    assert [each.name for each in small.inputs] == [each.name for each in model.inputs]
    assert [each.name for each in small.operations] == [each.name for each in model.operations]
    for one, other in zip(model.variables, small.variables, strict=True):
        assert (one.name, one.dtype, one.trainable) == (other.name, other.dtype, other.trainable)
        assert one.path == other.path or one.name == "seed_generator_state"
    for one, other in zip(model._flatten_layers(), small._flatten_layers(), strict=True):
        assert (one.name, type(one), one.trainable, one.dtype_policy.name) == (
            other.name, type(other), other.trainable, other.dtype_policy.name,
        )  # fmt: skip
    assert small.get_layer("inner").get_layer("c").activation is model.get_layer("inner").get_layer("c").activation
    assert small.get_layer("stem").kernel_regularizer is penalty and small.get_layer("stem").kernel_constraint.max_value == 2
    assert [each.batch_shape for each in small.layers if isinstance(each, L.InputLayer)] == [
        each.batch_shape for each in model.layers if isinstance(each, L.InputLayer)
    ]
    assert small.get_layer("numbers").optional


def test_without_anything_gone_it_is_a_copy() -> None:
    model = rich()
    copy = rebuilt(Anatomy(model), ())
    for one, other in zip(keras.tree.flatten(model(fed())), keras.tree.flatten(copy(fed())), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not {id(variable) for variable in copy.variables} & {id(variable) for variable in model.variables}


def test_compiled_alike_with_a_fresh_optimizer() -> None:
    model = rich()
    model.compile(
        keras.optimizers.AdamW(Halving(1e-3), weight_decay=0.01, clipnorm=1.0),
        loss={"a": distance, "b": keras.losses.Huber(0.7)},
        metrics={"a": ["mae", distance], "b": [keras.metrics.MeanSquaredError(name="square")]}, loss_weights={"a": 1.0, "b": 0.5},
        steps_per_execution=2,
    )  # fmt: skip
    y = {"a": np.zeros((6, 2)), "b": np.zeros((6, 3))}
    model.fit(fed(), y, verbose=0)
    small, *_ = pruned(model)
    assert type(small.optimizer) is keras.optimizers.AdamW and small.optimizer is not model.optimizer
    assert small.optimizer.get_config() == model.optimizer.get_config() and int(small.optimizer.iterations) == 0
    assert small.steps_per_execution == 2
    history = small.fit(fed(), y, verbose=0).history
    assert set(history) == {"loss", "a_loss", "b_loss", "a_mae", "a_distance", "b_square", "own"}
    assert set(small.evaluate(fed(), y, return_dict=True, verbose=0)) == set(history) - {"own"}
    assert int(model.optimizer.iterations) == 1
    own, given = ({id(metric) for metric in each._compile_config.config["metrics"]["b"]} for each in (small, model))
    assert not own & given          # metrics keep a state


def test_the_given_model_and_the_world_are_left_alone() -> None:
    model = rich()
    model.compile("sgd", "mse")
    model.predict(fed(), verbose=0)
    counters = dict(global_state.get_global_attribute("object_name_uids"))
    seeds = global_state.get_global_attribute("global_seed_generator")
    seeds = None if seeds is None else seeds.state.numpy().tolist()
    drawn_ = tf.random.get_global_generator().state.numpy().tolist()
    before = random.getstate(), np.random.get_state()[1].tolist(), [variable.numpy().tobytes() for variable in model.variables]
    function, own, nodes = model.predict_function, [dict(vars(layer)) for layer in model.layers], _nodes(model)
    pruned(model)
    assert before == (random.getstate(), np.random.get_state()[1].tolist(), [v.numpy().tobytes() for v in model.variables])
    assert dict(global_state.get_global_attribute("object_name_uids")) == counters
    after = global_state.get_global_attribute("global_seed_generator")
    assert (None if after is None else after.state.numpy().tolist()) == seeds
    assert tf.random.get_global_generator().state.numpy().tolist() == drawn_
    assert model.predict_function is function and _nodes(model) == nodes
    assert all(one.keys() == vars(layer).keys() for one, layer in zip(own, model.layers, strict=True))


def test_it_can_be_saved_loaded_and_exported(tmp_path: Path) -> None:
    inputs = keras.Input((8, 8, 3), name="pictures")
    x = L.ReLU()(L.BatchNormalization()(L.Conv2D(8, 3, name="one", use_bias=False)(inputs)))
    x = keras.ops.relu(L.Conv2D(8, 3, name="two")(x)) * 2.0
    model = keras.Model(inputs, L.Dense(3)(L.GlobalAveragePooling2D()(x)))
    model.compile("adam", "mse")
    small, *_ = pruned(model)
    x = fed()["pictures"]
    small.save(tmp_path / "small.keras")
    loaded = keras.models.load_model(tmp_path / "small.keras")
    np.testing.assert_array_equal(loaded(x), small(x))
    assert loaded.get_layer("one").filters == small.get_layer("one").filters < 8
    again, *_ = pruned(loaded)
    assert again.count_params() < small.count_params()
    small.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(exported.serve(x), small(x), rtol=1e-5, atol=1e-6)
    small.save_weights(tmp_path / "small.weights.h5")


def _mixed() -> Any:
    half, double = L.Conv2D(8, 3, dtype="mixed_float16", name="half"), L.Conv2D(4, 1, dtype="float64", name="double")
    return keras.Sequential([keras.Input((8, 8, 3)), half, double, L.Flatten(), L.Dense(2, dtype="float32")], name="mixed")


def _adapted() -> Any:
    known = L.Normalization(name="known")
    known.adapt(np.random.default_rng(0).normal(3, 2, (50, 6)).astype(np.float32))
    return keras.Sequential([keras.Input((6,)), known, L.Dense(8, activation="relu"), L.Dense(2)])


def _words() -> Any:
    looking = L.StringLookup(name="words")
    looking.adapt(np.array(["a", "b", "c", "d"]))
    inputs = keras.Input((3,), dtype="string")
    x = L.Embedding(6, 8, name="meaning")(looking(inputs))
    return keras.Model(inputs, L.Dense(2)(L.Flatten()(L.Conv1D(5, 1)(x))))


def _never_given_a_size() -> Any:
    model = keras.Sequential([L.Dense(6, activation="relu", name="first"), L.Dense(2)])
    model.build((None, 4))
    return model


@pytest.mark.parametrize("build", [_mixed, _adapted, _words, _never_given_a_size])
def test_kinds_of_layers(build: Callable[[], Any]) -> None:
    model = build()
    small, anatomy, groups = pruned(model)
    rng = np.random.default_rng(0)
    (entering,) = model.inputs
    shape = (4, *model.input_shape[1:])
    x = rng.choice(list("abxd"), shape) if entering.dtype == "string" else rng.normal(size=shape).astype(np.float32)
    x = tf.constant(x)
    assert apart([small(x)], masked(model, anatomy, groups, x)) < (1e-5 if build is not _mixed else 1e-3)
    assert [layer.dtype_policy.name for layer in small.layers] == [layer.dtype_policy.name for layer in model.layers]
    assert small.count_params() < model.count_params() and small.input_shape == model.input_shape


def test_where_the_class_needs_arguments_of_its_own_it_says_what_is_lost() -> None:
    model = Named(8)
    with pytest.warns(UserWarning, match="a plain Functional: Named takes arguments of its own"):
        small, *_ = pruned(model)
    assert small.get_layer("wide").units < 8


def test_a_layer_that_cannot_be_made_anew_is_named() -> None:
    class Closed(L.Layer):
        def __init__(self, table: Any, **options: Any) -> None:
            super().__init__(**options)
            self.table = table

        def call(self, x: Any) -> Any:
            return x + self.table

    inputs = keras.Input((4,))
    x = L.Dense(8, name="first")(L.Dense(4)(Closed(np.ones(4), name="closed")(inputs)))
    anatomy = Anatomy(keras.Model(inputs, L.Dense(2)(x)))
    with pytest.raises(ValueError, match=r"the layer 'closed' \(Closed\) cannot be made anew .* get_config"):
        rebuilt(anatomy, drawn(anatomy, 0.5))


class Late(L.Dense):
    """Of the user's own: has a weight more when it is first made."""

    more = True

    def build(self, shape: Any) -> None:
        super().build(shape)
        if Late.more:
            self.add_weight(shape=(), name="extra")


def test_a_layer_that_has_other_weights_when_it_is_made_anew_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    anatomy = Anatomy(keras.Sequential([keras.Input((4,)), Late(6, name="late"), L.Dense(2)]))
    monkeypatch.setattr(Late, "more", False)
    with pytest.raises(ValueError, match=r"'late' \(Late\), made anew, has 2 variables instead of 3: make all of them in build"):
        rebuilt(anatomy, drawn(anatomy, 0.5))


class Secretive(keras.optimizers.SGD):
    """Of the user's own: does not say how it was made."""

    def __init__(self, secret: float) -> None:
        super().__init__(secret)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        raise NotImplementedError("how?")


def test_an_optimizer_that_cannot_be_made_anew_leaves_the_model_uncompiled() -> None:
    model = keras.Sequential([keras.Input((4,)), L.Dense(6), L.Dense(2)])
    model.compile(Secretive(0.1), "mse")
    with pytest.warns(UserWarning, match=r"the smaller model is not compiled: NotImplementedError: how\?; call its compile"):
        small, *_ = pruned(model)
    assert not small.compiled and model.compiled and small.count_params() < model.count_params()


def test_values_are_taken_over_before_anything_is_cut() -> None:
    model = keras.Sequential([keras.Input((4,)), L.Dense(6, name="first"), L.Dense(2, name="last")])
    anatomy = Anatomy(model)
    kernel = np.arange(12, dtype=np.float32).reshape(6, 2)
    small = rebuilt(anatomy, anatomy.groups({"first": [1, 4]}), values=[(model.get_layer("last").kernel, kernel)])
    np.testing.assert_array_equal(small.get_layer("last").kernel, kernel[[0, 2, 3, 5]])


def _nodes(model: Any) -> list[tuple[int, int]]:
    return [(len(each._inbound_nodes), len(each._outbound_nodes)) for each in model.operations]
