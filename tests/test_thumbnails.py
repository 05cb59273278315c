"""Thumbnails: every sample's picture in its place, in colours that the note explains."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

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
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 128), np.uint8)
    sprite = sprite_of(images)
    assert (sprite.width, sprite.height) == (32, 16)
    expected = images[1].reshape(16, 4, 32, 4).mean(axis=(1, 3))
    assert np.abs(tile(sprite, 1) - expected).max() <= 0.51


def test_many_samples_get_smaller_thumbnails_within_the_largest_texture() -> None:
    sprite = sprite_of(np.zeros((90_000, 30, 30), np.uint8))        # 300 columns of at most 27 pixels
    assert (sprite.width, sprite.columns) == (27, 300)
    assert max(sheet_of(sprite).shape) <= 8192


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 500), (3, 500, 1, 3)])
def test_odd_shapes_have_thumbnails(shape: tuple[int, ...]) -> None:
    sprite = sprite_of(np.ones(shape))
    assert sprite.png and 1 <= sprite.width <= 32 and 1 <= sprite.height <= 32


def test_constant_and_broken_pictures_have_thumbnails() -> None:
    assert sheet_of(sprite_of(np.full((2, 3, 3), 7.0))).max() == 0
    images = np.random.default_rng(0).uniform(0, 100, (4, 3, 3))
    images[0, 0, 0], images[1] = np.inf, np.nan
    assert sprite_of(images).png


def test_vectors_and_volumes_have_none_and_say_why() -> None:
    for shape, says in [((5, 3), "vectors"), ((5, 3, 3, 3, 3), "no pictures"), ((5, 0, 3), "no pictures")]:
        sprite = sprite_of(np.zeros(shape))
        assert not sprite.png and says in sprite.note and sprite.columns == 0


def test_a_picture_that_cannot_be_made_costs_nothing_but_itself() -> None:
    sprite = sprite_of(np.full((2, 3, 3), "red"))
    assert not sprite.png and sprite.note.startswith("thumbnails failed: ValueError")
