"""Every recorder, end to end, on a network of keras.applications with random weights and a probe from `tf.data`."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import featwatch as fw
from featwatch.reader import Run

LAYERS = ["conv1", "conv_dw_1", "conv_pw_3", "conv_preds"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    rng = np.random.default_rng(0)
    y = np.arange(96) % 4
    x = (0.8 * rng.random((4, 1, 1, 3))[y] + 0.2 * rng.random((96, 32, 32, 3))).astype(np.float32)
    data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(96, seed=1).batch(16)
    model = keras.applications.MobileNet((32, 32, 3), alpha=0.25, weights=None, classes=4)
    model.compile("adam", "sparse_categorical_crossentropy")
    log_dir = tmp_path_factory.mktemp("mobilenet")
    probe = fw.Probe(data, size=40, class_names=["red", "green", "blue", "grey"])
    recorders = [fw.FilterHealth(), fw.Separation(), fw.Embeddings(), fw.Clusters(), fw.ActivationHistograms(), fw.Exemplars()]
    recorders.append(fw.FeatureImages(steps=4, seconds=None, filters={"conv_dw_1": [0, 3], "conv_pw_3": [1]}))
    watch = fw.Watch(log_dir, probe, layers=LAYERS, recorders=recorders, background=False, strict=True)
    model.fit(data, epochs=1, verbose=0, shuffle=False, callbacks=[watch])
    return fw.load(log_dir)


def test_everything_is_recorded(run: Run) -> None:
    assert run.layers == LAYERS and run.epochs == [0, 1]
    for layer in LAYERS:
        filters = run.layer_infos[layer].filters
        assert run.health(layer, 1).energy.shape == (filters,)
        assert run.histograms(layer, 1).counts.shape == (filters, 64)
        assert run.exemplars(layer, 1).samples.shape == (filters, 9)
        assert run.embedding(layer, 1).points.shape == (40, 2)
        assert run.clusters(layer, 1).labels.shape == (40,)
        assert 0 <= run.separation(layer, 1).knn_accuracy <= 1
    assert run.predictions(1).scores.shape == (40, 4)
    assert run.probe.class_names == ("red", "green", "blue", "grey") and run.probe.thumbnails


def test_the_activation_behind_batch_norm_is_found(run: Run) -> None:
    info = run.layer_infos["conv_dw_1"]
    assert (info.tapped, info.activation) == ("conv_dw_1_relu", "relu6")
    assert run.health("conv_dw_1", 1).max_activation.max() <= 6


def test_receptive_fields_and_feature_images(run: Run) -> None:
    # Padding 1, a 3×3 convolution of stride 2, then 3×3 on that: (3 − 1) · 2 + 3.
    assert run.layer_infos["conv_dw_1"].field_size == (7, 7) and run.layer_infos["conv_dw_1"].field_kind == "exact"
    images = run.feature_images("conv_dw_1", 1)
    assert images.filters.tolist() == [0, 3] and images.images.shape[3] == 3
    box = np.array(images.box).reshape(-1, 2)
    assert (box[:, 1] - box[:, 0] + 1).tolist() == [7, 7]
    with pytest.raises(KeyError, match="no 'feature_images' was recorded of 'conv1'"):
        run.feature_images("conv1", 1)
