from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import featwatch as fw
from featwatch.layers import LayerChoice, check_choice, choose, sites
from featwatch.taps import TapPass
from tests.nets import functional, sequential

layers = keras.layers


def test_by_default_every_convolution_and_dense_layer_is_chosen_in_graph_order() -> None:
    assert [site.name for site in choose(functional(), None)] == ["stem", "block/inner", "last", "scores"]
    assert [site.name for site in choose(sequential(), None)] == ["conv", "dense", "scores"]


def test_the_tensor_is_what_leaves_the_activation_that_applies() -> None:
    found = {site.name: (site.tapped.name, site.activation) for site in choose(functional(), None)}
    assert found["stem"] == ("stem_relu", "relu")           # through its batch-norm
    assert found["block/inner"] == ("gelu", "gelu")         # inside the nested model
    assert found["last"][1] == "relu"                       # keras.ops.relu on the symbolic tensor
    assert found["scores"] == ("scores", "softmax")


def test_an_activation_after_a_branch_does_not_apply() -> None:
    inputs = keras.Input((4,))
    x = layers.Dense(4, name="first")(inputs)
    outputs = layers.Add()([layers.ReLU()(x), x])
    (site,) = choose(keras.Model(inputs, outputs), None)
    assert (site.tapped.name, site.activation) == ("first", "linear")


def test_an_activation_after_the_models_output_does_not_apply() -> None:
    inputs = keras.Input((4,))
    x = layers.Dense(4, name="first")(inputs)
    (site,) = choose(keras.Model(inputs, [x, layers.ReLU()(x)]), None)
    assert site.activation == "linear"


def test_of_an_activation_that_is_used_again_the_first_use_alone_is_read() -> None:
    inputs, relu = keras.Input((6, 6, 1)), layers.ReLU(name="relu")
    outputs = relu(layers.Conv2D(3, 3, name="second")(relu(layers.Conv2D(2, 3, name="first")(inputs))))
    first, second = choose(model := keras.Model(inputs, outputs), None)
    assert (first.tapped.name, first.activation, first.elsewhere) == ("relu", "relu", "")
    assert (second.tapped.name, second.activation, second.elsewhere) == ("second", "linear", "relu")
    x = np.random.default_rng(0).normal(size=(4, 6, 6, 1)).astype(np.float32)
    maps = fw.explain.activations(model, None, x)
    np.testing.assert_allclose(keras.ops.relu(maps["second"]), model(x), rtol=1e-5, atol=1e-6)
    passed = TapPass(model, {first: ("maximum",), second: ("maximum",)}, 4)
    passed.prepare(x)
    assert "before 'relu'" in passed.info(second).note and passed.info(first).note == ""


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (layers.ReLU(), "relu"), (layers.ReLU(max_value=6), "relu6"), (layers.ReLU(negative_slope=0.1), "leaky_relu"),
        (layers.LeakyReLU(), "leaky_relu"), (layers.PReLU(), "prelu"), (layers.ELU(), "elu"), (layers.Activation("tanh"), "tanh"),
    ],
)  # fmt: skip
def test_activation_layers_are_named(layer: keras.Layer, name: str) -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="first"), layer])
    (site,) = choose(model, None)
    assert (site.tapped.name, site.activation) == (layer.name, name)


def behind(*stack: keras.Layer, shape: tuple[int, ...] = (8, 8, 3)) -> tuple[str, str, str, bool]:
    """Of a convolution and what comes after it: what is tapped, its activation, the normalisation that acts, and `direct`."""
    model = keras.Sequential([keras.Input(shape), layers.Conv2D(4, 3, name="conv"), *stack])
    (site,) = choose(model, "conv")
    return site.tapped.name, site.activation, getattr(site.normalisation, "name", ""), site.direct


def norm(**more: int) -> keras.Layer:
    return layers.BatchNormalization(name="norm", **more)


def act() -> keras.Layer:
    return layers.ReLU(name="act")


