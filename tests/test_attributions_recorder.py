"""`Attributions`, the recorder: what it records is what `explain` gives, in its turn, and nothing of the training moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import featwatch as fw
from featwatch.analysis.attribution_maps import averaged, most_of_channels
from featwatch.explain import subject
from featwatch.recorders import attribution_work, default_recorders
from featwatch.recorders.attribution_work import METHODS
from featwatch.records import Attributions
from tests.nets import compiled, functional, images, sequential

layers = keras.layers
X, Y = images(60)
PROBE = fw.Probe(X, Y)


def recorded(model: Any, log_dir: Path, *arguments: Any, probe: fw.Probe = PROBE, **options: Any) -> Any:
    return fw.snapshot(model, probe, str(log_dir), recorders=[fw.Attributions(*arguments, seconds=None, **options)])


def watched(model: Any, log_dir: Path, recorder: fw.Attributions, epochs: int = 2, **more: Any) -> Any:
    watch = fw.Watch(log_dir, PROBE, recorders=[recorder], background=False, strict=True, alerts=(), **more)
    model.fit(X, Y, epochs=epochs, verbose=0, callbacks=[watch])
    return fw.load(log_dir)


def explained(model: Any, layer: str, filters: list[int], x: np.ndarray, method: str, **more: Any) -> Any:
    if method == "saliency":
        return fw.explain.saliency(model, layer, filters, x, **more)
    if method == "occlusion":
        return fw.explain.occlusion(model, layer, filters, x, 3, 1, neutral=X.mean(), **more)
    return fw.explain.deconvolution(model, layer, filters, x, method, **more)


def said(run: Any) -> list[str]:
    return [entry["text"] for entry in run.journal if entry.get("recorder") == "attributions"]


def test_the_record_is_what_explain_gives(tmp_path: Path) -> None:
    keras.utils.set_random_seed(2)          # with others both filters of the stem may answer to none of the samples
    model = functional()
    model.fit(X, Y, verbose=0)
    run = recorded(model, tmp_path, [2, 0], [5, 2, 9], METHODS, twin=True)
    for layer in ("stem", "last", "block/inner"):
        record = run.attributions(layer, 0)
        assert isinstance(record, Attributions)
        assert record.methods.tolist() == list(METHODS) and record.filters.tolist() == [0, 2]
        assert record.samples.tolist() == [5, 2, 9] and record.input_shape == (8, 8)
        assert record.note == "occlusion by squares of 3 × 3 px, every 1"
        x = X[[5, 2, 9]]
        for index, method in enumerate(METHODS):
            for pixels, reach, twin in ((record.pixels, record.reach, False), (record.twin_pixels, record.twin_reach, True)):
                found = explained(model, layer, [0, 2], x, method, twin=twin)
                maps = most_of_channels(found.maps) if found.maps.ndim == 5 else found.maps
                np.testing.assert_allclose(reach[index], np.abs(maps).max(axis=(2, 3)), rtol=1e-3, atol=1e-6)
                given = (pixels[index] - 128.0) / 127 * reach[index][..., None, None]
                assert (np.abs(given - maps) <= reach[index][..., None, None] / 200 + 1e-5).all()
            if not index:
                np.testing.assert_allclose(record.activation, found_activation(model, layer, x), rtol=1e-4, atol=1e-6)
        guided = fw.explain.deconvolution(model, layer, [0, 2], x, "guided")
        assert np.array_equal(record.boxes, guided.boxes) and record.boxes.shape[-1] == 4
    scores = run.attributions("scores", 0)
    assert scores.boxes.shape == (2, 3, 1, 4) and scores.boxes[0, 0, 0].tolist() == [0, 7, 0, 7]


def found_activation(model: Any, layer: str, x: np.ndarray) -> np.ndarray:
    maps = fw.explain.activations(model, layer, x)[layer][..., [0, 2]]
    return maps.reshape(len(x), -1, 2).max(axis=1).T


def test_it_is_not_a_default_one_and_comes_every_five_epochs(tmp_path: Path) -> None:
    assert not any(isinstance(recorder, fw.Attributions) for recorder in default_recorders())
    run = watched(sequential(), tmp_path, fw.Attributions([0], 2, seconds=None), epochs=6)
    for epoch in (0, 5, 6):
        assert run.attributions("conv", epoch).samples.tolist() == [0, 1]
    with pytest.raises(KeyError):
        run.attributions("conv", 3)
    assert run.attributions("conv", 0).methods.tolist() == ["saliency"]


def test_a_second_fit_goes_on_and_layers_may_change_in_between(tmp_path: Path) -> None:
    model = sequential()
    recorder = fw.Attributions([0, 1, 2, 3], 2, seconds=None, layers="conv", twin=True, schedule=fw.every(epochs=1))
    watch = fw.Watch(tmp_path, PROBE, recorders=[recorder], background=False, strict=True, alerts=())
    model.fit(X, Y, epochs=1, verbose=0, callbacks=[watch])
    model.get_layer("conv").trainable = False
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(X, Y, epochs=1, verbose=0, callbacks=[watch])
    run = fw.load(tmp_path)
    assert run.recorded("attributions", "conv") == [0, 1, 2]
    records = [run.attributions("conv", epoch) for epoch in range(3)]
    assert np.array_equal(records[1].maps, records[2].maps) and not np.array_equal(records[0].maps, records[1].maps)
    assert np.array_equal(records[0].twin_pixels, records[2].twin_pixels)


def test_filters_by_layer_and_the_most_active_first(tmp_path: Path) -> None:
    run = recorded(sequential(), tmp_path / "a", {"conv": [1]}, 3)
    assert run.attributions("conv", 0).filters.tolist() == [1] and run.attributions("conv", 0).samples.tolist() == [0, 1, 2]
    with pytest.raises(KeyError):
        run.attributions("dense", 0)
    assert recorded(sequential(), tmp_path / "b").attributions("conv", 0).filters.tolist() == [0, 1, 2, 3]
    with pytest.raises(RuntimeError, match="'covn' is none of this recorder's layers .did you mean 'conv'"):
        watched(sequential(), tmp_path / "c", fw.Attributions({"covn": [1]}, 3))


def test_where_more_units_act_than_are_looked_at_that_is_said(tmp_path: Path) -> None:
    """Of an even picture all units of a map but those at its edge have one value."""
    inputs = keras.Input((8, 8, 1))
    hidden = keras.layers.Conv2D(2, 3, activation="relu", kernel_initializer="ones", bias_initializer="ones", name="conv")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(hidden)))
    x = np.ones((20, 8, 8, 1), np.float32)
    words = "where 16 units of a map act there may be more: the strongest 16 count and have boxes"
    record = recorded(model, tmp_path / "many", [0], [1], ("deconv",), probe=fw.Probe(x)).attributions("conv", 0)
    assert words in record.note.split("; ") and record.note.count("16 units") == 1
    assert (record.boxes[0, 0, :, 0] >= 0).sum() == 16
    assert words in fw.explain.deconvolution(model, "conv", [0], x[:1]).note
    assert "units" not in fw.explain.saliency(model, "conv", [0], x[:1]).note          # of the strongest unit alone
    x[:, 3, 4] = 9.0
    few = recorded(model, tmp_path / "few", [0], [1], ("deconv",), probe=fw.Probe(x)).attributions("conv", 0)
    assert "units" not in few.note and (few.boxes[0, 0, :, 0] >= 0).sum() == 9


def test_a_layer_without_such_filters_says_so_and_the_others_are_recorded(tmp_path: Path) -> None:
    run = recorded(sequential(), tmp_path, [5], 2)
    assert run.attributions("dense", 0).filters.tolist() == [5]
    assert "layer 'conv' has no attributions: filters=(5,): layer 'conv' has the filters 0 to 3" in said(run)[0]


def test_large_pictures_are_averaged_and_many_samples_thinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = images(12, (30, 26, 1))
    model = compiled(keras.Sequential([
        keras.Input((30, 26, 1)), layers.Conv2D(4, 3, activation="relu", name="conv"), layers.Flatten(), layers.Dense(3),
    ]))  # fmt: skip
    record = recorded(model, tmp_path / "a", [0], [1, 2], layers="conv", size=10, probe=fw.Probe(x, y)).attributions("conv", 0)
    maps = averaged(fw.explain.saliency(model, "conv", [0], x[[1, 2]]).maps, 3)
    assert record.pixels.shape == (1, 1, 2, 10, 9)
    np.testing.assert_allclose(record.maps[0], maps, atol=record.reach.max() / 200)
    assert record.note == "each pixel of a map is the mean over 3 × 3 of the image" and record.input_shape == (30, 26)
    monkeypatch.setattr(attribution_work, "MOST_NUMBERS", 2 * 15 * 13)
    record = recorded(model, tmp_path / "b", [0], 6, layers="conv", probe=fw.Probe(x, y)).attributions("conv", 0)
    assert record.samples.tolist() == [0, 1] and "2 of 6 samples, so that the log stays small" in record.note


class Clock:
    """Each look at it takes a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def test_what_has_no_time_comes_first_at_a_later_snapshot(tmp_path: Path) -> None:
    recorder = fw.Attributions([0, 1, 2, 3], 2, seconds=6.0, layers="conv", schedule=fw.every(epochs=1))
    recorder._clock = Clock()
    run = watched(sequential(), tmp_path, recorder, epochs=4)
    seen: list[int] = []
    for epoch in run.epochs:
        try:
            record = run.attributions("conv", epoch)
        except KeyError:
            continue
        seen += record.filters.tolist()
        assert ("no time for" in record.note) == (len(record.filters) < 4)
    assert set(seen) == {0, 1, 2, 3} and len(seen) > 4


