"""`explain.saliency`: against one plain gradient per filter, and against tf-keras-vis; on windows as on whole pictures."""

from __future__ import annotations

import doctest
import gc
import random
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import featwatch as fw
from featwatch.explain import subject
from featwatch.explain.attribution import backward, saliency_maps
from featwatch.explain.kept import kept
from featwatch.explain.subject import subject_of
from tests.nets import functional, images, sequential

layers = keras.layers
RNG = np.random.default_rng(0)


def deep(size: tuple[int, int] = (30, 28), padding: str = "same") -> Any:
    """Receptive fields far smaller than the picture, strides, a pooling, and an activation after a batch-norm."""
    inputs = keras.Input((*size, 2))
    z = layers.Conv2D(5, 3, padding=padding, activation="relu", name="first")(inputs)
    z = layers.MaxPooling2D(name="pool")(z)
    z = layers.Conv2D(6, 3, padding=padding, strides=2, use_bias=False, name="second")(z)
    z = layers.ReLU()(layers.BatchNormalization()(z))
    z = layers.Conv2D(5, 2, padding=padding, activation="tanh", name="third")(z)
    return keras.Model(inputs, layers.Dense(3, activation="softmax", name="scores")(layers.GlobalAveragePooling2D()(z)))


def pictures(model: Any, count: int = 3) -> np.ndarray:
    return RNG.normal(size=(count, *model.inputs[0].shape[1:])).astype(np.float32)


def plain(model: Any, tensor: Any, x: np.ndarray, aggregate: str) -> np.ndarray:
    """(filters, images, height, width): one gradient per filter, of all images' aggregates together, as they are independent."""
    with tf.GradientTape(persistent=True) as tape:
        picture = tf.constant(x)
        tape.watch(picture)
        maps = keras.Model(model.inputs[0], tensor)(picture)
        maps = tf.reshape(maps, (len(x), -1, maps.shape[-1]))
        values = [tf.reduce_sum(getattr(tf, f"reduce_{aggregate}")(maps[..., f], axis=1)) for f in range(maps.shape[-1])]
    return np.stack([np.abs(tape.gradient(value, picture)).max(axis=-1) for value in values])


@pytest.mark.parametrize("aggregate", ["max", "sum"])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_it_is_one_gradient_per_filter_and_image(aggregate: str, padding: str) -> None:
    model = deep(padding=padding)
    x = pictures(model)
    tensors = {
        "first": model.get_layer("first").output,
        "second": next(layer for layer in model.layers if isinstance(layer, layers.ReLU)).output,     # leaves its activation
        "third": model.get_layer("third").output,
        "scores": model.get_layer("scores").output,
    }
    for name, tensor in tensors.items():
        found = fw.explain.saliency(model, name, None, x, aggregate)
        expected = plain(model, tensor, x, aggregate)
        assert found.maps.dtype == np.float32 and found.note == ""
        if aggregate == "sum":                      # four filters share their forward passes
            assert found.passes == 3 * sum(divmod(tensor.shape[-1], 4))
        np.testing.assert_allclose(found.maps, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())
        values = np.asarray(keras.Model(model.inputs[0], tensor)(x)).reshape(len(x), -1, tensor.shape[-1])
        np.testing.assert_allclose(found.activation, values.max(axis=1).T, rtol=1e-5, atol=1e-6)
        if space := tensor.shape[1:-1]:
            places = np.stack(np.unravel_index(values.argmax(axis=1), space), axis=-1)
            assert np.array_equal(found.units, places.swapaxes(0, 1))


def test_nested_residual_and_shuffled_filters() -> None:
    model = functional()
    x = images(4)[0]
    relu = next(operation for operation in model.operations if type(operation).__name__ == "Relu")
    gelu = model.get_layer("block")(model.get_layer("stem_relu").output)
    for name, tensor in {"last": relu.output, "block/inner": gelu, "stem": model.get_layer("stem_relu").output}.items():
        chosen = [3, 0, 2, 1, 3]
        found = fw.explain.saliency(model, name, chosen, x, "sum")
        np.testing.assert_allclose(found.maps, plain(model, tensor, x, "sum")[chosen], rtol=1e-4, atol=1e-6)


