"""Models whose layers, outputs or calls are not what they seem; what the recorders say of them is compared with the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import featwatch as fw
from featwatch.layers import choose
from featwatch.survey import survey
from featwatch.taps import TapPass
from tests.nets import compiled, images

L = keras.layers
X, Y = images(40)
ROWS = X[..., 0]


def maxima(model: Any, x: Any, names: list[str]) -> tuple[dict[str, Any], TapPass]:
    sites = [site for site in survey(model, x[:8]).layers.sites if site.name in names]
    taps = TapPass(model, {site: ("maximum",) for site in sites}, len(x))
    taps.prepare(x[:8])
    read = taps.read((x[start : start + 8], 8) for start in range(0, len(x), 8))
    return {name: reduced["maximum"] for name, reduced in read.layers.items()}, taps


def test_a_call_that_was_replaced_for_one_model_is_the_one_that_is_watched() -> None:
    model = keras.Sequential([keras.Input((8, 8, 1)), L.Conv2D(4, 3, name="conv"), L.Flatten(), L.Dense(3, name="scores")])
    expected = model.predict(X * 2, verbose=0)
    original = model.call
    object.__setattr__(model, "call", lambda x, training=None, mask=None: original(x * 2.0, training=training))
    read, taps = maxima(model, X, ["conv", "scores"])
    assert taps.how.startswith("calls")
    np.testing.assert_allclose(read["scores"], expected, rtol=1e-4, atol=1e-5)


class Windows(keras.Model):
    """Takes windows of the samples into the batch axis, as attention within windows does."""

    def __init__(self) -> None:
        super().__init__(name="windows")
        self.inner, self.outer, self.flat = L.Dense(4, name="inner"), L.Dense(4, name="outer"), L.Flatten(name="flat")
        self.scores = L.Dense(3, activation="softmax", name="scores")

    def call(self, x: Any) -> Any:
        windows = self.inner(keras.ops.reshape(x, (-1, 4, 8)))
        return self.scores(self.flat(self.outer(keras.ops.reshape(windows, (-1, 8, 4)))))


def test_rows_that_are_no_samples_are_not_taken_for_them() -> None:
    model = Windows()
    model(ROWS[:8])
    found = survey(model, ROWS[:8]).layers
    assert [site.name for site in found.sites] == ["outer", "flat", "scores"]
    assert found.refused["inner"] == "it gives 16 rows for 8 samples, so that no row is one sample's"


def test_rows_that_are_no_samples_in_a_graph_are_refused_by_the_pass() -> None:
    inputs = keras.Input((8, 8))
    split = L.Lambda(lambda x: keras.ops.reshape(x, (-1, 4, 8)), output_shape=(4, 8), name="split")(inputs)
    joined = L.Lambda(lambda x: keras.ops.reshape(x, (-1, 32)), output_shape=(32,))(L.Dense(4, name="inner")(split))
    model = keras.Model(inputs, L.Dense(32, name="top")(L.Concatenate()([joined, L.Flatten()(inputs)[:, :0]])))
    read, taps = maxima(model, ROWS, ["inner"])
    assert read == {} and "16 rows for 8 samples" in taps.refused["inner"]


@keras.saving.register_keras_serializable("review")
class Selecting(L.Layer):
    """Keeps the samples whose sum is large: how many, no shape tells."""

    def call(self, x: Any) -> Any:
        return tf.boolean_mask(x, tf.reduce_sum(x, axis=(1, 2)) > 1e6)


def test_a_number_of_rows_that_only_running_tells() -> None:
    inputs = keras.Input((8, 8))
    model = keras.Model(inputs, [L.Dense(3, name="dense")(inputs), Selecting(name="chosen")(inputs)])
    read, taps = maxima(model, ROWS, ["dense", "chosen"])
    assert sorted(read) == ["dense"] and taps.refused["chosen"].startswith("it gives 0 rows for 8 samples")


class Odd(keras.Model):
    """Gives, beside its scores, what is no number per sample."""

    def __init__(self, kind: str) -> None:
        super().__init__(name="odd")
        self.kind, self.flat, self.scores = kind, L.Flatten(name="flat"), L.Dense(3, activation="softmax", name="scores")

    def call(self, x: Any) -> Any:
        scores = self.scores(self.flat(x))
        more = {
            "scalar": lambda: keras.ops.mean(scores),
            "none": lambda: None,
            "text": lambda: tf.as_string(scores),
            "complex": lambda: tf.cast(scores, tf.complex64),
            "ragged": lambda: tf.RaggedTensor.from_tensor(scores),
        }
        return {"scores": scores, "more": more[self.kind]()}


@pytest.mark.parametrize("kind", ["scalar", "none", "text", "complex", "ragged"])
def test_outputs_that_are_no_numbers_by_sample_are_left_aside(kind: str) -> None:
    model = Odd(kind)
    expected = model(X)["scores"].numpy()
    read, _ = maxima(model, X, ["scores"])
    np.testing.assert_allclose(read["scores"], expected, rtol=1e-4, atol=1e-6)


class Pair(keras.Model):
    """Two models of which inference calls one, as in adversarial training."""

    def __init__(self) -> None:
        super().__init__(name="pair")
        self.maker = keras.Sequential([keras.Input((4,)), L.Dense(64, name="made")], name="maker")
        self.judge = keras.Sequential([keras.Input((8, 8, 1)), L.Flatten(), L.Dense(3, name="judged")], name="judge")

    def call(self, x: Any) -> Any:
        return self.judge(x)


def test_a_pattern_that_names_only_what_is_not_called_says_why(tmp_path: Path) -> None:
    model = Pair()
    model(X[:4])
    with pytest.raises(ValueError, match="'maker/made' cannot be watched: the model does not call it in inference"):
        fw.snapshot(model, fw.Probe(X, Y), tmp_path, layers="maker/*", recorders=[fw.FilterHealth()])
    assert choose(model, "judge/*")


def test_looking_moves_no_counter_of_names() -> None:
    inputs = keras.Input((8, 8, 1))
    padded = L.ZeroPadding2D(1, name="padding")(inputs)         # takes a name at each call
    model = keras.Model(inputs, L.Conv2D(2, 3, name="conv")(padded))
    before = keras.backend.get_uid("pad")
    maxima(model, X, ["conv"])
    assert keras.backend.get_uid("pad") == before + 1           # by asking


def test_a_snapshot_says_what_it_supersedes(tmp_path: Path) -> None:
    model = compiled(keras.Sequential([keras.Input((8, 8, 1)), L.Flatten(), L.Dense(3, activation="softmax", name="scores")]))
    probe, health = fw.Probe(X, Y), [fw.FilterHealth()]
    every = fw.Watch(tmp_path, probe, recorders=health, schedule=fw.every(steps=1), background=False)
    model.fit(X, Y, epochs=1, verbose=0, callbacks=[every])
    with pytest.warns(UserWarning, match="held records of steps; this snapshot at epoch 0"):
        run = fw.snapshot(model, probe, tmp_path, recorders=health)
    assert run.epochs == [0] and run.steps == []
    for epoch in (4, 6):
        fw.snapshot(model, probe, tmp_path, recorders=health, epoch=epoch)
    with pytest.warns(UserWarning, match="held records of epochs 4 to 6; this snapshot at epoch 2"):
        assert fw.snapshot(model, probe, tmp_path, recorders=health, epoch=2).epochs == [0, 2]
