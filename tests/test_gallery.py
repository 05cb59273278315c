"""Feature images of several epochs: what may be left out of a record, and one filter's images over training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featwatch as fw
from featwatch.gallery import MOST_SEARCHED, development, merged
from featwatch.records import FeatureImages
from featwatch.writers import EventFileWriter
from tests.small_logs import session


def images(
    epoch: int, filters: list[int], *, side: int = 2, high: float = 255.0, snapshots: tuple[int, ...] = (), **more: Any
) -> FeatureImages:
    n = len(filters)
    shown = np.array([10 * epoch + number for number in filters], np.uint8)
    optional: dict[str, Any] = {}
    if snapshots:
        optional["snapshot_steps"] = np.array(snapshots, np.int32)
        marks = shown[:, None] + np.arange(1, len(snapshots) + 1, dtype=np.uint8)
        optional["snapshot_pixels"] = np.ones((n, len(snapshots), side, side, 1), np.uint8) * marks[..., None, None, None]
    return FeatureImages(
        epoch=epoch, layer="conv1", filters=np.array(filters, np.int32),
        pixels=np.ones((n, side, side, 1), np.uint8) * shown[:, None, None, None],
        low=np.zeros(1, np.float32), high=np.full(1, high, np.float32), activation=np.arange(n, dtype=np.float32) + epoch,
        natural=np.full(n, 0.5, np.float32), reached=np.arange(n) % 2 == 0, refreshed=np.full(n, epoch, np.int32), steps=64,
        filters_in_all=8, **optional, **more,
    )  # fmt: skip


def features(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None] * np.ones(3, np.float32)


def test_what_all_have_is_merged() -> None:
    newest = images(4, [3, 0], snapshots=(1, 8), features=features(43, 40))
    earlier = images(2, [1, 3], snapshots=(1, 8), features=features(21, 23))
    found = merged(newest, iter([earlier]))
    assert found.filters.tolist() == [0, 1, 3] and found.refreshed.tolist() == [4, 2, 4]
    assert found.snapshot_steps.tolist() == [1, 8] and found.snapshot_pixels.dtype == np.uint8
    assert found.snapshot_pixels[:, :, 0, 0, 0].tolist() == [[41, 42], [22, 23], [44, 45]]
    assert found.features[:, 0].tolist() == [40, 21, 43] and found.features.dtype == np.float32


@pytest.mark.parametrize("other", [{}, {"snapshots": (1, 9)}, {"snapshots": (1,)}], ids=["none", "others", "fewer"])
def test_snapshots_that_do_not_go_together_are_left_out(other: dict[str, Any]) -> None:
    found = merged(images(4, [3, 0], snapshots=(1, 8)), [images(2, [1], **other)])
    assert found.snapshot_steps.size == 0 and found.snapshot_pixels.shape == (0,) * 5 and len(found.pixels) == 3
    # Where the newest record shows every filter itself, nothing else counts.
    alone = merged(replace(images(4, [3, 0], snapshots=(1, 8)), filters_in_all=2), [images(2, [1], **other)])
    assert alone.snapshot_steps.tolist() == [1, 8] and alone.snapshot_pixels[:, 0, 0, 0, 0].tolist() == [41, 44]


@pytest.mark.parametrize("other", [np.zeros((0, 0), np.float32), np.ones((1, 5), np.float32)], ids=["none", "others"])
def test_features_that_do_not_go_together_are_left_out(other: np.ndarray) -> None:
    found = merged(images(4, [0], features=features(1)), [images(2, [1], features=other)])
    assert found.features.shape == (0, 0) and len(found.pixels) == 2


def test_where_no_ascent_ended_early_all_steps_were_taken() -> None:
    found = merged(images(4, [3, 0], stopped=np.array([7, 9], np.int32)), [images(2, [1])])
    assert found.stopped.tolist() == [9, 64, 7]
    assert merged(images(4, [3]), [images(2, [1])]).stopped.size == 0


def test_snapshots_are_put_on_the_range_that_holds_all() -> None:
    found = merged(images(4, [0], high=510.0, snapshots=(1,)), [images(2, [1], snapshots=(1,))])
    assert found.high.tolist() == [510.0] and found.snapshot_pixels[:, 0, 0, 0, 0].tolist() == [41, 11]


def filtering(record: FeatureImages, filters: list[int], value: int = 100) -> FeatureImages:
    channels = record.pixels.shape[-1]
    pixels = np.full((len(filters), 5, 5, channels), value, np.uint8)
    return replace(
        record, filtered_filters=np.array(filters, np.int32), whole_pixels=pixels, filtered_pixels=pixels // 2,
        preserved=np.array(filters, np.float32) / 10,
    )  # fmt: skip


def test_filtered_images_are_those_of_the_last_record_that_has_some() -> None:
    newest = replace(images(8, [3, 0]), filters_in_all=2, note="said")
    earlier = [images(6, [3]), filtering(images(4, [0], high=510.0), [1, 5]), filtering(images(2, [0]), [7])]
    read: list[int] = []
    found = merged(newest, (read.append(one.epoch) or one for one in earlier))
    assert found.filtered_filters.tolist() == [1, 5] and found.preserved.tolist() == [np.float32(0.1), np.float32(0.5)]
    assert found.note == "said; filtered images of epoch 4" and read == [6, 4]          # and none before
    assert found.high.tolist() == [510.0] and found.filtered_pixels.shape == (2, 5, 5, 1)
    np.testing.assert_allclose(found.whole, 200.0, atol=1.01)           # on the range that holds them, too
    np.testing.assert_allclose(found.filtered, 100.0, atol=1.01)
    np.testing.assert_allclose(found.images, newest.images[[1, 0]], atol=1.01)
    own = merged(filtering(newest, [0], value=80), iter(earlier))
    assert own.filtered_filters.tolist() == [0] and own.note == "said" and own.filtered_pixels.max() == 40
    by_step = merged(newest, [replace(earlier[1], step=31)])
    assert by_step.note.endswith("filtered images of step 31")


def test_filtered_images_are_looked_for_so_far_and_no_farther() -> None:
    newest = replace(images(20, [3, 0]), filters_in_all=2)
    many = [images(epoch, [3]) for epoch in range(19, 2, -1)]
    read: list[int] = []
    found = merged(newest, (read.append(one.epoch) or one for one in [*many, filtering(images(1, [0]), [7])]))
    assert not found.filtered_filters.size and not found.note and len(read) == MOST_SEARCHED
    coloured = filtering(images(3, [0]), [7])
    coloured = replace(coloured, filtered_pixels=np.repeat(coloured.filtered_pixels, 3, axis=-1))
    assert not merged(newest, [coloured]).filtered_filters.size


# One filter over training


def test_a_filters_development_is_its_images_the_oldest_first() -> None:
    records = [images(0, [1, 2]), images(1, [3]), images(2, [2], high=510.0), images(3, [2, 5])]
    found = development(2, iter(records[::-1]))
    assert found.epochs.tolist() == [0, 2, 3] and found.steps.tolist() == [-1] * 3 and found.filter == 2
    np.testing.assert_allclose(found.images[:, 0, 0, 0], [2, 44, 32], atol=1e-4)
    assert found.images.shape == (3, 2, 2, 1) and found.images.dtype == np.float32
    assert found.activation.tolist() == [1, 2, 3] and found.reached.tolist() == [False, True, True]
    assert found.natural.tolist() == [0.5] * 3


def test_images_of_another_size_than_the_newest_are_left_out() -> None:
    found = development(2, [images(3, [1]), images(2, [2]), images(1, [2], side=3), images(0, [2])])
    assert found.epochs.tolist() == [0, 2]
    assert development(9, [images(0, [1])]).images.shape == (0, 0, 0, 0)


def test_it_is_read_from_a_log(tmp_path: Path) -> None:
    writer = EventFileWriter(tmp_path, 0)
    for record in (session(0), images(0, [0, 1]), images(5, [1]), images(10, [0])):
        writer.write(record)
    writer.close()
    run = fw.load(tmp_path)
    found = run.feature_development("conv1", 1)
    assert found.epochs.tolist() == [0, 5] and np.allclose(found.images[:, 0, 0, 0], [1, 51], atol=1e-4)
    with pytest.raises(KeyError, match="no image of filter 7 of 'conv1' was recorded"):
        run.feature_development("conv1", 7)
    with pytest.raises(KeyError, match="no 'feature_images' was recorded of 'dense'; it was of conv1"):
        run.feature_development("dense", 0)
    with pytest.raises(KeyError, match="was recorded by step"):
        run.feature_development("conv1", 0, axis="steps")
    with pytest.raises(ValueError, match="expected 'epochs' or 'steps'"):
        run.feature_development("conv1", 0, axis="epoch")