def test_seconds_that_were_taken_too_many_are_paid_back(tmp_path: Path) -> None:
    class Slow(Clock):
        def __call__(self) -> float:
            self.now += 10
            return self.now

    recorder = fw.Attributions([0], 1, seconds=15.0, layers="conv", schedule=fw.every(epochs=1))
    recorder._clock = Slow()
    run = watched(sequential(), tmp_path, recorder, epochs=5)
    epochs = [epoch for epoch in run.epochs if _has(run, epoch)]
    assert 0 in epochs and 1 <= len(epochs) < 5


def _has(run: Any, epoch: int) -> bool:
    try:
        return run.attributions("conv", epoch) is not None
    except KeyError:
        return False


def test_training_is_the_same_to_the_bit_and_nothing_is_traced_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    traces: list[int] = []
    reach = subject.reach
    monkeypatch.setattr(subject, "reach", lambda *args: traces.append(1) or reach(*args))

    def weights(watch: fw.Watch | None) -> list[bytes]:
        keras.utils.set_random_seed(7)
        model = sequential()
        model.fit(X, Y, epochs=4, verbose=0, callbacks=[watch] if watch else [])
        return [variable.numpy().tobytes() for variable in model.variables + model.optimizer.variables]

    recorder = fw.Attributions(None, 2, METHODS, twin=True, seconds=None, schedule=fw.every(epochs=1))
    watch = fw.Watch(tmp_path, PROBE, recorders=[recorder], background=False, strict=True, alerts=())
    assert weights(watch) == weights(None)
    run = fw.load(tmp_path)
    first, last = run.attributions("conv", 0), run.attributions("conv", 4)
    assert not np.array_equal(first.maps, last.maps)
    assert np.array_equal(first.twin_pixels, last.twin_pixels) and np.array_equal(first.twin_reach, last.twin_reach)
    # By layer: the look at units, saliency in windows or whole, occlusion, three modes; all but the first for the twin, too.
    assert len(traces) <= 3 * 2 * 12


