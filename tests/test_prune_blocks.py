"""Residual blocks taken out whole: which there are, and that what is left is exact where they did nothing."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import featwatch as fw
from featwatch.prune.blocks import change_without, removable_blocks, without_blocks

L = keras.layers


def block(x: Any, name: str, filters: int = 4, **options: Any) -> Any:
    inner = L.Conv2D(filters, 3, padding="same", activation="relu", name=f"{name}_1")(x)
    inner = L.Conv2D(x.shape[-1], 3, padding="same", name=f"{name}_2", **options)(inner)
    return L.Add(name=name)([inner, x])


def residual() -> Any:
    """Blocks that can go: a (skip second), b (its activation stays), f (a plus sign); not those with a reason in their names."""
    inputs = keras.Input((8, 8, 3), name="pictures")
    x = L.Conv2D(6, 3, padding="same", name="stem")(inputs)
    x = block(x, "a")
    x = L.ReLU(name="after_b")(block(x, "b"))
    inner = L.Conv2D(6, 3, padding="same", name="read_1")(x)
    y = L.Add(name="read_elsewhere")([x, inner])
    shorter = L.Conv2D(6, 1, name="projection")(y)
    y = L.Add(name="projected")([shorter, L.Conv2D(6, 1, name="other")(y)])
    shared = L.Conv2D(6, 1, name="shared")
    y = L.Add(name="shares")([y, shared(shared(y))])
    z = L.Conv2D(6, 3, padding="same", name="f_1")(y)
    y = y + z
    pooled = L.GlobalAveragePooling2D()(y)
    outputs = [L.Dense(3, name="scores")(pooled), L.GlobalAveragePooling2D(name="side")(inner)]
    return keras.Model(inputs, outputs)


def pictures(count: int = 12) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 8, 8, 3)).astype(np.float32)


def test_which_blocks_there_are() -> None:
    found = removable_blocks(residual())
    assert [each.name for each in found][:2] == ["a", "b"] and len(found) == 3
    assert found[0].layers == ("a_1", "a_2") and found[0].skip == 1
    assert found[0].parameters == (6 * 9 * 4 + 4) + (4 * 9 * 6 + 6)
    assert found[2].layers == ("f_1",) and found[2].skip == 0


def test_sums_that_end_no_block() -> None:
    inputs = keras.Input((8, 8, 6))
    three = L.Add(name="three")([inputs, L.Conv2D(6, 1)(inputs), L.Conv2D(6, 1)(inputs)])
    spread = L.Add(name="spread")([three, L.Conv2D(6, 1)(L.GlobalAveragePooling2D(keepdims=True)(three))])
    twice = L.Add(name="twice")
    x = twice([spread, L.Conv2D(6, 1)(spread)])
    x = twice([x, L.Conv2D(6, 1)(x)])
    x = L.Add(name="wider", dtype="float64")([x, L.Conv2D(6, 1, dtype="float64")(x)])
    y = L.Add(name="constant")([x, keras.ops.ones_like(x)])
    beside = L.Conv2D(6, 1)(y)
    z = L.Add(name="shown")([y, beside])
    z = L.Add(name="two")([z, L.Multiply()([L.Conv2D(6, 1)(z), L.Conv2D(6, 1)(inputs)])])
    model = keras.Model(inputs, [z, beside])
    assert [each.name for each in removable_blocks(model)] == ["constant"]


def test_a_block_of_a_model_that_is_called_twice_is_named_once() -> None:
    inner_in = keras.Input((8, 8, 3))
    inner = keras.Model(inner_in, block(inner_in, "one"), name="inner")
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, inner(inner(inputs)))
    assert [each.name for each in removable_blocks(model)] == ["inner/one"]
    np.testing.assert_array_equal(without_blocks(model, "inner/one")(pictures(2)), pictures(2))


def test_without_a_block_that_gives_nothing_outputs_are_equal() -> None:
    model = residual()
    last = model.get_layer("b_2")
    last.kernel.assign(0 * last.kernel)
    smaller = without_blocks(model, ["b"])
    for one, other in zip(smaller(pictures()), model(pictures()), strict=True):
        np.testing.assert_array_equal(one, other)
    names = [layer.name for layer in smaller.layers]
    assert "b_1" not in names and "b" not in names and "after_b" in names and "a_1" in names
    assert change_without(model, ["b"], fw.Probe(pictures())) == 0
    assert model.get_layer("b_1") is not None and len(removable_blocks(model)) == 3


def test_what_a_block_changes_is_measured_before() -> None:
    model = residual()
    blocks = removable_blocks(model, fw.Probe(pictures()))
    for each in blocks:
        expected = []
        for one, other in zip(without_blocks(model, [each.name])(pictures()), model(pictures()), strict=True):
            spread = np.sum((other - np.mean(other, axis=0)) ** 2)
            expected.append(np.sum((one - other) ** 2) / spread)
        assert each.change == pytest.approx(np.sqrt(np.mean(expected)), rel=1e-4)
    assert blocks[0].change > 0.01


def test_blocks_of_nested_models_and_several_at_once() -> None:
    inputs = keras.Input((8, 8, 3))
    inner_in = keras.Input((8, 8, 3))
    inner = keras.Model(inner_in, block(block(inner_in, "one"), "two"), name="inner")
    model = keras.Model(inputs, L.Dense(2)(L.Flatten()(inner(inputs))))
    assert [each.name for each in removable_blocks(model)] == ["inner/one", "inner/two"]
    smaller = without_blocks(model, ["inner/one", "inner/two"])
    expected = model.layers[-1](model.layers[-2](pictures()))
    np.testing.assert_array_equal(smaller(pictures()), expected)


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'projected' is no block .* there are: 'a', 'b'"):
        without_blocks(residual(), ["projected"])
