"""`explain.class_activation` and `ClassActivation`: against tf-keras-vis, NumPy, and what silencing does."""

from __future__ import annotations

import doctest
import importlib
import warnings
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from featwatch.explain.decision import class_maps as module
from featwatch.explain.decision import masked
from featwatch.explain.decision.class_maps import METHODS, class_activation
from featwatch.explain.decision.decision import Decision
from featwatch.explain.forms import Unsuitable
from tests.nets import functional, images, sequential

L = keras.layers
STEP = 1 / 509                      # half a step of the record's bytes, relative to the largest value, with some room


def pictures(count: int = 3, shape: tuple[int, ...] = (12, 12, 3), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)


def linear_net(filters: int = 5, last: str | None = None, classes: int = 4) -> Any:
    keras.utils.set_random_seed(3)
    inputs = keras.Input((12, 12, 3))
    x = L.Conv2D(filters, 3, padding="same", activation="relu", name="first")(inputs)
    x = L.Conv2D(6, 3, activation="relu", name="second")(L.MaxPooling2D()(x))
    return keras.Model(inputs, L.Dense(classes, activation=last, name="scores")(L.Flatten()(x)))


def near(maps: np.ndarray, expected: np.ndarray, more: float = 1e-5) -> None:
    """Equal within half a step of the record's bytes."""
    assert maps.shape == expected.shape and maps.max() > 0
    largest = expected.max(axis=(1, 2), keepdims=True)
    assert (np.abs(maps - expected) <= (STEP + more) * largest + 1e-7).all()


