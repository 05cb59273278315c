"""Decision regions: the votes are scikit-learn's, the smoothing is SciPy's, and the page finds the same."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from sklearn.neighbors import KNeighborsClassifier

import featwatch as fw
from featwatch.analysis.grid import Box, mapped
from featwatch.analysis.regions import Regions, kernel, nearest_samples, regions
from tests.fits import PROBE, fit
from tests.nets import sequential
from tests.regions_fixture import FIXTURE, cases


def blobs(count: int = 200, classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres, labels = rng.uniform(-6, 6, (classes, 2)), rng.integers(0, classes, count)
    return (centres[labels] + rng.normal(size=(count, 2))).astype(np.float32), labels.astype(np.int32)


def centres_of(found: Regions) -> np.ndarray:
    rows, columns = found.cells.shape
    x, y = np.meshgrid(found.left + np.arange(columns) * found.step, found.bottom + np.arange(rows) * found.step)
    return np.stack([x, y], axis=-1).reshape(-1, 2)


@pytest.mark.parametrize("neighbors", [1, 3, 10])
def test_without_smoothing_it_is_scikit_learns_classifier(neighbors: int) -> None:
    points, classes = blobs()
    found = regions(points, classes, neighbors=neighbors, resolution=50, smoothing=0.0)
    classifier = KNeighborsClassifier(neighbors).fit(points.astype(np.float64), classes)
    shares = classifier.predict_proba(centres_of(found))
    np.testing.assert_array_equal(found.cells.ravel(), classifier.classes_[shares.argmax(axis=1)])
    first, second = np.sort(shares, axis=1)[:, [-1, -2]].T
    np.testing.assert_allclose(found.margin.ravel(), first - second, atol=1e-5)


@pytest.mark.parametrize("smoothing", [0.005, 0.0125, 0.2])
def test_the_smoothing_is_scipys(smoothing: float) -> None:
    points, classes = blobs(seed=1)
    found = regions(points, classes, resolution=60, smoothing=smoothing)
    shares = KNeighborsClassifier(3).fit(points.astype(np.float64), classes).predict_proba(centres_of(found))
    smooth = [gaussian_filter(share.reshape(found.cells.shape), smoothing * 60, mode="nearest") for share in shares.T]
    second, first = np.sort(smooth, axis=0)[-2:]
    np.testing.assert_allclose(found.margin, first - second, atol=1e-4)
    sure = first - second > 1e-4
    assert sure.mean() > 0.95
    np.testing.assert_array_equal(found.cells[sure], np.argmax(smooth, axis=0)[sure])


@pytest.mark.parametrize("sigma", [0.0, 0.1, 1.0, 2.5, 40.0])
def test_the_kernel_is_a_gaussian_in_whole_numbers(sigma: float) -> None:
    weights = kernel(sigma)
    assert (weights == np.rint(weights)).all() and (weights == weights[::-1]).all()
    impulse = np.zeros(len(weights))
    impulse[len(weights) // 2] = 1
    np.testing.assert_allclose(weights / 2**20, gaussian_filter(impulse, sigma) if sigma else impulse, atol=1e-6)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 80), st.integers(1, 9), st.integers(1, 12))
def test_of_equally_near_samples_the_first_vote(seed: int, count: int, side: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.integers(0, side, (count, 2)).astype(np.float64)
    centres, k = rng.integers(-2, 2 * side, (30, 2)) / 2, min(k, count)
    squared = ((centres[:, None] - points) ** 2).sum(axis=2)
    np.testing.assert_array_equal(nearest_samples(points, centres, k), np.argsort(squared, axis=1, kind="stable")[:, :k])


def test_thousands_in_one_place_are_no_obstacle() -> None:
    points = np.vstack([np.zeros((20_000, 2)), [[1.0, 0.0]]])
    found = regions(points, np.r_[np.zeros(20_000, int), 5], neighbors=1, resolution=10, smoothing=0)
    assert set(found.cells.ravel()) == {0, 5}


def test_a_planted_boundary_is_found() -> None:
    """Two half planes: the line between them lies where it was planted, and is as long as the raster is high."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (4000, 2))
    found = regions(points, points[:, 0] > 0.3, resolution=100)
    ends = found.boundary()
    assert abs(np.median(ends[..., 0]) - 0.3) < 0.03
    assert np.abs(ends[..., 0] - 0.3).max() < 0.12
    left, right, bottom, top = found.extent
    assert np.hypot(*(ends[:, 1] - ends[:, 0]).T).sum() == pytest.approx(top - bottom, rel=0.25)