def test_the_maximums_gradient_is_exactly_zero_outside_the_receptive_field() -> None:
    model = deep()
    x = pictures(model, 4)
    for name in ("first", "second", "third"):
        found = fw.explain.saliency(model, name, None, x)
        for f in range(len(found.filters)):
            for i in range(len(x)):
                box = fw.explain.receptive_field(model, name, found.units[f, i]).inside
                inside = np.zeros(found.maps.shape[2:], bool)
                inside[box.lo[0] : box.hi[0] + 1, box.lo[1] : box.hi[1] + 1] = True
                assert not found.maps[f, i][~inside].any() and inside.sum() < inside.size
                if found.activation[f, i] > 0:
                    assert found.boxes[f, i, 0].tolist() == [box.lo[0], box.hi[0], box.lo[1], box.hi[1]]
                    assert found.maps[f, i].any()
                else:
                    assert found.boxes.shape[2] == 0 or (found.boxes[f, i] == -1).all()


def test_windows_give_what_whole_pictures_give_for_less(monkeypatch: pytest.MonkeyPatch) -> None:
    model = deep((50, 46))
    x = pictures(model, 5)
    for name in ("first", "pool", "second", "third"):
        with_windows = fw.explain.saliency(model, name, None, x)
        with monkeypatch.context() as patch:
            patch.setattr(backward, "windows_of", lambda functions, units: None)
            without = fw.explain.saliency(model, name, None, x)
        np.testing.assert_allclose(with_windows.maps, without.maps, rtol=1e-4, atol=1e-6)
        assert with_windows.passes == len(x) * len(with_windows.filters)        # none went the long way, too
        assert with_windows.work < 0.6 * with_windows.passes


def test_a_window_that_does_not_agree_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    model = deep()
    x = pictures(model)
    expected = plain(model, model.get_layer("third").output, x, "max")
    whole = fw.explain.saliency(model, "third", None, x).passes
    monkeypatch.setattr(backward, "agrees", lambda here, there, precision: np.arange(len(here)) % 2 == 0)
    found = fw.explain.saliency(model, "third", None, x)
    np.testing.assert_allclose(found.maps, expected, rtol=1e-4, atol=1e-6)
    assert found.passes > whole


def test_signed_keeps_channels() -> None:
    model = deep()
    x = pictures(model)
    for aggregate in ("max", "sum"):
        signed = fw.explain.saliency(model, "second", [1, 4], x, aggregate, signed=True)
        assert signed.maps.shape == (2, 3, 30, 28, 2) and (signed.maps < 0).any()
        largest = fw.explain.saliency(model, "second", [1, 4], x, aggregate).maps
        np.testing.assert_allclose(np.abs(signed.maps).max(axis=-1), largest, rtol=1e-5, atol=1e-8)


def test_in_chunks_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model = deep()
    x = pictures(model, 5)
    expected = {each: fw.explain.saliency(model, "second", None, x, each).maps for each in ("max", "sum")}
    monkeypatch.setattr("featwatch.explain.attribution.layer_functions._PICTURES_AT_ONCE", 2)
    for aggregate, maps in expected.items():
        np.testing.assert_allclose(fw.explain.saliency(model, "second", None, x, aggregate).maps, maps, rtol=1e-4, atol=1e-6)


def test_of_equal_units_it_is_the_firsts() -> None:
    model = keras.Sequential([keras.Input((6, 6, 1)), layers.Conv2D(1, 3, kernel_initializer="ones", name="conv")])
    found = fw.explain.saliency(model, "conv", None, np.ones((1, 6, 6, 1), np.float32))
    expected = np.zeros((6, 6))
    expected[:3, :3] = 1
    assert found.maps[0, 0].tolist() == expected.tolist() and found.units[0, 0].tolist() == [0, 0]


@pytest.mark.filterwarnings("ignore:Exception encountered when calling Functional", "ignore:The structure of `inputs`")
def test_it_equals_tf_keras_vis() -> None:
    from tf_keras_vis.saliency import Saliency
    from tf_keras_vis.utils.scores import CategoricalScore

    model = deep()
    x = pictures(model)
    theirs = Saliency(model, clone=True)
    found = fw.explain.saliency(model, "scores", None, x)
    for f in range(3):
        expected = theirs(CategoricalScore([f] * len(x)), x, smooth_samples=0, normalize_map=False)
        np.testing.assert_allclose(found.maps[f], expected, rtol=1e-3, atol=1e-6)