def peer(method: str, model: Any, layer: str, x: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """What tf-keras-vis gives.  Of subclassed, nested and half-precision models it gives nothing, or something wrong."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")                     # it imports what SciPy will do without
        scores = importlib.import_module("tf_keras_vis.utils.scores")
        where, name = ("gradcam_plus_plus", "GradcamPlusPlus") if method == "gradcam++" else (method, method.capitalize())
        kind = getattr(importlib.import_module(f"tf_keras_vis.{where}"), name)
    made = kind(model, clone=True)
    found = made(
        scores.CategoricalScore(classes.tolist()), x, penultimate_layer=layer, seek_penultimate_conv_layer=False,
        expand_cam=False, normalize_cam=False,
    )  # fmt: skip
    return np.asarray(found)


@pytest.mark.parametrize("method", ["gradcam", "layercam", "scorecam"])
@pytest.mark.filterwarnings("ignore:The structure of")
def test_maps_are_those_of_tf_keras_vis(method: str) -> None:
    model, x = linear_net(), pictures()
    classes = np.argmax(model(x), axis=1)
    # Score-CAM where the map is as large as the image: the two enlarge smaller ones by different rules.
    for layer in ("first",) if method == "scorecam" else ("first", "second"):
        found = class_activation(model, layer, x, method=method)
        np.testing.assert_array_equal(found.classes, classes)
        near(found.maps, peer(method, model, layer, x, classes))
        given = np.array([3, 0, 2])
        near(class_activation(model, layer, x, given, method).maps, peer(method, model, layer, x, given))


def gradients(model: Any, layer: str, x: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maps of a layer and the scores' gradients, by Keras and TensorFlow alone."""
    maps = keras.Model(model.inputs[0], model.get_layer(layer).output)(x)
    rest = keras.Model(model.get_layer(layer).output, model.output)
    with tf.GradientTape() as tape:
        tape.watch(maps)
        score = tf.gather(rest(maps), classes, batch_dims=1)
    return maps.numpy(), tape.gradient(score, maps).numpy()


def test_gradcam_plus_plus_is_the_papers() -> None:
    model, x = linear_net(), pictures()
    classes = np.array([1, 2, 0])
    maps, g = gradients(model, "first", x, classes)
    scores = np.asarray(model(x))[np.arange(3), classes]
    factor = np.exp(scores)[:, None, None, None]                                # Y = exp(S), equations 15 to 19
    first, second, third = factor * g, factor * g**2, factor * g**3
    total = maps.sum(axis=(1, 2), keepdims=True)
    shares = np.where(second > 0, second / np.where(second > 0, 2 * second + total * third, 1), 0)
    weights = (shares * np.maximum(first, 0)).sum(axis=(1, 2), keepdims=True)   # equation 5
    expected = np.maximum((weights * maps).sum(axis=-1), 0) / factor[..., 0]
    near(class_activation(model, "first", x, classes, "gradcam++").maps, expected)


def test_of_one_filter_gradcam_plus_plus_is_that_of_tf_keras_vis_but_for_the_scale() -> None:
    model, x = linear_net(filters=1), pictures(4)
    classes = np.argmax(model(x), axis=1)
    theirs = peer("gradcam++", model, "first", x, classes)
    some = theirs.any(axis=(1, 2))      # they divide by the sum of all shares; where that is negative nothing is left
    theirs, ours = theirs[some], class_activation(model, "first", x, method="gradcam++").maps[some]
    assert len(ours) > 1
    near(ours / ours.max(axis=(1, 2), keepdims=True), theirs / theirs.max(axis=(1, 2), keepdims=True))


def test_with_global_pooling_gradcam_is_the_class_activation_map() -> None:
    """Zhou et al. 2016: the scores are the means of the filters' maps times the weights of the last layer."""
    inputs = keras.Input((8, 6, 2))
    maps = L.Conv2D(3, 1, use_bias=False, name="conv")(inputs)
    model = keras.Model(inputs, L.Dense(2, use_bias=False, name="scores")(L.GlobalAveragePooling2D()(maps)))
    kernel = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, -1.0]], np.float32)
    dense = np.array([[1.0, -1.0], [2.0, 0.5], [0.0, 1.0]], np.float32)
    model.get_layer("conv").set_weights([kernel[None, None]])
    model.get_layer("scores").set_weights([dense])
    x = pictures(2, (8, 6, 2))
    found = class_activation(model, "conv", x, 1)
    np.testing.assert_allclose(found.weights, np.tile(dense[:, 1] / 48, (2, 1)), rtol=1e-5)
    near(found.maps, np.maximum(x @ kernel @ dense[:, 1] / 48, 0))
    assert found.classes.tolist() == [1, 1] and found.full_size == (8, 6) and found.note.startswith("neither model nor loss")
    moved = np.abs(dense[:, 1] * (x @ kernel).mean(axis=(1, 2))).mean(axis=0)
    np.testing.assert_allclose(found.influence, moved / moved.sum(), rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_scores_are_those_before_the_softmax(method: str) -> None:
    linear, softmax = linear_net(), linear_net(last="softmax")
    softmax.set_weights(linear.get_weights())
    x = pictures()
    one, other = (class_activation(model, "first", x, method=method) for model in (linear, softmax))
    near(other.maps, one.maps, STEP)
    np.testing.assert_allclose(other.weights, one.weights, rtol=1e-5)
    assert other.note == ""


def test_one_column_with_a_sigmoid_is_two_classes() -> None:
    model, plain = linear_net(last="sigmoid", classes=1), linear_net(classes=1)
    plain.set_weights(model.get_weights())
    x = pictures(6)
    predicted = (np.asarray(model(x))[:, 0] > 0.5).astype(int)
    found = class_activation(model, "second", x)
    assert found.classes.tolist() == predicted.tolist()
    _, g = gradients(plain, "second", x, np.zeros(6, int))
    towards = class_activation(model, "second", x, 1).weights
    np.testing.assert_allclose(towards, g.mean(axis=(1, 2)), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(class_activation(model, "second", x, 0).weights, -towards, rtol=1e-5)
    for which in (0, 1):
        assert np.isfinite(class_activation(model, "second", x, which, "scorecam").maps).all()
    with pytest.raises(ValueError, match="classes=2: the output 'scores' has the classes 0 to 1"):
        class_activation(model, "second", x, 2)
    with pytest.raises(ValueError, match="one column and no sigmoid"):
        class_activation(plain, "second", x, method="scorecam")


class Own(keras.Model):
    """A subclassed model with the weights of `linear_net`."""

    def __init__(self) -> None:
        super().__init__()
        self.first = L.Conv2D(5, 3, padding="same", activation="relu", name="first")
        self.pool = L.MaxPooling2D()
        self.second = L.Conv2D(6, 3, activation="relu", name="second")
        self.flatten = L.Flatten()
        self.scores = L.Dense(4, activation="softmax", name="scores")

    def call(self, x: Any) -> Any:
        return self.scores(self.flatten(self.second(self.pool(self.first(x)))))


@pytest.mark.parametrize("method", METHODS)
def test_subclassed_nested_and_sequential_models_give_the_same(method: str) -> None:
    plain, x = linear_net(last="softmax"), pictures()
    own = Own()
    own(x)
    own.set_weights(plain.get_weights())
    body = keras.Model(plain.inputs, plain.get_layer("second").output, name="body")
    nested = keras.Sequential([keras.Input((12, 12, 3)), body, L.Flatten(), plain.get_layer("scores")])
    wrapped = keras.Sequential([keras.Input((12, 12, 3)), own], name="wrapped")
    for layer in ("first", "second"):
        expected = class_activation(plain, layer, x, method=method)
        for model, name in ((own, layer), (nested, f"body/{layer}"), (wrapped, f"{own.name}/{layer}")):
            found = class_activation(model, name, x, method=method)
            near(found.maps, expected.maps, STEP)
            np.testing.assert_allclose(found.weights, expected.weights, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("method", METHODS)
def test_in_half_precision_they_are_nearly_the_same(policy: str, method: str) -> None:
    plain, x = linear_net(last="softmax"), pictures()
    keras.mixed_precision.set_global_policy(policy)
    try:
        half = linear_net(last="softmax")
    finally:
        keras.mixed_precision.set_global_policy("float32")
    half.set_weights(plain.get_weights())
    one, other = (class_activation(model, "first", x, 2, method) for model in (plain, half))
    assert np.corrcoef(one.maps.ravel(), other.maps.ravel())[0, 1] > 0.99
    np.testing.assert_allclose(other.weights, one.weights, atol=0.05 * np.abs(one.weights).max())


def test_small_gradients_survive_half_precision() -> None:
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        inputs = keras.Input((32, 32, 1))
        maps = L.Conv2D(2, 1, name="conv", kernel_initializer="ones")(inputs)
        scores = L.Dense(2, kernel_initializer=keras.initializers.Constant(1e-4), name="scores")
        model = keras.Model(inputs, scores(L.GlobalAveragePooling2D()(maps)))
    finally:
        keras.mixed_precision.set_global_policy("float32")
    found = class_activation(model, "conv", np.ones((1, 32, 32, 1), np.float32), 0)
    np.testing.assert_allclose(found.weights, 1e-4 / 1024, rtol=0.01)     # in float16 alone it would be 0 or 6e-8


def test_of_several_outputs_the_one_with_classes_is_taken_or_asked_for() -> None:
    inputs = {"picture": keras.Input((8, 8, 1), name="picture"), "more": keras.Input((2,), name="more")}
    x = L.Conv2D(3, 3, activation="relu", name="conv")(inputs["picture"])
    flat = L.Concatenate()([L.Flatten()(x), inputs["more"]])
    kind, size = L.Dense(3, activation="softmax", name="kind")(flat), L.Dense(1, name="size")(flat)
    model = keras.Model(inputs, {"kind": kind, "size": size})
    samples = {"picture": pictures(2, (8, 8, 1)), "more": pictures(2, (2,))}
    with pytest.raises(ValueError, match="outputs 'kind', 'size', and its losses do not tell"):
        class_activation(model, "conv", samples)
    by_name = class_activation(model, "conv", samples, output="kind")
    assert by_name.note == "" and by_name.maps.shape == (2, 6, 6)
    single = keras.Model(inputs, kind)
    near(by_name.maps, class_activation(single, "conv", samples).maps)
    assert class_activation(model, "conv", samples, 0, output=1).weights.shape == (2, 3)
    with pytest.raises(ValueError, match="output='sizes': the model has the outputs 'kind', 'size'"):
        class_activation(model, "conv", samples, output="sizes")
    with pytest.raises(ValueError, match="several inputs"):
        class_activation(model, "conv", samples, output="kind", method="scorecam")
    model.compile("sgd", {"kind": "sparse_categorical_crossentropy", "size": "mse"})
    near(class_activation(model, "conv", samples).maps, by_name.maps)


def test_of_text_it_says_which_words() -> None:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((7,), dtype="int32")
    x = L.Conv1D(4, 3, activation="relu", name="conv")(L.Embedding(20, 5)(inputs))
    model = keras.Model(inputs, L.Dense(2, activation="softmax")(L.GlobalMaxPooling1D()(x)))
    found = class_activation(model, "conv", np.arange(14).reshape(2, 7).astype(np.int32))
    assert found.maps.shape == (2, 1, 5) and found.full_size == (1, 5) and found.maps.max() > 0
    with pytest.raises(ValueError, match="int32"):
        class_activation(model, "conv", np.arange(14).reshape(2, 7).astype(np.int32), method="scorecam")


def test_channels_first_and_three_dimensions() -> None:
    inputs = keras.Input((3, 6, 6))
    padded = L.ZeroPadding2D(1, data_format="channels_first", name="pad")(inputs)
    weights = np.random.default_rng(0).normal(size=(192, 2)).astype(np.float32)
    dense = L.Dense(2, use_bias=False)
    model = keras.Model(inputs, dense(L.Flatten()(padded)))
    dense.set_weights([weights])
    found = class_activation(model, "pad", pictures(2, (3, 6, 6)), 1)
    np.testing.assert_allclose(found.weights, np.tile(weights[:, 1].reshape(3, 64).mean(axis=1), (2, 1)), rtol=1e-4)
    assert found.maps.shape == (2, 8, 8)

    solid = keras.Input((5, 6, 7, 1))
    model = keras.Model(solid, L.Dense(2)(L.Flatten()(L.Conv3D(3, 3, padding="same", name="conv")(solid))))
    assert class_activation(model, "conv", pictures(2, (5, 6, 7, 1))).maps.shape == (2, 6, 7)


def test_a_model_for_batches_of_one_size_is_read_in_such() -> None:
    keras.utils.set_random_seed(0)
    inputs = keras.Input(batch_shape=(4, 8, 8, 1))
    x = L.Flatten()(L.Conv2D(3, 3, activation="relu", name="conv")(inputs))
    model, x = keras.Model(inputs, L.Dense(3)(x)), pictures(6, (8, 8, 1))
    free = keras.Sequential([keras.Input((8, 8, 1)), L.Conv2D(3, 3, activation="relu", name="conv"), L.Flatten(), L.Dense(3)])
    free.set_weights(model.get_weights())
    for method in METHODS:
        near(class_activation(model, "conv", x, method=method).maps, class_activation(free, "conv", x, method=method).maps, STEP)


def test_a_layer_with_many_filters_is_shown_through_some(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = linear_net(), pictures()
    monkeypatch.setattr(masked, "MOST_MASKS", 2)
    monkeypatch.setattr(module, "MOST_MASKS", 2)
    found = class_activation(model, "first", x, method="scorecam")
    assert found.note.endswith("of 5 filters the 2 whose maps vary most")
    both = keras.Model(model.inputs[0], model.get_layer("first").output)
    maps = np.asarray(both(x))
    for image, of_image, cam, shown in zip(x, maps, found.maps, found.classes, strict=True):
        strongest = np.argsort(-of_image.std(axis=(0, 1)))[:2]
        expected = 0
        for number in strongest:
            mask = of_image[..., number]
            mask = (mask - mask.min()) / (mask.max() - mask.min())
            expected += mask_probability(model, image * mask[..., None], shown) * of_image[..., number]
        near(cam[None], expected[None])


def mask_probability(model: Any, image: np.ndarray, shown: int) -> float:
    return float(np.asarray(keras.ops.softmax(model(image[None])))[0, shown])


def test_what_cannot_be_had_is_refused_with_the_reason() -> None:
    model, x = linear_net(), pictures()
    with pytest.raises(ValueError, match="'scores' has no class activation: it has no positions"):
        class_activation(model, "scores", x)
    with pytest.raises(ValueError, match="method='cam': expected 'gradcam'"):
        class_activation(model, "first", x, method="cam")
    for classes in ([0, 1], 1.5, [-1, 0, 0], [[0, 0, 0]]):
        with pytest.raises(ValueError, match="classes="):
            class_activation(model, "first", x, classes)
    with pytest.raises(ValueError, match="classes=4"):
        class_activation(model, "first", x, 4)
    with pytest.raises(ValueError, match="there is none"):
        class_activation(model, "first", x[:0])
    with pytest.raises(ValueError, match="no layer is called"):
        class_activation(model, "third", x)
    inputs = keras.Input((12, 12, 3))
    maps = keras.Model(inputs, L.Conv2D(2, 3, name="conv")(inputs))
    with pytest.raises(ValueError, match=r"has the shape .*class scores have two axes"):
        class_activation(maps, "conv", x)
    step = keras.Model(inputs, L.Dense(2)(L.Flatten()(keras.ops.sign(L.Conv2D(2, 3, name="conv")(inputs)))))
    found = class_activation(step, "conv", x)           # its gradient is zero, and so are the maps
    assert not found.maps.any() and not found.influence.any()
    cut = keras.Model(inputs, L.Dense(2)(L.Flatten()(keras.ops.stop_gradient(L.Conv2D(2, 3, name="conv")(inputs)))))
    with pytest.raises(ValueError, match="does not depend on it by any gradient"):
        class_activation(cut, "conv", x)


def test_nothing_moves_and_nothing_is_traced_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model, (x, y) = functional(), images(40)
    model.fit(x, y, verbose=0)
    traced: list[int] = []
    original = Decision._traced
    monkeypatch.setattr(Decision, "_traced", lambda self, *args: (traced.append(1), original(self, *args))[1])
    keras.utils.set_random_seed(1)
    before = [variable.numpy().copy() for variable in (*model.variables, *model.optimizer.variables)]
    state, own = np.random.get_state()[1].copy(), [dict(vars(layer)) for layer in model.layers]
    function = model.train_function
    for method in METHODS:
        for count in (4, 3, 1):
            class_activation(model, "last", x[:count], method=method)
    assert len(traced) == len(METHODS)
    after = [variable.numpy() for variable in (*model.variables, *model.optimizer.variables)]
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))
    assert (np.random.get_state()[1] == state).all() and model.train_function is function
    assert all(dict(vars(layer)).keys() == kept.keys() for layer, kept in zip(model.layers, own, strict=True))
    drawn = float(keras.random.uniform(()))
    keras.utils.set_random_seed(1)
    assert float(keras.random.uniform(())) == drawn
    model.fit(x, y, epochs=2, verbose=0)                # the weights of the moment, not those that were traced
    again = class_activation(model, "last", x[:4])
    assert len(traced) == len(METHODS) and again.maps.shape == (4, 4, 4)


def test_later_weights_are_used() -> None:
    model, x = linear_net(), pictures()
    before = class_activation(model, "second", x, 0)
    layer = model.get_layer("scores")
    layer.set_weights([2 * layer.get_weights()[0], layer.get_weights()[1]])
    np.testing.assert_allclose(class_activation(model, "second", x, 0).weights, 2 * before.weights, rtol=1e-5)


def test_the_example_runs() -> None:
    net = sequential()
    found = doctest.testmod(module, extraglobs={"net": net, "x": images()[0], "class_activation": class_activation})
    assert found.attempted >= 3 and not found.failed
    assert issubclass(Unsuitable, ValueError)
