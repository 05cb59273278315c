"""Receptive fields of Keras' own nets, at small inputs, against gradients of linear copies in double precision."""

from __future__ import annotations

import time
from typing import Any

import keras
import numpy as np
import pytest

from featwatch.explain import field_of, receptive_field
from featwatch.explain.fields.arithmetic import Start
from featwatch.explain.fields.measuring import measured
from featwatch.layers import choose
from tests.receptive_truth import linear, seen_by

QUICK = [("MobileNetV2", 64), ("EfficientNetB0", 64), ("MobileNetV3Small", 64), ("VGG16", 40)]
SLOW = [("ResNet50", 64), ("DenseNet121", 64), ("Xception", 75), ("InceptionV3", 75), ("NASNetMobile", 64),
        ("EfficientNetV2B0", 64), ("ConvNeXtTiny", 32)]  # fmt: skip
NETS = [*QUICK, *(pytest.param(*net, marks=pytest.mark.slow) for net in SLOW)]


def net(name: str, side: int) -> Any:
    return getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(side, side, 3))


@pytest.mark.parametrize(("name", "side"), NETS)
def test_boxes_are_where_gradients_are(name: str, side: int) -> None:
    model = net(name, side)
    copy, every = linear(model), choose(model, None)
    for site in (every[1], every[len(every) // 3], every[len(every) // 2], every[-1]):
        sizes = Start(model, site).sizes
        units = sorted({tuple(0 for _ in sizes), tuple(n // 2 for n in sizes), tuple(n - 1 for n in sizes)})
        truth = seen_by(copy, site.tapped.name, units, trials=1)
        for unit, span in zip(units, truth, strict=True):
            box = receptive_field(model, site, unit)
            assert (box.exact, box.within) == (True, span), (site.name, unit)


@pytest.mark.parametrize(("name", "side"), [("MobileNetV2", 48), pytest.param("EfficientNetB0", 48, marks=pytest.mark.slow)])
def test_what_is_measured_of_them_is_what_the_graph_tells(name: str, side: int) -> None:
    model = net(name, side)
    every = choose(model, None)
    for site in (every[2], every[len(every) // 2], every[-1]):
        found, start = measured(model, site, limited=False), Start(model, site)
        assert list(found.spans) == [start.seen(unit) for unit in found.units], site.name


@pytest.mark.parametrize("name", ["EfficientNetB0", "MobileNetV3Small"])
def test_behind_squeeze_and_excite_everything_is_seen(name: str) -> None:
    model = net(name, 64)
    fields = [field_of(model, site) for site in choose(model, None)]
    whole = [field.size == (64, 64) and field.stride == (0, 0) for field in fields]
    assert not whole[0] and all(whole[whole.index(True) :]) and whole.index(True) < 8
    assert {field.kind for field in fields} == {"exact"}


@pytest.mark.parametrize("name", ["ResNet50", "EfficientNetB0"])
def test_all_layers_of_a_large_net_take_a_second_or_so(name: str) -> None:
    model = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(224, 224, 3))
    every = choose(model, None)
    began = time.process_time()
    fields = [field_of(model, site) for site in every]
    assert time.process_time() - began < 10                     # seconds of the processor; 0.5 to 0.8 when it was written
    assert len(fields) > 50 and all(field.kind == "exact" for field in fields)
    assert np.max([field.size for field in fields]) == (483 if name == "ResNet50" else 224)