class Own(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.first = layers.Conv2D(4, 3, activation="relu", name="first")
        self.second = layers.Conv2D(3, 3, name="second")

    def call(self, x: Any) -> Any:
        return keras.ops.relu(self.second(self.first(x)))


def test_a_subclassed_model_is_looked_at_whole() -> None:
    own = Own()
    x = RNG.random((2, 12, 12, 1), np.float32)
    own(x)
    inputs = keras.Input((12, 12, 1))
    twin = keras.Model(inputs, own.second(own.first(inputs)))
    found = fw.explain.saliency(own, "second", None, x)
    np.testing.assert_allclose(found.maps, plain(twin, twin.outputs[0], x, "max"), rtol=1e-4, atol=1e-6)


FORMS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "sequence": (lambda: layers.Conv1D(3, 3, activation="relu", name="conv"), (20, 4)),
    "vector": (lambda: layers.Dense(3, activation="relu", name="conv"), (9,)),
    "many channels": (lambda: layers.Conv2D(3, 3, activation="relu", name="conv"), (8, 8, 7)),
    "depthwise": (lambda: layers.DepthwiseConv2D(3, activation="relu", name="conv"), (8, 8, 4)),
    "dilated": (lambda: layers.Conv2D(3, 3, dilation_rate=2, padding="same", name="conv"), (14, 14, 1)),
    "transposed": (lambda: layers.Conv2DTranspose(3, 3, strides=2, name="conv"), (9, 9, 1)),
    "channels first": (lambda: layers.Conv2D(3, 3, data_format="channels_first", activation="relu", name="conv"), (2, 9, 8)),
}


@pytest.mark.parametrize("form", FORMS)
def test_other_inputs_and_layers(form: str) -> None:
    layer, shape = FORMS[form]
    model = keras.Sequential([keras.Input(shape), layer()])
    x = RNG.normal(size=(2, *shape)).astype(np.float32)
    channels = 1 if form == "channels first" else -1
    for aggregate in ("max", "sum"):
        found = fw.explain.saliency(model, "conv", None, x, aggregate)
        with tf.GradientTape(persistent=True) as tape:
            picture = tf.constant(x)
            tape.watch(picture)
            maps = tf.experimental.numpy.moveaxis(model(picture), channels, -1)
            maps = tf.reshape(maps, (2, -1, maps.shape[-1]))
            values = [tf.reduce_sum(getattr(tf, f"reduce_{aggregate}")(maps[..., f], axis=1)) for f in range(maps.shape[-1])]
        for f, value in enumerate(values):
            gradient = np.abs(tape.gradient(value, picture))
            expected = gradient if form == "vector" else gradient.max(axis=channels)
            assert found.maps.shape[2] == 1 or len(shape) == 3
            np.testing.assert_allclose(found.maps[f].reshape(expected.shape), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy: str) -> None:
    def build(dtype: str) -> Any:
        inputs = keras.Input((16, 16, 1))
        z = layers.Conv2D(4, 3, activation="relu", dtype=dtype, name="first")(inputs)
        return keras.Model(inputs, layers.Conv2D(3, 3, activation="relu", dtype=dtype, name="second")(z))

    keras.utils.set_random_seed(1)
    half, full = build(policy), build("float32")
    full.set_weights(half.get_weights())
    x = np.random.default_rng(0).normal(size=(2, 16, 16, 1)).astype(np.float32)
    found, expected = (fw.explain.saliency(each, "second", None, x, "sum").maps for each in (half, full))
    assert np.isfinite(found).all()
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.99
    assert np.isfinite(fw.explain.saliency(half, "second", None, x).maps).all()


