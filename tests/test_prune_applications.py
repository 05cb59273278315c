"""Keras' own nets pruned: they give what the whole nets give with the same units masked.

Here with a few blocks of each kind, made by Keras' own builders; as they are, and all of them: benchmarks.pruning_exactness.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras.src.applications import (
    convnext,
    densenet,
    efficientnet,
    efficientnet_v2,
    inception_resnet_v2,
    mobilenet_v3,
    nasnet,
    resnet,
)

from featwatch.prune.anatomy import Anatomy
from featwatch.prune.blocks import removable_blocks, without_blocks
from featwatch.prune.rebuild import rebuilt
from tests.applications import enliven, inputs_of, net
from tests.pruning_truth import apart, drawn, masked

GIVEN: dict[str, Any] = {"weights": None, "input_shape": (32, 32, 3), "classes": 5, "classifier_activation": None}


def _mobile_v3() -> Any:
    """Inverted residuals, some with squeeze and excitation, hard swish."""

    def stack(x: Any, kernel: int, activation: Any, ratio: float) -> Any:
        block, relu = mobilenet_v3._inverted_res_block, mobilenet_v3.relu
        x = block(x, 1, 16, 3, 2, ratio, relu, 0)
        x = block(x, 72 / 16, 24, 3, 2, None, relu, 1)
        x = block(x, 88 / 24, 24, 3, 1, None, relu, 2)
        return block(x, 4, 24, kernel, 1, ratio, activation, 3)

    return mobilenet_v3.MobileNetV3(stack, 64, **GIVEN)


def _inception_resnet() -> Any:
    """Branches put beside each other, scaled and added to a stream."""
    inputs = keras.Input((32, 32, 3))
    x = inception_resnet_v2.conv2d_bn(inputs, 16, 3, strides=2)
    x = inception_resnet_v2.inception_resnet_block(x, 0.17, "block35", 0)
    x = keras.layers.MaxPooling2D(3, strides=2)(x)
    x = inception_resnet_v2.inception_resnet_block(x, 0.5, "block8", 1)
    return keras.Model(inputs, keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(x)))


def _residual(count: int) -> Any:
    """ResNet with two stages: of so many blocks, and of two."""

    def stack(x: Any) -> Any:
        x = resnet.stack_residual_blocks_v1(x, 8, count, stride1=1, name="conv2")
        return resnet.stack_residual_blocks_v1(x, 12, 2, name="conv3")

    return resnet.ResNet(stack, False, True, **GIVEN)


FUSED = [efficientnet_v2.DEFAULT_BLOCKS_ARGS["efficientnetv2-b0"][at] for at in (0, 1, 3)]
# Of the second: what share of the parameters is left at most.
NETS: dict[str, tuple[Any, float]] = {
    "MobileNetV3": (_mobile_v3, 0.6),
    "DenseNet": (lambda: densenet.DenseNet([2, 3, 1, 1], **GIVEN), 0.6),
    "EfficientNet": (lambda: efficientnet.EfficientNet(0.5, 0.25, 32, **GIVEN), 0.6),
    "EfficientNetV2": (lambda: efficientnet_v2.EfficientNetV2(0.5, 1.0, 32, blocks_args=FUSED, **GIVEN), 0.6),
    "InceptionResNet": (_inception_resnet, 0.6),
    "ResNet": (lambda: _residual(1), 0.6),
    "NASNet": (lambda: nasnet.NASNet(
        penultimate_filters=96, num_blocks=1, stem_block_filters=8, skip_reduction=False, default_size=32, **GIVEN), 0.7),
    # Only the insides of its blocks can go: a layer normalisation takes all else together.
    "ConvNeXt": (lambda: convnext.ConvNeXt([1, 1, 2, 1], [8, 12, 16, 24], **GIVEN), 0.85),
}  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_a_third_less_gives_what_masking_gives(name: str) -> None:
    make, share = NETS[name]
    model = make()
    enliven(model)
    anatomy, x = Anatomy(model), inputs_of(model)
    groups = drawn(anatomy, 1 / 3)
    before = _values(model)
    pruned = rebuilt(anatomy, groups)
    expected, found = masked(model, anatomy, groups, x), np.asarray(pruned(x))
    assert apart([found], expected) < 1e-5
    assert apart([found], [np.asarray(model(x))]) > 0.05
    assert pruned.count_params() < share * model.count_params()
    assert not [why for why in anatomy.frozen().values() if "not known" in why]
    assert [layer.name for layer in pruned.layers] == [layer.name for layer in model.layers]
    assert all((one == other).all() for one, other in zip(before, _values(model), strict=True))


def test_blocks_of_a_residual_net() -> None:
    """Blocks with a skip of equal shape can go; one whose branch gives 0 without a trace."""
    model = _residual(3)
    enliven(model)
    blocks = removable_blocks(model)
    assert [block.name for block in blocks] == ["conv2_block2_add", "conv2_block3_add", "conv3_block2_add"]
    for block in (blocks[0], blocks[2]):
        last = model.get_layer(block.layers[-1])
        last.gamma.assign(0 * last.gamma)
        last.beta.assign(0 * last.beta)
    smaller = without_blocks(model, [blocks[0].name, blocks[2].name])
    x = inputs_of(model, 2)
    np.testing.assert_array_equal(smaller(x), model(x))
    assert model.count_params() - smaller.count_params() == blocks[0].parameters + blocks[2].parameters
    assert not {*blocks[0].layers, *blocks[2].layers} & {layer.name for layer in smaller.layers}


def test_how_many_blocks_resnet50_has() -> None:
    assert len(removable_blocks(net("ResNet50"))) == 12     # of 16: those with a skip of equal shape


def _values(model: Any) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(variable) for variable in model.variables]