def test_activations_that_are_not_finite_are_said_and_the_recorder_goes_on(tmp_path: Path) -> None:
    class Breaks(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.get_layer("scores").bias.assign(np.full(3, np.nan if epoch == 0 else 0.0))

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.model.get_layer("scores").bias.assign(np.zeros(3))

    model = compiled(keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(3, name="scores")]))
    model.compile(keras.optimizers.SGD(0.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    recorder = fw.Attributions([0], 1, seconds=None, schedule=fw.every(epochs=1))
    watch = fw.Watch(tmp_path, PROBE, recorders=[recorder], background=False, alerts=())
    with np.errstate(all="ignore"):
        model.fit(X, Y, epochs=3, verbose=0, callbacks=[Breaks(), watch])
    run = fw.load(tmp_path)
    assert run.attributions("scores", 0) and run.attributions("scores", 2)
    with pytest.raises(KeyError):
        run.attributions("scores", 1)
    assert len(said(run)) == 1 and "are not finite (did the training diverge?)" in said(run)[0]


class Own(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.flatten, self.scores = layers.Conv2D(3, 3, name="conv"), layers.Flatten(), layers.Dense(3, name="scores")

    def call(self, x: Any) -> Any:
        return self.scores(self.flatten(keras.ops.relu(self.conv(x))))


def test_subclassed_models_and_vectors(tmp_path: Path) -> None:
    run = watched(compiled(Own()), tmp_path / "own", fw.Attributions([0, 2], 2, METHODS, seconds=None, schedule=fw.at(1)))
    record = run.attributions("conv", 1)
    assert record.pixels.shape == (5, 2, 2, 8, 8) and record.reach[0].all()
    dense = layers.Dense(4, activation="relu", name="dense")
    flat = compiled(keras.Sequential([keras.Input((9,)), dense, layers.Dense(3, name="scores")]))
    x = np.random.default_rng(0).normal(size=(30, 9)).astype(np.float32)
    run = recorded(flat, tmp_path / "flat", [0, 1], 2, METHODS, probe=fw.Probe(x))
    assert run.attributions("dense", 0).pixels.shape == (5, 2, 2, 1, 9)


def test_models_of_several_inputs_are_refused_with_a_reason(tmp_path: Path) -> None:
    one, other = keras.Input((8, 8, 1), name="one"), keras.Input((3,), name="other")
    z = layers.Concatenate()([layers.Flatten()(layers.Conv2D(2, 3, name="conv")(one)), other])
    model = compiled(keras.Model({"one": one, "other": other}, layers.Dense(3, name="scores")(z)))
    probe = fw.Probe({"one": X, "other": np.zeros((60, 3), np.float32)}, Y)
    run = fw.snapshot(model, probe, str(tmp_path), recorders=[fw.Attributions([0], 2), fw.Exemplars()])
    assert run.exemplars("conv", 0)
    with pytest.raises(KeyError):
        run.attributions("conv", 0)
    assert any("models of several inputs" in text for text in said(run))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"filters": []}, r"filters=\[\] names none"),
        ({"filters": "0"}, "filters='0': give a list"),
        ({"filters": {}}, "names no layer"),
        ({"filters": {"conv": 3}}, r"filters\['conv'\]=3: give a list of numbers"),
        ({"filters": [-1]}, "filters=-1 is out of range"),
        ({"images": 0}, "images=0 is out of range"),
        ({"images": []}, r"images=\[\] names none"),
        ({"methods": ()}, r"methods=\(\): expected some of 'saliency'"),
        ({"methods": ("saliency", "lime")}, "'lime'"),
        ({"methods": 3}, "methods=3"),
        ({"aggregate": "mean"}, "aggregate='mean'"),
        ({"share": 0}, "share=0 is out of range"),
        ({"square": 0}, "square=0 is out of range"),
        ({"stride": 1.5}, "stride=1.5 is not a whole number"),
        ({"twin": 1}, "twin=1: give True or False"),
        ({"size": 0}, "size=0"),
        ({"seconds": 0}, "seconds=0"),
    ],
)
def test_options_are_checked_where_they_are_given(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        fw.Attributions(**{"filters": [0], "images": 2, **options})


def test_a_sample_that_the_probe_lacks_is_said(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="the probe has the samples 0 to 59, and no sample 60"):
        watched(sequential(), tmp_path, fw.Attributions([0], [3, 60]))