def test_what_is_wrong_is_said() -> None:
    model = sequential()
    x = images(3)[0]
    with pytest.raises(ValueError, match=r"aggregate='mean': expected 'max' or 'sum'"):
        fw.explain.saliency(model, "conv", None, x, "mean")
    with pytest.raises(ValueError, match=r"filters=\[7\]: layer 'conv' has the filters 0 to 3"):
        fw.explain.saliency(model, "conv", [7], x)
    with pytest.raises(ValueError, match=r"expected \(images, 8, 8, 1\)"):
        fw.explain.saliency(model, "conv", None, x[..., 0])
    with pytest.raises(ValueError, match="did you mean 'conv'"):
        fw.explain.saliency(model, "covn", None, x)
    with pytest.raises(TypeError, match="twin=3"):
        fw.explain.saliency(model, "conv", None, x, twin=3)
    model = deep()
    x = pictures(model)
    third = model.get_layer("third")
    bias = np.zeros(5)
    bias[2] = np.nan
    third.bias.assign(bias)
    with pytest.raises(ValueError, match=r"not finite for these images \(filters 2\)"):
        fw.explain.saliency(model, "third", None, x)
    assert fw.explain.saliency(model, "third", [0, 1], x).maps.any()


def test_no_gradient_is_said() -> None:
    inputs = keras.Input((8, 8, 1))
    cut = layers.Lambda(lambda x: tf.stop_gradient(x))(inputs)
    model = keras.Model(inputs, layers.Conv2D(2, 3, name="conv")(cut))
    with pytest.raises(ValueError, match="no gradient leads"):
        fw.explain.saliency(model, "conv", None, images(2)[0])


def memory() -> int:
    """Bytes of this process."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def everything(model: Any, x: np.ndarray) -> None:
    """Each of the ways to look at a layer."""
    for aggregate in ("max", "sum"):
        fw.explain.saliency(model, "conv", None, x, aggregate, twin=aggregate == "max")
    for mode in ("deconv", "guided"):
        fw.explain.deconvolution(model, "conv", None, x, mode)
    fw.explain.occlusion(model, "conv", None, x, 3)


def test_it_follows_the_weights_and_traces_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = sequential()
    x = images(3)[0]
    traces: list[int] = []
    reach = subject.reach
    monkeypatch.setattr(subject, "reach", lambda *args: traces.append(1) or reach(*args))
    everything(model, x)
    traced, resident = len(traces), memory()
    for _ in range(40):                             # five calls each: 200
        everything(model, x)
    assert len(traces) == traced > 5
    assert memory() - resident < 30e6
    old = fw.explain.saliency(model, "conv", None, x, "sum")
    model.get_layer("conv").kernel.assign(2 * model.get_layer("conv").kernel)
    model.get_layer("conv").bias.assign(np.ones(4))
    assert not np.allclose(fw.explain.saliency(model, "conv", None, x, "sum").maps, old.maps)
    np.testing.assert_allclose(
        fw.explain.saliency(model, "conv", None, x, "sum").maps, plain(model, model.get_layer("conv").output, x, "sum"), rtol=1e-5
    )


def test_the_model_and_all_random_states_stay_as_they_are() -> None:
    model = sequential()
    x, y = images(30)
    model.fit(x, y, verbose=0)
    keras.utils.set_random_seed(3)

    def state() -> list[Any]:
        seeds = keras.src.backend.common.global_state.get_global_attribute("object_name_uids")
        return [
            [variable.numpy().tobytes() for variable in model.variables + model.optimizer.variables],
            [sorted(vars(layer)) for layer in model.layers],
            [id(layer.call.__func__) for layer in model.layers],
            random.getstate(), np.random.get_state()[1].tolist(), dict(seeds or {}), id(model.train_function),
        ]  # fmt: skip

    before = state()
    everything(model, x[:3])
    assert state() == before
    after = tf.random.uniform(()).numpy(), random.random()
    keras.utils.set_random_seed(3)
    assert (tf.random.uniform(()).numpy(), random.random()) == after


def test_what_is_kept_lets_the_model_go() -> None:
    import weakref

    model = sequential()
    everything(model, images(2)[0])
    assert kept(model, ("attributions", *subject_of(model, "conv").key), lambda: None) is not None
    reference = weakref.ref(model)
    del model
    gc.collect()
    assert reference() is None


def test_examples() -> None:
    from featwatch.explain.attribution import deconvolution_maps, occlusion_maps, overlays, twin

    globs = {"net": sequential(), "x": images(4)[0], **{name: getattr(fw.explain, name) for name in fw.explain.__all__}}
    for module in (saliency_maps, occlusion_maps, deconvolution_maps, overlays, twin):
        found = doctest.testmod(module, extraglobs=globs)
        assert found.attempted and not found.failed, module.__name__
