from __future__ import annotations

import keras
import pytest

from featwatch.layers import LayerChoice, check_choice, choose, sites
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
