"""Thumbnails: every sample's picture in its place, in colours that the note explains."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pytest
from PIL import Image

from featwatch import thumbnails
from featwatch.thumbnails import Sprite, sprite_of


def sheet_of(sprite: Sprite) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(sprite.png)))


def tile(sprite: Sprite, number: int) -> np.ndarray:
    row, column = divmod(number, sprite.columns)
    top, left = row * sprite.height, column * sprite.width
    return sheet_of(sprite)[top : top + sprite.height, left : left + sprite.width]


def test_tiny_pictures_are_shown_pixel_by_pixel_in_their_places() -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 5, 4), np.uint8)
    sprite = sprite_of(images)
    assert (sprite.width, sprite.height, sprite.columns) == (4, 5, 3)
    assert sheet_of(sprite).shape == (15, 12) and sheet_of(sprite).dtype == np.uint8
    for number, image in enumerate(images):
        assert np.array_equal(tile(sprite, number), image)
    assert np.all(tile(sprite, 8) == 0) and sprite.note == "one channel as grey; 8-bit values as they are"


@pytest.mark.parametrize(
    ("channels", "colours"),
    [(1, "one channel as grey"), (2, "two channels as red and green"), (3, "three channels"), (5, "the mean of 5 channels")],
)
def test_channels_become_colours(channels: int, colours: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 6, 6, channels), np.uint8)
    sprite = sprite_of(images)
    expected = {
        1: images[2, ..., 0],
        2: np.dstack([images[2], np.zeros((6, 6), np.uint8)]),
        3: images[2],
        5: np.rint(images[2].mean(axis=-1)).astype(np.uint8),
    }[channels]
    assert np.array_equal(tile(sprite, 2), expected) and sprite.note.startswith(colours)


def test_values_from_0_to_1_are_shown_as_they_are() -> None:
    images = np.linspace(0.2, 0.6, 4 * 9, dtype=np.float32).reshape(4, 3, 3)
    sprite = sprite_of(images)
    assert np.array_equal(tile(sprite, 1), np.rint(images[1] * 255)) and "values from 0 to 1 as they are" in sprite.note
    assert np.array_equal(tile(sprite_of(images > 0.5), 3), (images[3] > 0.5) * 255)


def test_other_values_are_scaled_by_percentiles_of_the_whole_probe() -> None:
    images = np.random.default_rng(0).normal(50, 10, (100, 8, 8))
    images[3, 3, 3] = 1e9                                           # an outlier must not turn everything black
    sprite = sprite_of(images)
    low, high = np.percentile(images, [0.1, 99.9])
    expected = np.rint(np.clip((images[5] - low) / (high - low), 0, 1) * 255)
    assert np.abs(tile(sprite, 5) - expected).max() <= 1
    assert f"{low:.4g} … {high:.4g}" in sprite.note


def test_large_pictures_are_reduced_by_area() -> None:
    for channels in ((), (1,), (3,)):
        images = np.random.default_rng(0).integers(0, 256, (2, 128, 256, *channels), np.uint8)
        sprite = sprite_of(images)
        assert (sprite.width, sprite.height) == (64, 32)
        expected = images[1].reshape(32, 4, 64, 4, *channels).mean(axis=(1, 3))
        assert np.abs(tile(sprite, 1).reshape(expected.shape) - expected).max() <= (1 if channels == (3,) else 0.51)


@pytest.mark.parametrize(
    ("samples", "picture", "size"),
    [(1000, (50, 100), (64, 32)), (3000, (50, 100), (52, 26)), (40_000, (50, 100), (14, 7)), (90_000, (1, 500), (27, 1))],
)
def test_many_samples_get_smaller_thumbnails(samples: int, picture: tuple[int, int], size: tuple[int, int]) -> None:
    columns = math.ceil(math.sqrt(samples))
    assert thumbnails._size(samples, columns, *picture) == size
    assert samples * size[0] * size[1] <= 1 << 22 and columns * max(size) <= 8192
    assert thumbnails._size(10**8, 10_000, *picture) is None


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 500), (3, 500, 1, 3)])
def test_odd_shapes_have_thumbnails(shape: tuple[int, ...]) -> None:
    sprite = sprite_of(np.ones(shape))
    assert sprite.png and 1 <= sprite.width <= 64 and 1 <= sprite.height <= 64


def test_constant_and_broken_pictures_have_thumbnails() -> None:
    assert sheet_of(sprite_of(np.full((2, 3, 3), 7.0))).max() == 0
    images = np.random.default_rng(0).uniform(0, 100, (4, 3, 3))
    images[0, 0, 0], images[1] = np.inf, np.nan
    assert sprite_of(images).png


@pytest.mark.parametrize(
    ("shape", "says"),
    [((5,), "single numbers"), ((5, 3), "vectors"), ((5, 2, 3, 3, 3, 3), "no pictures"), ((5, 0, 3), "no pictures")],
)
def test_what_is_no_picture_says_why(shape: tuple[int, ...], says: str) -> None:
    sprite = sprite_of(np.zeros(shape))
    assert not sprite.png and says in sprite.note and sprite.columns == 0


def test_a_picture_that_cannot_be_made_costs_nothing_but_itself() -> None:
    sprite = sprite_of(np.zeros((2, 3, 3)), np.zeros((2, 5, 5)))
    assert not sprite.png and sprite.note.startswith("thumbnails failed: ValueError")
    assert sprite_of(np.full((2, 3, 3), "red")).note == "the samples are text"


# Scalings in common use


def coloured(samples: int = 6) -> np.ndarray:
    """(samples, 8, 8, 3) whole numbers from 0 to 255, black and white among them."""
    images = np.random.default_rng(1).integers(0, 256, (samples, 8, 8, 3))
    images[0, 0, 0], images[0, 0, 1] = 0, 255
    return images


@pytest.mark.parametrize(
    ("prepared", "says", "error"),
    [
        (lambda x: x.astype(np.float32), "values from 0 to 255 as they are", 0),
        (lambda x: x, "values from 0 to 255 as they are", 0),
        (lambda x: (x / 255).astype(np.float16), "values from 0 to 1 as they are", 1),
        (lambda x: (x / 127.5 - 1).astype(np.float32), "values from −1 to 1", 0),
        (lambda x: x * 257, "values scaled from", 2),
        (lambda x: (x * 257).astype(np.uint16), "values scaled from", 2),
        (lambda x: x - 128, "values scaled from", 2),
        (lambda x: keras_preprocessed(x, "caffe"), "blue, green and red with ImageNet's mean subtracted", 1),
        (lambda x: keras_preprocessed(x, "torch"), "standardised by ImageNet's mean", 1),
        (lambda x: keras_preprocessed(x, "tf"), "values from −1 to 1", 1),
    ],
)
def test_common_scalings_are_shown_as_the_pictures_they_come_from(prepared: Any, says: str, error: int) -> None:
    images = coloured()
    sprite = sprite_of(prepared(images))
    assert says in sprite.note
    for number in range(6):
        assert np.abs(tile(sprite, number).astype(int) - images[number]).max() <= error


def keras_preprocessed(images: np.ndarray, mode: str) -> np.ndarray:
    from keras.src.applications.imagenet_utils import preprocess_input

    return preprocess_input(images.astype(np.float32), data_format="channels_last", mode=mode)


def test_numbers_of_tensorflows_own_kind_are_shown() -> None:
    import ml_dtypes

    images = (coloured() / 255).astype(ml_dtypes.bfloat16)
    sprite = sprite_of(images)
    assert "values from 0 to 1" in sprite.note and np.abs(tile(sprite, 1).astype(float) - coloured()[1]).max() <= 1


# Other axes


def test_channels_first_are_told_by_the_shape() -> None:
    images = coloured().astype(np.uint8)
    sprite = sprite_of(np.moveaxis(images, -1, 1))
    assert np.array_equal(tile(sprite, 2), images[2]) and sprite.note.startswith("channels first; three channels")


def test_of_a_volume_the_middle_slice_is_shown() -> None:
    volumes = np.random.default_rng(0).integers(0, 256, (3, 5, 4, 6, 1), np.uint8)
    sprite = sprite_of(volumes)
    assert np.array_equal(tile(sprite, 1), volumes[1, 2, ..., 0]) and sprite.note.startswith("slice 2 of 5")


def test_a_series_is_a_line() -> None:
    ramp = np.linspace(0, 1, 64)
    series = np.stack([ramp, ramp[::-1], np.full(64, 0.5)])[..., None]
    sprite = sprite_of(series)
    assert (sprite.width, sprite.height) == (64, 32) and sprite.note.startswith("a line from 0")
    rising, falling, flat = (tile(sprite, number) > 127 for number in range(3))
    assert np.all(np.abs(rising.argmax(axis=0) - np.linspace(31, 0, 64)) <= 1)
    assert np.all(np.abs(falling.argmax(axis=0) - np.linspace(0, 31, 64)) <= 1)
    assert np.array_equal(flat.sum(axis=0), np.ones(64)) and np.all(np.isin(flat.argmax(axis=0), (15, 16)))


def test_a_spike_of_a_long_series_is_seen_and_the_line_has_no_gaps() -> None:
    series = np.zeros((2, 5000, 2))
    series[0, 1234, 1] = 1
    series[:, :, 0] = np.arange(5000) // 1250 / 3                   # four steps
    sprite = sprite_of(series)
    assert sprite.note.startswith("a red and a green line") and tile(sprite, 0)[0, 1234 * 64 // 5000, 1] == 255
    red = tile(sprite, 1)[..., 0] > 0
    for before, after in zip(red.T[:-1], red.T[1:], strict=True):   # columns touch
        assert np.any(before & after) or np.any(before[1:] & after[:-1]) or np.any(before[:-1] & after[1:])


def test_many_channels_of_a_series_are_bands() -> None:
    series = np.random.default_rng(0).random((2, 64, 8))
    sprite = sprite_of(series)
    assert (sprite.width, sprite.height) == (64, 32) and sprite.note.startswith("a band for each channel; values from 0 to 1")
    assert np.array_equal(tile(sprite, 1), np.repeat(np.rint(series[1].T * 255), 4, axis=0))


# Background


def test_the_background_of_a_mask_is_transparent() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), np.uint8)
    masks = np.random.default_rng(1).random((3, 4, 4)) > 0.5
    sprite = sprite_of(images, masks)
    assert sheet_of(sprite).shape == (8, 8, 4) and sprite.note.endswith("background removed")
    shown = tile(sprite, 1)
    assert np.array_equal(shown[..., 3], masks[1] * 255) and np.array_equal(shown[masks[1]][:, :3], images[1][masks[1]])


def test_pixels_at_the_edge_are_partly_transparent_and_keep_the_objects_colour() -> None:
    images, masks = np.full((1, 128, 128), 200, np.uint8), np.zeros((1, 128, 128))
    images[:, :, :63], masks[:, :, 63:] = 10, 1
    sprite = sprite_of(images, masks)                               # two by two pixels in one: the 32nd is half object
    assert tile(sprite, 0)[5, 31].tolist() == [200, 200, 200, 128]
    assert tile(sprite, 0)[5, 30, 3] == 0 and tile(sprite, 0)[5, 32].tolist() == [200, 200, 200, 255]


@pytest.mark.parametrize(("dtype", "background"), [(np.uint8, 7.0), (np.float32, 0.1), (np.float64, np.nan)])
def test_a_value_of_all_channels_is_background(dtype: Any, background: float) -> None:
    images = np.full((2, 3, 3, 2), 90, dtype)
    images[0, 1, 1] = images[1, 2, 0] = background
    images[1, 0, 0, 1] = background                                 # one channel alone is not
    for number in range(2):
        alpha = tile(sprite_of(images, background), number)[..., 3]
        assert np.argwhere(alpha == 0).tolist() == [[[1, 1]], [[2, 0]]][number]


def test_the_background_does_not_decide_the_scaling() -> None:
    images = np.random.default_rng(0).normal(5, 1, (20, 8, 8))
    images[:, :4] = -1000.0
    sheet = sheet_of(sprite_of(images, -1000.0))
    seen = sheet[..., 0][sheet[..., 3] > 0]
    assert seen.min() == 0 and seen.max() == 255
