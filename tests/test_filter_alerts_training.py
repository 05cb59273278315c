"""Faults planted into a net that stays as it is: each is told of once, by its own alert, with what pruning saves."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

import featwatch as fw
from featwatch.records import Alert

layers = keras.layers


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> fw.reader.Run:
    images, labels = load_digits(return_X_y=True)
    x = (images[:300] / 16).astype(np.float32).reshape(-1, 8, 8, 1)
    keras.utils.set_random_seed(0)
    model = keras.Sequential([
        keras.Input((8, 8, 1)),
        layers.Conv2D(16, 5, name="noisy"),
        layers.LeakyReLU(0.3),
        layers.Flatten(),
        layers.Dense(16, activation="relu", name="filters"),
        layers.Dense(12, activation="tanh", name="switches"),
        layers.Dense(12, activation="relu", name="straight", bias_initializer=keras.initializers.Constant(9.0)),
        layers.Dense(10, activation="softmax", name="scores"),
    ])  # fmt: skip
    noisy = model.get_layer("noisy")
    noisy.set_weights([np.random.default_rng(0).normal(0, 0.3, (5, 5, 1, 16)).astype(np.float32), np.zeros(16, np.float32)])
    kernel, bias = model.get_layer("filters").get_weights()
    entering = keras.Model(model.inputs, model.layers[2].output).predict(x, verbose=0)
    kernel[:, 2] *= 0.01                                    # negligible energy
    bias[:] = -np.median(entering @ kernel, axis=0)         # every filter fires for half of the samples
    kernel[:, 7], bias[7] = 2 * kernel[:, 4], 2 * bias[4]   # a double
    drawn = np.sort(entering @ kernel[:, 9])
    bias[9] = -(drawn[-1] + drawn[-2]) / 2                  # one sample of 300
    kernel[:, 11], bias[11] = 0.0, -1.0                     # dead
    model.get_layer("filters").set_weights([kernel, bias])
    kernel, bias = model.get_layer("switches").get_weights()
    kernel[:, 5] *= 1e4
    model.get_layer("switches").set_weights([kernel, bias])
    model.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    log_dir = tmp_path_factory.mktemp("planted")
    recorders = [fw.FilterHealth(), fw.FilterSimilarity(weight_layout=False)]
    watch = fw.Watch(str(log_dir), fw.Probe(x, labels[:300]), recorders=recorders, background=False)
    model.fit(x, labels[:300], epochs=8, batch_size=300, verbose=0, callbacks=[watch])
    return fw.load(str(log_dir))


def alerts(run: fw.reader.Run, kind: str) -> dict[str, Alert]:
    return {alert.layer: alert for alert in run.alerts if alert.kind == kind}


@pytest.mark.parametrize(
    ("kind", "layer", "filters"),
    [
        ("dead filters", "filters", (11,)),
        ("nearly dead filters", "filters", (9,)),
        ("negligible energy", "filters", (2,)),
        ("saturated units", "switches", (5,)),
        ("linear activation", "straight", ()),
        ("noisy kernels", "noisy", ()),
    ],
)
def test_each_fault_is_found_where_it_was_planted_and_nowhere_else(
    run: fw.reader.Run, kind: str, layer: str, filters: tuple[int, ...]
) -> None:
    found = alerts(run, kind)
    assert {name: alert.filters for name, alert in found.items()} == {layer: filters}
    assert found[layer].open and found[layer].severity == "advice"


def test_one_of_the_doubles_is_redundant(run: fw.reader.Run) -> None:
    alert = alerts(run, "redundant filters")["filters"]
    (group,) = [group for group in alert.evidence["groups"] if group["stays"] in (4, 7)]
    assert {group["stays"], *group["go"]} == {4, 7} and group["residual"] < 1e-3


def test_pruning_a_unit_saves_its_weights_and_those_that_read_it(run: fw.reader.Run) -> None:
    (alert,) = alerts(run, "nearly dead filters").values()
    entering = 4 * 4 * 16
    assert alert.evidence["parameters"] == entering + 1 + 12 and alert.evidence["multiply_adds"] == entering + 12
    assert f"saves {entering + 13} parameters" in alert.suggestion
    of_all = sum(info.parameters for info in run.layer_infos.values())
    assert alert.evidence["share_of_parameters"] == pytest.approx((entering + 13) / of_all)
