"""How good feature images of a trained net are, without eyes: measures that stand beside a floor, a ceiling and a random net.

An image is laid beside the patches of the probe that activate its filter most, by a second net that was trained from
another start and has never seen the first: it is right as often as it is more like its own filter's patches than like
another's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

REFERENCES = slice(1, 6)            # of the patches by activation: those that a filter is known by; the first is the ceiling


@dataclass(frozen=True, eq=False)
class Patches:
    """What of the probe activates each filter of a layer most, cut to what a unit sees."""

    pictures: np.ndarray            # (filters, patches, height, width, channels), strongest first
    values: np.ndarray              # (filters, patches): what entered the activation
    strays: np.ndarray              # (filters, height, width, channels): cut anywhere


def small_net(seed: int, pictures: np.ndarray, classes: np.ndarray, epochs: int) -> Any:
    """A plain convolutional net on 32×32×3 pictures; with 0 epochs its weights are random."""
    import keras

    keras.utils.set_random_seed(seed)
    layers = keras.layers
    model = keras.Sequential([
        keras.Input(pictures.shape[1:]),
        layers.Conv2D(16, 3, padding="same", activation="relu", name="conv1"),
        layers.Conv2D(16, 3, padding="same", activation="relu", name="conv2"), layers.MaxPooling2D(),
        layers.Conv2D(32, 3, padding="same", activation="relu", name="conv3"),
        layers.Conv2D(32, 3, padding="same", activation="relu", name="conv4"), layers.MaxPooling2D(),
        layers.Conv2D(48, 3, padding="same", activation="relu", name="conv5"),
        layers.GlobalAveragePooling2D(), layers.Dense(10, activation="softmax", name="scores"),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    if epochs:
        model.fit(pictures, classes, epochs=epochs, batch_size=64, verbose=0)
    return model


def patches_of(model: Any, layer: str, probe: np.ndarray, count: int = 6, seed: int = 0) -> Patches:
    """The patches of a probe for every filter of a layer; one of each sample at most, none that reaches beyond it."""
    import featwatch as fw

    before = _before(model, layer)(probe)
    box = fw.explain.receptive_field(model, layer)
    size, stride = box.size, box.stride
    middle = [n // 2 for n in before.shape[1:3]]
    first = [lo - s * m for lo, s, m in zip(box.lo, stride, middle, strict=True)]
    inner = [
        [u for u in range(n) if f + s * u >= 0 and f + s * u + w <= whole]
        for n, f, s, w, whole in zip(before.shape[1:3], first, stride, size, probe.shape[1:3], strict=True)
    ]
    inside = before[:, inner[0]][:, :, inner[1]]
    flat = inside.reshape(len(probe), -1, inside.shape[-1])
    peaks, values = flat.argmax(axis=1), flat.max(axis=1)
    strongest = np.argsort(-values, axis=0)[:count].T

    def cut(sample: int, place: int) -> np.ndarray:
        row, column = np.unravel_index(place, inside.shape[1:3])
        top, left = first[0] + stride[0] * inner[0][row], first[1] + stride[1] * inner[1][column]
        return probe[sample, top : top + size[0], left : left + size[1]]

    rng = np.random.default_rng(seed)
    pictures = np.stack([np.stack([cut(s, peaks[s, f]) for s in row]) for f, row in enumerate(strongest)])
    strays = np.stack([cut(rng.integers(len(probe)), rng.integers(flat.shape[1])) for _ in strongest])
    return Patches(pictures, np.take_along_axis(values, strongest.T, axis=0).T, strays)


def measures(images: np.ndarray, natural: Patches, embed: Callable[[np.ndarray], np.ndarray]) -> dict[str, float]:
    """What is measured of images, (filters, height, width, channels), one per filter.

    "identified": the share of other filters whose patches they are less like than their own filter's; by chance ½.
    "spectrum": the correlation of their logarithmic power spectra with that of natural patches, the mean over filters.
    """
    references = np.stack([embed(patches).mean(axis=0) for patches in natural.pictures[:, REFERENCES]])
    centre = references.mean(axis=0)
    references = _of_length_1(references - centre)
    likeness = _of_length_1(embed(images) - centre) @ references.T
    own = np.diag(likeness)[:, None]
    others = ~np.eye(len(images), dtype=bool)
    better = ((own > likeness) + 0.5 * (own == likeness))[others].mean()
    typical = _spectrum(natural.pictures[:, 0]).mean(axis=0).ravel()
    spectra = [float(np.corrcoef(one.ravel(), typical)[0, 1]) for one in _spectrum(images)]
    return {"identified": float(better), "spectrum": float(np.nanmean(spectra))}


def embedding_of(model: Any, layer: str) -> Callable[[np.ndarray], np.ndarray]:
    """(pictures, filters): the mean of each of a layer's maps, of pictures of any size."""
    maps = _after(model, layer)
    return lambda pictures: maps(pictures).mean(axis=(1, 2))


def values_of(model: Any, layer: str, images: np.ndarray) -> np.ndarray:
    """(filters,): what enters the activation of filter i at the centre unit, of image i alone on its patch."""
    before = _before(model, layer)(images)
    return before[np.arange(len(images)), before.shape[1] // 2, before.shape[2] // 2, np.arange(len(images))]


def _after(model: Any, layer: str) -> Callable[[np.ndarray], np.ndarray]:
    import keras

    open_sized = keras.Input((None, None, model.input_shape[-1]))
    values = open_sized
    for each in model.layers:
        values = each(values)
        if each.name == layer:
            break
    net = keras.Model(open_sized, values)
    return lambda pictures: np.concatenate([np.asarray(net(pictures[i : i + 128])) for i in range(0, len(pictures), 128)])


def _before(model: Any, layer: str) -> Callable[[np.ndarray], np.ndarray]:
    """What enters the activation of a convolution, computed from its weights and what the layer before gives."""
    import keras

    names = [each.name for each in model.layers]
    index = names.index(layer)
    convolution = model.get_layer(layer)
    inner = _after(model, names[index - 1]) if index else lambda pictures: pictures

    def values(pictures: np.ndarray) -> np.ndarray:
        entered = inner(pictures)
        return np.asarray(keras.ops.conv(entered, convolution.kernel, padding="same")) + np.asarray(convolution.bias)

    return values


def _of_length_1(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _spectrum(pictures: np.ndarray) -> np.ndarray:
    """(pictures, height, width): the logarithm of the power spectrum of the channels' mean, without the mean's own."""
    grey = pictures.mean(axis=-1)
    power = np.square(np.abs(np.fft.fft2(grey - grey.mean(axis=(1, 2), keepdims=True))))
    return np.log(power + 1e-6)
