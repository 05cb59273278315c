"""Keras' own nets pruned: they give what the whole nets give with the same units masked; all: benchmarks.pruning_exactness."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from featwatch.prune.anatomy import Anatomy
from featwatch.prune.blocks import removable_blocks, without_blocks
from featwatch.prune.rebuild import rebuilt
from tests.applications import enliven, inputs_of, net
from tests.pruning_truth import apart, drawn, masked

QUICK = ["MobileNetV2", "MobileNetV3Small", "VGG16"]
SLOW = ["EfficientNetB0", "DenseNet121", "InceptionV3", "Xception", "ConvNeXtTiny", "NASNetMobile"]
NETS = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


@pytest.mark.parametrize("name", NETS)
def test_a_third_less_gives_what_masking_gives(name: str) -> None:
    model = net(name)
    enliven(model)
    anatomy, x = Anatomy(model), inputs_of(model)
    groups = drawn(anatomy, 1 / 3)
    before = _values(model)
    pruned = rebuilt(anatomy, groups)
    expected, found = masked(model, anatomy, groups, x), np.asarray(pruned(x))
    assert apart([found], expected) < 1e-5
    assert apart([found], [np.asarray(model(x))]) > 0.05
    # ConvNeXt: only the insides of its blocks can go, a layer normalisation takes all else together.
    assert pruned.count_params() < (0.6 if "ConvNeXt" not in name else 0.8) * model.count_params()
    assert [layer.name for layer in pruned.layers] == [layer.name for layer in model.layers]
    assert all((one == other).all() for one, other in zip(before, _values(model), strict=True))


def test_blocks_of_resnet50() -> None:
    """12 of its 16 blocks have a skip of equal shape; one whose branch gives 0 can go without a trace."""
    model = net("ResNet50")
    enliven(model)
    blocks = removable_blocks(model)
    assert len(blocks) == 12 and [block.name for block in blocks[:2]] == ["conv2_block2_add", "conv2_block3_add"]
    for block in (blocks[0], blocks[7]):
        last = model.get_layer(block.layers[-1])
        last.gamma.assign(0 * last.gamma)
        last.beta.assign(0 * last.beta)
    smaller = without_blocks(model, [blocks[0].name, blocks[7].name])
    x = inputs_of(model, 2)
    np.testing.assert_array_equal(smaller(x), model(x))
    assert model.count_params() - smaller.count_params() == blocks[0].parameters + blocks[7].parameters
    assert not {*blocks[0].layers, *blocks[7].layers} & {layer.name for layer in smaller.layers}


def _values(model: Any) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(variable) for variable in model.variables]
