"""Maximising images: the step against NumPy, planted templates, and the recorder in a fit."""

from __future__ import annotations

import doctest
import gc
import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import scipy.fft
import tensorflow as tf
from sklearn.datasets import load_digits

import featwatch as fw
from featwatch.explain.leading import maximising
from featwatch.explain.leading.leading import Leader
from featwatch.explain.leading.maximising import Calibration, Gallery
from featwatch.explain.strongest import strength
from featwatch.explain.subject import subject_of
from featwatch.recorders import maximising_images as recording
from tests import planted
from tests.fits import PROBE, fit, ours, quick
from tests.nets import functional, images, sequential

L = keras.layers


# The step


def small_net(activation: str | None = "relu") -> Any:
    keras.utils.set_random_seed(3)
    inputs = keras.Input((16, 14, 2))
    x = L.Conv2D(5, 3, strides=2, padding="same", activation="relu", name="first")(inputs)
    x = L.Conv2D(4, 3, padding="same", activation=activation, name="second")(x)
    return keras.Model(inputs, L.Dense(3, name="scores")(L.Flatten()(x)))


def by_hand(model: Any, layer: str, unit: tuple[int, ...], f: int, start: np.ndarray, low: Any, high: Any, steps: int) -> Any:
    """The same steps with a gradient tape and NumPy; `layer` without an activation."""
    part = keras.Model(model.inputs, model.get_layer(layer).output)
    shares = np.clip((start - low) / (high - low), 0, 1)
    for _ in range(steps):
        x = tf.constant((low + (high - low) * shares)[None], tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = part(x)[(0, *unit, f)]
        gradient = tape.gradient(value, x).numpy()[0] * (high - low)
        shares = np.clip(shares + 0.01 * gradient / np.abs(gradient).max(), 0, 1)
    return low + (high - low) * shares


@pytest.mark.parametrize("layer", ["second", "scores"])
def test_images_and_values_are_those_of_a_tape_and_numpy(layer: str) -> None:
    model, x = small_net(None), images(40, (16, 14, 2))[0] * np.array([1, 5], np.float32)
    record = fw.explain.maximising_images(model, layer, None, fw.Probe(x), steps=12)
    maps = fw.explain.activations(model, layer, x)[layer]
    flat = maps.reshape(40, -1, maps.shape[-1])
    assert record.samples.tolist() == flat.max(axis=1).argmax(axis=0).tolist()
    span = record.high - record.low
    for f in range(maps.shape[-1]):
        n = record.samples[f]
        unit = tuple(int(i) for i in np.unravel_index(flat[n, :, f].argmax(), maps.shape[1:-1])) if layer == "second" else ()
        expected = by_hand(model, layer, unit, f, x[n], record.low, record.high, 12)
        np.testing.assert_allclose(record.images[f] / span, expected / span, atol=1 / 254)
        np.testing.assert_allclose(record.started[f], flat[n, :, f].max(), rtol=1e-4)
        value = keras.Model(model.inputs, model.get_layer(layer).output).predict(expected[None], verbose=0)[(0, *unit, f)]
        np.testing.assert_allclose(record.activation[f], value, rtol=2e-3, atol=1e-3)
        top, bottom, left, right = record.boxes[f]
        outside = np.ones((16, 14), bool)
        outside[top : bottom + 1, left : right + 1] = False
        assert np.abs(record.images[f] - np.clip(x[n], record.low, record.high))[outside].max(initial=0) <= span.max() / 500
    assert (record.activation > record.started).all() and record.steps == 12


@pytest.mark.parametrize("steps", [1, 3, 10])
def test_no_step_changes_a_value_by_more_than_a_hundredth_of_its_range(steps: int) -> None:
    model, x = small_net(), images(30, (16, 14, 2))[0]
    subject = subject_of(model, "second", x)
    gallery, probe = Gallery(model, subject, fw.Probe(x)), fw.Probe(x)
    found = strength(model, subject.site, probe)
    before, after = (gallery.lead(np.arange(4), found, n).shares for n in (0, steps))
    changed = np.abs(after - before).reshape(4, -1).max(axis=1)
    assert (changed <= 0.01 * steps + 1e-5).all() and (changed > 0.009).all()
    assert after.min() >= 0 and after.max() <= 1


def test_windows_give_what_whole_samples_give(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = small_net(), images(60, (16, 14, 2))[0]
    monkeypatch.setattr(maximising, "kept", lambda model, key, make: make())
    windows = fw.explain.maximising_images(model, "second", None, fw.Probe(x), steps=10)
    leader = Leader(subject_of(model, "second", x))
    assert leader._frame.patch and leader._placed(np.argwhere(np.ones(leader.map_size)))[2].all()
    monkeypatch.setattr(Leader, "_serves", lambda self: False)
    whole = fw.explain.maximising_images(model, "second", None, fw.Probe(x), steps=10)
    np.testing.assert_allclose(whole.activation, windows.activation, rtol=1e-4)
    assert np.abs(whole.pixels.astype(int) - windows.pixels).max() <= 1


def test_half_precision_leads_the_same_way() -> None:
    x = images(40, (16, 14, 2))[0]
    model = small_net()
    full = fw.explain.maximising_images(model, "second", None, fw.Probe(x), steps=10)
    for policy in ("mixed_float16", "mixed_bfloat16"):
        half = keras.models.clone_model(
            model, clone_function=lambda layer, policy=policy: type(layer).from_config({**layer.get_config(), "dtype": policy})
        )
        half.set_weights(model.get_weights())
        found = fw.explain.maximising_images(half, "second", None, fw.Probe(x), steps=10)
        np.testing.assert_allclose(found.activation, full.activation, rtol=0.1, atol=0.05)


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.conv = L.Conv2D(4, 3, padding="same", activation="relu", name="conv")
        self.last = L.Conv2D(3, 3, strides=2, padding="same", name="last")

    def call(self, x: Any) -> Any:
        return self.last(self.conv(x))


@pytest.mark.parametrize("net", ["subclassed", "channels first", "up-sampled"])
def test_values_are_those_of_the_whole_image_in_any_model(net: str) -> None:
    keras.utils.set_random_seed(5)
    x, layer = images(40, (16, 14, 2))[0], "last"
    if net == "subclassed":
        model: Any = Subclassed()
    elif net == "channels first":
        x = np.moveaxis(x, -1, 1)
        first = {"padding": "same", "data_format": "channels_first"}
        convolutions = L.Conv2D(4, 3, activation="relu", **first), L.Conv2D(3, 3, name="last", **first)
        model = keras.Sequential([keras.Input((2, 16, 14)), *convolutions])
    else:
        model = keras.Sequential([
            keras.Input((16, 14, 2)), L.Conv2D(4, 3, strides=2, padding="same", activation="relu"), L.UpSampling2D(),
            L.Conv2D(3, 3, padding="same", name="last"),
        ])  # fmt: skip
    model(x)
    record = fw.explain.maximising_images(model, layer, None, fw.Probe(x), steps=8)
    maps = fw.explain.activations(model, layer, x)[layer]
    flat = maps.reshape(40, -1, 3)
    for f, n in enumerate(record.samples):
        place = flat[n, :, f].argmax()
        np.testing.assert_allclose(record.started[f], flat[n, place, f], rtol=1e-4)
        image = np.moveaxis(record.images[f], -1, 0) if net == "channels first" else record.images[f]
        value = fw.explain.activations(model, layer, image[None])[layer].reshape(-1, 3)[place, f]
        np.testing.assert_allclose(record.activation[f], value, rtol=0.02, atol=0.01)
    assert (record.activation > record.started).all()


# Templates


def one_each(count: int = 240, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """One planted shape each, dim and in noise; its number is the label."""
    rng, y = np.random.default_rng(seed), np.arange(count) % 12
    x = 0.3 * rng.random((count, planted.SIZE, planted.SIZE, 1), np.float32)
    for image, shape in zip(x[..., 0], y, strict=True):
        top, left = rng.integers(0, planted.SIZE - planted.FIELD + 1, 2)
        x_here = image[top : top + planted.FIELD, left : left + planted.FIELD]
        np.maximum(x_here, planted.shapes()[shape] * rng.uniform(0.4, 0.75), out=x_here)
    return np.clip(x, 0, 1), y


def cut(images_: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    return np.stack([image[a : b + 1, c : d + 1] for image, (a, b, c, d) in zip(images_, boxes, strict=True)]).astype(np.float32)


def test_the_thresholded_image_shows_the_template() -> None:
    x, y = one_each()
    x[0] = 1                    # so that the range is 0 to 1
    record = fw.explain.maximising_images(planted.net(), "shapes", None, fw.Probe(x, y), steps=60)
    assert planted.identified(cut(record.images, record.boxes)) >= 0.9
    assert planted.identified(cut(record.thresholded, record.boxes)) >= 0.9
    start = x[record.samples] > 0.9
    assert planted.identified(cut(start, record.boxes)) <= 0.4         # the samples alone do not show it so
    floor = fw.explain.maximising_images(planted.net(planted=False), "shapes", None, fw.Probe(x, y), steps=60)
    assert planted.identified(cut(floor.thresholded, floor.boxes)) <= 0.4


# Calibration


def test_steps_are_the_mean_of_the_last_steps_before_noise() -> None:
    noise = np.array([[0.1, 0.15, 0.3, 0.1], [0.4, 0.5, 0.5, 0.5], [0.1, 0.1, 0.1, 0.1], [0.1, 0.1, 0.21, 0.23]])
    assert maximising._last_before(noise, 0.2).tolist() == [1, 0, 3, 2]


def specific_net(seed: int = 0) -> tuple[Any, np.ndarray, np.ndarray]:
    """A trained net of which some units answer to one class."""
    keras.utils.set_random_seed(seed)
    digits = load_digits()
    x = np.kron(digits.images[:600] / 16, np.ones((2, 2))).astype(np.float32)[..., None]
    model = keras.Sequential([
        keras.Input((16, 16, 1)), L.Conv2D(8, 3, activation="relu", name="conv"), L.MaxPooling2D(),
        L.Conv2D(16, 3, activation="relu", name="deep"), L.Flatten(), L.Dense(10, activation="softmax", name="scores"),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    model.fit(x, digits.target[:600], epochs=6, verbose=0)
    return model, x[:200], digits.target[:200]


def test_calibration_is_done_on_specific_units_by_the_measure_that_is_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maximising, "MOST_STEPS", 40)
    model, x, y = specific_net()
    probe = fw.Probe(x, y)
    record = fw.explain.maximising_images(model, "scores", None, probe)
    found = strength(model, subject_of(model, "scores", probe).site, probe)
    specific = maximising.specific_units(found["mean"], probe.labels, found["below_zero"])
    units = np.flatnonzero(specific.modality == 1)
    assert record.calibrated_on == len(units) > 0
    # Step by step, with the measure of SciPy's transform on images of so many steps each.
    def share(pictures: np.ndarray) -> np.ndarray:
        energy = np.square(scipy.fft.dctn(pictures - pictures.mean(axis=(1, 2), keepdims=True), axes=(1, 2), norm="ortho"))
        along = np.arange(16) / 32
        high = np.hypot(along[:, None], along[None]) > 0.25
        return (energy * high[..., None]).sum(axis=(1, 2, 3)), energy.sum(axis=(1, 2, 3))

    some = x[np.linspace(0, 199, 8).round().astype(int)]
    natural = share(some)[0].sum() / share(some)[1].sum()
    assert record.natural_noise == pytest.approx(natural, rel=1e-3)
    last = np.full(len(units), maximising.MOST_STEPS)
    for steps in range(1, maximising.MOST_STEPS + 1):
        shown = fw.explain.maximising_images(model, "scores", units, probe, steps=steps)
        if steps == 1:
            start = np.divide(*share(x[shown.samples]))
        last = np.where((shown.noise > 1.1 * np.maximum(start, natural)) & (last == maximising.MOST_STEPS), steps - 1, last)
    assert abs(record.steps - last.mean()) <= 0.51
    np.testing.assert_allclose(record.noise, np.divide(*share(record.images)), atol=0.01)       # bytes are rounded


def test_only_units_that_are_specific_to_one_class_calibrate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maximising, "specific_units", lambda *_: SimpleNamespace(modality=np.array([1, 2, 0, 1])))
    model, probe = sequential(), fw.Probe(*images(30))
    subject = subject_of(model, "conv", probe)
    gallery, found = Gallery(model, subject, probe), strength(model, subject.site, probe)
    assert gallery._specific(found, 9)[0].tolist() == [0, 3] and gallery._specific(found, 9)[1] == ""
    assert gallery._specific(found, 1)[0].tolist() == [0] and gallery._specific(found, 1)[1] == "calibrated on 1 of 2 units"
    assert gallery.calibrate(found).units == 2


def test_calibration_is_kept_until_the_weights_change(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(Gallery, "calibrate", lambda *_: asked.append(1) or Calibration(len(asked)))
    model, probe = sequential(), fw.Probe(*images(30))
    for expected in (1, 1):
        assert fw.explain.maximising_images(model, "conv", [0], probe).steps == expected
    model.get_layer("conv").set_weights([w + 0.1 for w in model.get_layer("conv").get_weights()])
    assert fw.explain.maximising_images(model, "conv", [0], probe).steps == 2
    assert fw.explain.maximising_images(model, "conv", [0], fw.Probe(*images(20))).steps == 3
    assert fw.explain.maximising_images(model, "conv", [0], images(20)[0]).steps == 4


def test_without_labels_and_without_frequencies_that_is_said() -> None:
    model, x = small_net(), images(30, (16, 14, 2))[0]
    assert "no labels of two" in fw.explain.maximising_images(model, "second", [1], x).note
    table = keras.Sequential([keras.Input((12,)), L.Dense(5, activation="relu", name="dense")])
    record = fw.explain.maximising_images(table, "dense", None, np.random.default_rng(0).random((40, 12)).astype(np.float32))
    assert "vectors have no spatial frequencies: 20 steps" in record.note and record.steps == 20 and record.noise.size == 0
    assert record.images.shape == (5, 1, 12, 1) and record.calibrated_on == 0
    flat = keras.Sequential([keras.Input((64,)), L.Dense(5, activation="relu", name="dense")])
    digits = load_digits()
    record = fw.explain.maximising_images(flat, "dense", None, fw.Probe((digits.data / 16).astype(np.float32)[:200]))
    assert record.images.shape == (5, 8, 8, 1) and "read as squares" in record.note and record.noise.shape == (5,)


@pytest.mark.parametrize(("argument", "message"), [({"steps": 0}, "steps=0"), ({"filters": [9]}, "filters 0 to 3")])
def test_arguments_are_checked(argument: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fw.explain.maximising_images(sequential(), "conv", **{"filters": None, "probe": images(9)[0], **argument})


# The recorder


def test_in_a_fit_the_record_is_that_of_the_function(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    model, kept = functional(), []
    keep = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: kept.append(model.get_weights()))
    recorder = fw.MaximisingImages(steps=5, seconds=None, schedule=fw.at(0, 2), layers=["stem", "block/inner", "scores"])
    fit(model, quick(tmp_path, recorders=[recorder], strict=True), keep, epochs=2)
    assert not ours(recwarn)
    run = fw.load(tmp_path)
    model.set_weights(kept[-1])
    for layer in ("stem", "block/inner", "scores"):
        record = run.maximising(layer, 2)
        mine = fw.explain.maximising_images(model, layer, record.filters, PROBE, steps=5)
        np.testing.assert_array_equal(record.samples, mine.samples)
        assert np.abs(record.pixels.astype(int) - mine.pixels).max() <= 1
        np.testing.assert_allclose(record.activation, mine.activation, rtol=1e-3, atol=1e-5)
        assert sorted(record.filters) == list(range(len(record.filters))) and record.note == ""


class Clock:
    """Each look at it takes a while."""

    def __init__(self, tick: float) -> None:
        self.now, self.tick = 0.0, tick

    def __call__(self) -> float:
        self.now += self.tick
        return self.now


def test_seconds_and_bytes_hold_it_back_and_all_have_their_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "MOST_BYTES", 2 * 64)
    recorder = fw.MaximisingImages(steps=2, seconds=3.0, schedule=fw.every(epochs=1), layers=["conv", "dense"])
    recorder._clock = Clock(1.0)
    fit(sequential(), quick(tmp_path, recorders=[recorder], strict=True), epochs=9)
    run = fw.load(tmp_path)
    seen: dict[str, set[int]] = {"conv": set(), "dense": set()}
    for epoch in range(10):
        made = [layer for layer in seen if epoch in run.recorded("maximising", layer)]
        assert made
        for layer in made:
            record = run.maximising(layer, epoch)
            assert len(record.filters) <= 2 and "by turns" in record.note
            seen[layer] |= set(record.filters.tolist())
    assert seen["conv"] == set(range(4)) and len(seen["dense"]) >= 4


def test_a_record_holds_no_more_than_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "MOST_BYTES", 3 * 64)
    monkeypatch.setattr(Leader, "at_once", 2)
    fw.snapshot(sequential(), PROBE, tmp_path, layers="conv", recorders=[fw.MaximisingImages(steps=1, seconds=None)])
    record = fw.load(tmp_path).maximising("conv", 0)
    assert len(record.filters) == 3 and "3 of 4 filters, by turns" in record.note


def test_steps_are_calibrated_anew_when_the_epoch_has_doubled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    epochs: list[int] = []
    monkeypatch.setattr(Gallery, "calibrate", lambda *_: epochs.append(1) or Calibration(len(epochs)))
    recorder = fw.MaximisingImages(seconds=None, schedule=fw.every(epochs=1), layers=["conv"])
    fit(sequential(), quick(tmp_path, recorders=[recorder], strict=True), epochs=5)
    run = fw.load(tmp_path)
    assert [run.maximising("conv", epoch).steps for epoch in range(6)] == [1, 2, 3, 3, 4, 4]


def test_what_has_no_images_is_said_once(tmp_path: Path) -> None:
    inputs = keras.Input((6,), dtype="int32")
    x = L.GlobalAveragePooling1D()(L.Embedding(20, 4)(inputs))
    model = keras.Model(inputs, L.Dense(3, activation="softmax", name="scores")(x))
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y = np.random.default_rng(0).integers(0, 20, (40, 6)), np.arange(40) % 3
    recorder = fw.MaximisingImages(schedule=fw.every(epochs=1), layers=["scores"])
    watch = fw.Watch(tmp_path, fw.Probe(x, y), recorders=[recorder], background=False, strict=True)
    model.fit(x, y, epochs=2, verbose=0, callbacks=[watch])
    said = [entry["text"] for entry in fw.load(tmp_path).journal if entry.get("recorder") == "maximising_images"]
    assert len(said) == 1 and "int32" in said[0]


def test_training_is_bit_identical_and_nothing_grows(tmp_path: Path) -> None:
    def trained(*callbacks: Any) -> tuple[str, Any]:
        keras.backend.clear_session()
        keras.utils.set_random_seed(5)
        model = sequential()
        fit(model, *callbacks, epochs=3)
        digest = hashlib.sha256()
        for variable in model.variables + model.optimizer.variables:
            digest.update(variable.numpy().tobytes())
        return digest.hexdigest(), (np.random.rand(), tf.random.uniform(()).numpy(), L.Dense(1).name)

    recorders = [fw.MaximisingImages(schedule=fw.every(epochs=1)), fw.ExemplarMaps(schedule=fw.every(epochs=1))]
    assert trained() == trained(quick(tmp_path, recorders=recorders, strict=True))


def test_two_hundred_calls_trace_once() -> None:
    model, probe = sequential(), fw.Probe(*images(20))
    fw.explain.maximising_images(model, "conv", [0], probe, steps=1)
    fw.explain.exemplars(model, "conv", [0], probe)
    gc.collect()
    before = sum(isinstance(one, tf.Graph) for one in gc.get_objects())
    for _ in range(200):        # of each
        fw.explain.maximising_images(model, "conv", [0], probe, steps=1)
        fw.explain.exemplars(model, "conv", [0], probe)
    gc.collect()
    assert sum(isinstance(one, tf.Graph) for one in gc.get_objects()) <= before


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="steps=0"):
        fw.MaximisingImages(steps=0)
    with pytest.raises(ValueError, match="seconds=0"):
        fw.MaximisingImages(seconds=0)


def test_the_examples_are_true() -> None:
    found = doctest.testmod(maximising, extraglobs={"net": sequential(), "x": images(20)[0], "np": np, "fw": fw})
    assert found.attempted and not found.failed