def test_the_boundary_by_hand() -> None:
    """Where two regions meet the line passes by their leads; where four cells differ in more than one way, lines meet."""
    cells, margin = np.array([[1, 1, 2]], np.int32).repeat(2, axis=0), np.array([[9, 3, 1]], np.float32).repeat(2, axis=0)
    two = Regions(cells, margin, left=10.0, bottom=20.0, step=2.0)
    np.testing.assert_allclose(two.boundary(), [[[13.5, 20], [13.5, 22]]])
    assert two.extent == (9.0, 15.0, 19.0, 23.0)
    three = Regions(np.array([[1, 1], [2, 3]], np.int32), np.ones((2, 2), np.float32), 0.0, 0.0, 1.0)
    ends = three.boundary()
    assert ends.shape == (3, 2, 2)
    np.testing.assert_allclose(ends[:, 0], [[1 / 2, 2 / 3]] * 3)
    np.testing.assert_allclose(sorted(map(tuple, ends[:, 1])), [(0, 0.5), (0.5, 1), (1, 0.5)])
    assert Regions(np.ones((2, 2), np.int32), np.ones((2, 2), np.float32), 0.0, 0.0, 1.0).boundary().shape == (0, 2, 2)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.permutations(range(4)))
def test_naming_classes_otherwise_names_their_regions_so(seed: int, names: list[int]) -> None:
    points, classes = blobs(60, seed=seed)
    found, renamed = regions(points, classes, resolution=25), regions(points, np.array(names)[classes], resolution=25)
    untied = found.margin > 0
    np.testing.assert_array_equal(renamed.cells[untied], np.array(names)[found.cells][untied])


def test_samples_without_a_class_or_a_place_do_not_vote() -> None:
    points, classes = blobs(40)
    found = regions(points, classes, resolution=20)
    more = np.vstack([points, [[math.nan, 0], [0, math.inf], [0, 0]]])
    again = regions(more, np.r_[classes, 1, 2, -1], resolution=20)
    np.testing.assert_array_equal(again.cells, found.cells)
    assert again.extent == found.extent


@pytest.mark.parametrize("count", [1, 2])
def test_a_few_samples_will_do(count: int) -> None:
    found = regions(np.full((count, 2), 3.0), np.full(count, 7), resolution=12)
    assert (found.cells == 7).all() and (found.margin == found.margin[0, 0]).all()
    assert found.extent == pytest.approx((2.96, 3.04, 2.96, 3.04))


def test_an_extent_is_covered() -> None:
    found = regions(*blobs(), resolution=40, extent=(-4.0, 4.0, 0.0, 2.0))
    assert found.cells.shape == (10, 40) and found.extent == pytest.approx((-4.0, 4.0, 0.0, 2.0))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"neighbors": 0}, "neighbors=0 is out of range"),
        ({"resolution": 5000}, "resolution=5000 is out of range; give a number from 1 to 2048"),
        ({"smoothing": math.nan}, "smoothing=nan is out of range"),
        ({"extent": (1.0, 0.0, 0.0, 1.0)}, "is no rectangle; give \\(left, right, bottom, top\\)"),
    ],
)
def test_wrong_options_are_refused(more: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        regions(*blobs(), **more)


def test_nothing_that_votes_is_refused() -> None:
    with pytest.raises(ValueError, match="no sample has both"):
        regions(np.zeros((3, 2)), np.full(3, -1))
    with pytest.raises(ValueError, match=r"points of shape \(3, 2\) and classes of shape \(2,\)"):
        regions(np.zeros((3, 2)), np.zeros(2, int))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> fw.reader.Run:
    log_dir = tmp_path_factory.mktemp("regions")
    recorders = [fw.Embeddings("pca"), fw.GridMapping(schedule=fw.at(1))]
    fit(sequential(), fw.Watch(log_dir, PROBE, layers="conv", recorders=recorders, background=False, strict=True), epochs=1)
    return fw.load(log_dir)


def test_a_run_estimates_them_from_what_was_recorded(run: fw.reader.Run) -> None:
    points, classes, grid = run.embedding("conv", 1).points, run.predictions(1).classes, run.grid("conv", 1)
    found = run.regions("conv", 1, resolution=30)
    np.testing.assert_array_equal(found.cells, regions(points, classes, resolution=30).cells)
    found = run.regions("conv", 1, mapped=0.7, resolution=30, neighbors=1)
    there = mapped(points, grid.cells, Box.of(grid), 0.7)
    np.testing.assert_array_equal(found.cells, regions(there, classes, resolution=30, neighbors=1).cells)


def test_a_run_says_what_it_lacks(run: fw.reader.Run) -> None:
    with pytest.raises(KeyError, match="no 'grid' of 'conv' was recorded at epoch 0"):
        run.regions("conv", 0, mapped=0.5)
    with pytest.raises(KeyError, match="no 'embedding' of 'conv' was recorded at epoch 9"):
        run.regions("conv", 9)
    with pytest.raises(ValueError, match="mapped=2 is out of range"):
        run.regions("conv", 1, mapped=2)


def test_the_pages_tests_compare_with_what_is_found_here() -> None:
    """`python -m tests.regions_fixture` writes the file again."""
    assert FIXTURE.stat().st_size < 20_000
    assert json.loads(FIXTURE.read_text(encoding="utf-8")) == json.loads(json.dumps(cases()))
