"""Nets whose filters are known: templates planted behind a first convolution, and how well images of the filters tell them.

No eye is needed: an image is right where it is more like its own filter's template than like any other's.  The nets
differ in shapes, colours, channels, seeds and architecture from the one that the defaults were chosen on
(`tests/planted.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

SHIFT = 2                           # pixels by which an image may be off


@dataclass(frozen=True, eq=False)
class Planted:
    """A net, its templates, and a probe in which they occur."""

    name: str
    model: Any
    layer: str                      # whose filters are the templates'
    templates: np.ndarray           # (filters, field, field, channels) float32, 0 to 1
    probe: np.ndarray               # (samples, size, size, channels) float32

    @property
    def field(self) -> int:
        """Pixels on a side that a unit sees."""
        return int(self.templates.shape[1])


def identified(images: np.ndarray, templates: np.ndarray) -> float:
    """The share of images, (filters, height, width, channels), that are most like the template of their own filter.

    Likeness: normalised cross-correlation over all channels, at its best over shifts by up to two pixels; of images larger
    than the templates at its best over all places.
    """
    units = [_unit(template) for template in templates]
    field = templates.shape[1]
    right = 0
    for number, image in enumerate(images):
        padded = np.pad(image, ((SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), mode="edge")
        rows, columns = (size - field + 1 for size in padded.shape[:2])
        cuts = [_unit(padded[y : y + field, x : x + field]) for y in range(rows) for x in range(columns)]
        likeness = np.array(units).reshape(len(units), -1) @ np.array(cuts).reshape(len(cuts), -1).T
        right += int(likeness.max(axis=1).argmax() == number)
    return right / len(images)


def _unit(picture: np.ndarray) -> np.ndarray:
    """Of mean 0 in every channel, and of length 1."""
    picture = picture - picture.mean(axis=(0, 1))
    return picture / max(float(np.sqrt(np.square(picture).sum())), 1e-6)


def _net(name: str, templates: np.ndarray, seed: int, *, normalised: bool = False, stride: int = 1) -> Planted:
    """Oriented edge and colour detectors, then one filter for what each template makes of them."""
    import keras

    layers = keras.layers
    count, field, _, channels = templates.shape
    size = 3 * field
    angles = np.arange(8) * np.pi / 4
    y, x = np.mgrid[:3, :3] - 1.0
    gradients = [np.cos(a) * x + np.sin(a) * y for a in angles]
    edges = np.zeros((3, 3, channels, 8 * channels), np.float32)
    for channel in range(channels):
        for index, gradient in enumerate(gradients):
            edges[:, :, channel, 8 * channel + index] = gradient / np.abs(gradient).sum()
    span = (field - 3) // stride + 1                # of the second kernel
    inputs = keras.Input((size, size, channels))
    values = layers.Conv2D(8 * channels, 3, strides=stride, use_bias=not normalised, name="edges")(inputs)
    if normalised:
        values = layers.BatchNormalization(name="norm")(values)
    values = layers.ReLU(name="open")(values)
    outputs = layers.Conv2D(count, span, activation="relu", name="templates")(values)
    model = keras.Model(inputs, outputs, name=name.replace(" ", "_").replace(",", ""))
    model.get_layer("edges").set_weights([edges] if normalised else [edges, np.zeros(8 * channels)])
    if normalised:
        rng = np.random.default_rng(seed)
        scale = rng.uniform(0.5, 2, 8 * channels)
        model.get_layer("norm").set_weights([scale, np.zeros(8 * channels), np.zeros(8 * channels), np.ones(8 * channels)])
    found = np.asarray(keras.Model(inputs, model.get_layer("open").output)(_framed(templates, size)))
    first = (size - field) // 2 // stride
    found = found[:, first : first + span, first : first + span]
    found = found - found.mean(axis=(1, 2, 3), keepdims=True)
    found /= np.sqrt(np.square(found).sum(axis=(1, 2, 3), keepdims=True))
    model.get_layer("templates").set_weights([np.moveaxis(found, 0, -1), np.zeros(count)])
    return Planted(name, model, "templates", templates, _scenes(templates, size, 300, seed + 1))


def _framed(templates: np.ndarray, size: int) -> np.ndarray:
    framed = np.zeros((len(templates), size, size, templates.shape[-1]), np.float32)
    first = (size - templates.shape[1]) // 2
    framed[:, first : first + templates.shape[1], first : first + templates.shape[2]] = templates
    return framed


def _scenes(templates: np.ndarray, size: int, count: int, seed: int) -> np.ndarray:
    """Two of the templates each, anywhere, on noise."""
    rng = np.random.default_rng(seed)
    field = templates.shape[1]
    x = 0.15 * rng.random((count, size, size, templates.shape[-1]), np.float32)
    for image in x:
        for _ in range(2):
            top, left = rng.integers(0, size - field + 1, 2)
            place = image[top : top + field, left : left + field]
            np.maximum(place, templates[rng.integers(len(templates))] * rng.uniform(0.6, 1), out=place)
    return x


def _letters(seed: int) -> np.ndarray:
    """(12, 13, 13, 1): letters drawn of strokes."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(13)
    drawn = []
    for letter in np.random.default_rng(seed).permutation(list("AEFHKMNRSTXZ")):
        picture = Image.new("L", (13, 13))
        ImageDraw.Draw(picture).text((6.5, 6.5), str(letter), fill=255, font=font, anchor="mm")
        drawn.append(np.asarray(picture, np.float32)[..., None] / 255)
    return np.stack(drawn)


def _coloured(seed: int) -> np.ndarray:
    """(12, 11, 11, 3): six shapes, each in two colours."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:11, :11] - 5.0
    r = np.hypot(x, y)
    masks = [
        np.abs(r - 3.5) < 0.9, r < 3.2, (np.abs(x) < 1.1) & (np.abs(y) < 5), (np.abs(y) < 1.1) & (np.abs(x) < 5),
        np.minimum(np.abs(x - y), np.abs(x + y)) < 1.3, np.abs(np.maximum(np.abs(x), np.abs(y)) - 3.5) < 0.9,
    ]  # fmt: skip
    warm, cold = [[1.0, 0.3, 0.0], [0.9, 0.7, 0.0]], [[0.0, 0.3, 1.0], [0.0, 0.8, 0.7]]
    found = []
    for mask in masks:
        found += [mask[..., None] * np.asarray(rng.permutation(colours)[0]) for colours in (warm, cold)]
    return np.stack(found).astype(np.float32)


def _blobs(seed: int) -> np.ndarray:
    """(10, 17, 17, 2): smooth random shapes, another one in each of two channels, as a body and what lies in it."""
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:17, :17] - 8.0
    inside = np.hypot(x, y) < 7.5
    noise = ndimage.gaussian_filter(rng.normal(size=(10, 17, 17, 2)), (0, 2, 2, 0))
    return ((noise > 0) & inside[..., None]).astype(np.float32)


NETS: dict[str, Callable[[], Planted]] = {
    "letters": lambda: _net("letters", _letters(1), 1),
    "colours, normalised": lambda: _net("colours, normalised", _coloured(2), 2, normalised=True),
    "two channels, strided": lambda: _net("two channels, strided", _blobs(3), 3, stride=2),
}