@pytest.mark.parametrize(
    ("stack", "expected"),
    [
        (lambda: [act()], ("act", "relu", "", True)),
        (lambda: [norm(), act()], ("act", "relu", "norm", True)),
        (lambda: [norm(), layers.Dropout(0.5), layers.SpatialDropout2D(0.5), act()], ("act", "relu", "norm", True)),
        (lambda: [layers.MaxPooling2D(), act()], ("act", "relu", "", True)),
        (lambda: [norm(), layers.AveragePooling2D(2), layers.GaussianNoise(1), act()], ("act", "relu", "norm", True)),
        # The normalisation does not act on what the weights give: nothing of it can be folded into them.
        (lambda: [layers.MaxPooling2D(), norm(), act()], ("act", "relu", "", False)),
        (lambda: [norm(), layers.BatchNormalization(), act()], ("act", "relu", "norm", False)),
        (lambda: [layers.LayerNormalization(), act()], ("act", "relu", "", False)),
        (lambda: [layers.GroupNormalization(2), act()], ("act", "relu", "", False)),
        (lambda: [norm(axis=1), act()], ("act", "relu", "", False)),            # along the rows
        # What comes next mixes the filters, or is no activation.
        (lambda: [layers.Conv2D(4, 1, name="other"), act()], ("conv", "linear", "", True)),
        (lambda: [norm()], ("conv", "linear", "", True)),
        (lambda: [layers.UpSampling2D(), act()], ("conv", "linear", "", True)),
    ],
)  # fmt: skip
def test_normalisation_dropout_and_pooling_may_stand_before_the_activation(stack: Any, expected: tuple[Any, ...]) -> None:
    assert behind(*stack()) == expected


def test_a_normalisation_along_the_filters_axis_is_told_by_the_data_format() -> None:
    for axis, expected in ((1, ("norm", True)), (-1, ("", False))):
        conv = layers.Conv2D(4, 3, data_format="channels_first", name="conv")
        model = keras.Sequential([keras.Input((3, 8, 8)), conv, norm(axis=axis), act()])
        (site,) = choose(model, "conv")
        assert (getattr(site.normalisation, "name", ""), site.direct) == expected


def test_what_is_added_first_has_no_activation_of_its_own() -> None:
    inputs = keras.Input((8, 8, 4))
    x = norm()(layers.Conv2D(4, 3, padding="same", name="conv")(inputs))
    (site,) = choose(keras.Model(inputs, act()(layers.Add()([x, inputs]))), "conv")
    assert (site.tapped.name, site.activation, site.normalisation, site.passing.everywhere) == ("conv", "linear", None, True)


def test_a_layer_for_every_time_step_applies_its_own_activation() -> None:
    model = keras.Sequential([keras.Input((5, 4)), layers.TimeDistributed(layers.Dense(3, "relu6"), name="each")])
    (site,) = choose(model, None)
    assert (site.tapped.name, site.activation, site.passing.high) == ("each", "relu6", 6.0)


def test_names_patterns_lists_and_predicates() -> None:
    model = functional()

    def names(choice: LayerChoice) -> list[str]:
        return [site.name for site in choose(model, choice)]

    assert names("stem") == ["stem"]
    assert names("block/*") == ["block/inner", "block/gelu"]
    assert names(["last", "st*"]) == ["stem", "stem_relu", "last"]
    assert names(lambda layer: isinstance(layer, layers.BatchNormalization)) == ["norm"]
    assert [site.name for site in sites(model)][:3] == ["stem", "norm", "stem_relu"]


def test_a_shared_layer_is_one_site() -> None:
    shared = layers.Dense(4, name="shared")
    inputs = keras.Input((4,))
    (site,) = choose(keras.Model(inputs, shared(shared(inputs))), None)
    assert (site.name, site.calls) == ("shared", 2)


@pytest.mark.parametrize(
    ("choice", "error", "message"),
    [
        ("cnv", ValueError, "no layer is called 'cnv'; did you mean 'conv'?"),
        (["conv", "dens"], ValueError, "did you mean 'dense'?"),
        ("block*", ValueError, "no layer matches 'block*'"),
        ([], ValueError, "layers=[] watches nothing"),
        ([1], TypeError, "1 is no name"),
        (lambda layer: False, ValueError, "true of no layer"),
    ],
)
def test_what_names_no_layer_is_refused(choice: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        choose(sequential(), choice)
    assert message in str(caught.value)


@pytest.mark.parametrize(("choice", "error"), [(7, TypeError), ("", TypeError), ([], ValueError), ([None], TypeError)])
def test_a_choice_that_can_name_nothing_is_refused_before_there_is_a_model(choice: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="layers"):
        check_choice(choice)


def test_a_model_without_anything_to_watch_names_the_cure() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.LayerNormalization(name="norm")])
    with pytest.raises(ValueError, match="no convolution and no dense layer: name the layers to watch"):
        choose(model, None)
