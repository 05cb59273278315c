"""Samples on a grid: the assignment is the best one, as SciPy finds it and as duality proves it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

import featwatch as fw
from featwatch.analysis import grid
from featwatch.analysis.grid import Box, assignment, box_over, mapped
from featwatch.analysis.grid_solver import assign, regret
from featwatch.recorders import NothingToSay
from featwatch.records import Embedding, GridMap
from tests.fits import PROBE, fit
from tests.nets import sequential
from tests.test_recorders import snapshot

SIZES = [1, 2, 3, 5, 100, 1000]


def layouts(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Layouts that are easy, and those that are not."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-10, 10, (7, 2))
    lattice = np.stack(np.divmod(np.arange(count), max(1, int(count**0.5))), axis=1)
    return {
        "scattered": rng.uniform(size=(count, 2)),
        "clustered": centres[rng.integers(0, 7, count)] + rng.normal(size=(count, 2)),
        "twice": np.repeat(rng.normal(size=(count // 2 + 1, 2)), 2, axis=0)[:count],
        "collinear": np.stack([rng.normal(size=count), np.zeros(count)], axis=1),
        "lattice": lattice * 3.0,
        "one far away": np.vstack([rng.normal(size=(count - 1, 2)), [[30.0, 4.0]]]),
        "identical": np.full((count, 2), -4.5),
        "two places": rng.integers(0, 2, (count, 1)) * np.ones((1, 2)),
    }


def least(points: np.ndarray, box: Box) -> float:
    """The least mean squared distance, by SciPy."""
    costs = cdist(points, box.centres(np.arange(box.columns * box.rows)), "sqeuclidean")
    return float(costs[linear_sum_assignment(costs)].mean())


def mean_square(points: np.ndarray, cells: np.ndarray, box: Box) -> float:
    return float(((box.centres(cells) - points) ** 2).sum(axis=1).mean())


@pytest.mark.parametrize("name", list(layouts(2)))
@pytest.mark.parametrize("count", SIZES)
def test_it_is_the_one_that_scipy_finds(count: int, name: str) -> None:
    points = layouts(count)[name].astype(np.float32)
    box = box_over(points)
    found = assignment(points, box)
    assert found.exact and found.cells.dtype == np.int32
    assert len(set(found.cells)) == count and found.cells.min() >= 0 and found.cells.max() < box.columns * box.rows
    # Positions are told apart down to a 1,024th of a cell.
    assert mean_square(points, found.cells, box) == pytest.approx(least(points, box), rel=1e-6, abs=1e-4 * box.cell**2)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40).flatmap(lambda n: st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=n, max_size=n)))
@example([(0, 0)] * 30)
def test_where_positions_are_not_rounded_the_sum_is_the_least_to_the_last_digit(places: list[tuple[int, int]]) -> None:
    points = np.array(places, np.float64)
    columns = int(np.ceil(np.sqrt(len(points))))
    box = Box(columns, -(-len(points) // columns), -2.0, -3.0, 2.0)
    found = assignment(points, box)
    assert found.exact
    # Sums of whole numbers: they differ by 1, or by nothing.
    assert len(points) * mean_square(points, found.cells, box) == pytest.approx(len(points) * least(points, box), abs=1e-6)


def test_duality_is_checked_over_all_pairs() -> None:
    """What calls itself exact is proven: any other assignment, and any wrong price, is seen."""
    points = layouts(100)["clustered"]
    box = box_over(points)
    x, y = np.rint((points - (box.left, box.bottom)) / box.cell * 1024).astype(np.int64).T.copy()
    cells, prices, finished = assign(x, y, box.columns, box.rows, 1024, 1, 10**6)
    proven = regret(x, y, cells, prices, box.columns, 1024)
    squared = (x[:, None] - np.arange(100) % 10 * 1024) ** 2 + (y[:, None] - np.arange(100) // 10 * 1024) ** 2
    values = squared * 101 + prices
    assert finished and proven == (values[np.arange(100), cells] - values.min(axis=1)).sum() <= 100
    swapped = cells.copy()
    swapped[[3, 4]] = swapped[[4, 3]]
    assert regret(x, y, swapped, prices, box.columns, 1024) > 100
    cheaper = prices.copy()
    cheaper[cells[7]] -= 10**9
    assert regret(x, y, cells, cheaper, box.columns, 1024) > 100
    dearer = prices.copy()
    dearer[cells[99]] += 10**9
    # The cell of the one that is left out is empty, and dearer than the cheapest.
    assert regret(x[:99].copy(), y[:99].copy(), cells[:99], dearer, box.columns, 1024) > 100


def test_where_the_bids_run_out_everyone_has_a_cell_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    points = layouts(400)["clustered"]
    box = box_over(points)
    monkeypatch.setattr(grid, "_MOST_BIDS", 10)
    found = assignment(points, box)
    assert not found.exact and len(set(found.cells)) == 400
    assert least(points, box) < mean_square(points, found.cells, box) < 1.5 * least(points, box)


def test_above_the_limit_it_is_nearly_the_best_and_said_not_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    points = layouts(500)["clustered"]
    box = box_over(points)
    monkeypatch.setattr(grid, "MOST_EXACT", 499)
    found = assignment(points, box)
    assert not found.exact and len(set(found.cells)) == 500
    assert 0 <= mean_square(points, found.cells, box) - least(points, box) <= grid.NEARLY * box.cell**2


def test_what_could_be_better_by_a_little_is_not_called_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    points = layouts(500)["clustered"]
    box = box_over(points)
    monkeypatch.setattr(grid, "MOST_EXACT", 499)
    monkeypatch.setattr(grid, "NEARLY", 20.5 / (1024**2 * (box.columns * box.rows + 1)))
    assert not assignment(points, box).exact            # proven to within some ten units only, where one is the least


def test_the_largest_grids_keep_within_64_bits() -> None:
    for count in [1, 100, 10_000, 20_000, 1_000_000]:
        columns = int(np.ceil(np.sqrt(count)))
        box = Box(columns, columns, 0.0, 0.0, 1.0)
        farthest = (grid.REACH * columns + columns) * grid._unit(box)
        assert 2 * farthest**2 * (columns**2 + 1) <= 2**61
        assert grid._unit(box) == 1024 or count > grid.MOST_EXACT
    points = np.vstack([np.random.default_rng(0).normal(size=(98, 2)), [[3e38, 1], [-3e38, 3e38]]])
    box = box_over(points)
    assert box.cell * box.columns < 10
    found = assignment(points, box)
    assert found.exact
    assert found.cells[-2] % 10 == 9 and found.cells[-1] == 90         # the right edge, and the top left corner


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
@example(35, 37)        # two assignments are equally good
def test_permuting_samples_permutes_it(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    points, order = rng.normal(size=(count, 2)), rng.permutation(count)
    box = box_over(points)
    np.testing.assert_array_equal(assignment(points[order], box_over(points[order])).cells, assignment(points, box).cells[order])


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(-20, 20), st.integers(-8, 8))
def test_scale_and_place_of_the_layout_do_not_matter(seed: int, count: int, power: int, shift: int) -> None:
    points = np.random.default_rng(seed).integers(-512, 512, (count, 2)) / 64.0
    other = (points + shift) * 2.0**power
    box, moved = box_over(points), box_over(other)
    assert (moved.columns, moved.rows) == (box.columns, box.rows)
    cost, moved_cost = (mean_square(p, assignment(p, b).cells, b) / b.cell**2 for p, b in [(points, box), (other, moved)])
    assert moved_cost == pytest.approx(cost, abs=1e-3) or np.ptp(points) == 0


def test_samples_in_one_place_take_their_cells_in_order() -> None:
    points = np.repeat([[0.0, 0.0], [5.0, 0.0]], 8, axis=0)
    cells = assignment(points, box_over(points)).cells
    assert (np.diff(cells[:8]) > 0).all() and (np.diff(cells[8:]) > 0).all()


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 12, 13, 1000])
def test_the_grid_is_nearly_a_square_and_lies_over_the_layout(count: int) -> None:
    points = np.random.default_rng(count).uniform([3, 4], [13, 14], (count, 2))
    box = box_over(points)
    assert box.columns * box.rows >= count > box.columns * (box.rows - 1) and 0 <= box.columns - box.rows <= 1
    if count == 1000:
        assert box.middle == pytest.approx((8, 9), abs=0.4)
        assert box.cell * box.columns == pytest.approx(10, rel=0.05)


def test_one_outlier_does_not_blow_the_grid_up() -> None:
    points = np.random.default_rng(0).uniform(size=(500, 2))
    far = np.vstack([points, [[1e6, 1e6]]])
    assert box_over(far).cell == pytest.approx(box_over(points).cell, rel=0.05)


@pytest.mark.parametrize("places", [[[7.0, 7.0]] * 9, [[0.0, 0.0]] * 99 + [[4.0, 0.0]]])
def test_points_that_nearly_all_coincide_have_a_grid(places: list[list[float]]) -> None:
    box = box_over(np.array(places))
    assert box.cell * box.columns == pytest.approx(4.0 if len(places) == 100 else 1.0)
    assert len(set(assignment(np.array(places), box).cells)) == len(places)


def test_the_grid_stays_while_the_layout_hardly_changes() -> None:
    points = np.random.default_rng(0).normal(size=(300, 2))
    box = box_over(points)
    assert box_over(points * 1.03 + 0.02, box) == box
    assert box_over(points * 1.2, box) != box
    assert box_over(points + 1.0, box) != box
    assert box_over(points[:200], box).columns == 15


@pytest.mark.parametrize("points", [np.empty((0, 2)), np.zeros((3, 3)), np.array([[0.0, np.nan]])])
def test_what_is_no_layout_is_refused(points: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"\(samples, 2\), at least one and all finite, are needed"):
        box_over(points)


def test_more_points_than_cells_are_refused() -> None:
    with pytest.raises(ValueError, match="5 points do not fit into 2 × 2 cells"):
        assignment(np.zeros((5, 2)), Box(2, 2, 0.0, 0.0, 1.0))


def test_on_the_way_to_the_grid_points_move_along_straight_lines() -> None:
    points = np.array([[0.0, 0.0], [1.0, 2.0]], np.float32)
    box, cells = Box(2, 2, 10.0, 20.0, 4.0), np.array([3, 0])
    np.testing.assert_array_equal(mapped(points, cells, box, 0.0), points)
    np.testing.assert_array_equal(mapped(points, cells, box, 1.0), [[14, 24], [10, 20]])
    np.testing.assert_array_equal(mapped(points, cells, box, 0.25), [[3.5, 6], [3.25, 6.5]])
    with pytest.raises(ValueError, match="mapped=1.5 is out of range"):
        mapped(points, cells, box, 1.5)
    with pytest.raises(ValueError, match="2 cells do not fit 2 samples and a grid of 2 × 2"):
        mapped(points, np.array([4, 0]), box, 0.5)


def embedded(points: np.ndarray, **more) -> GridMap:
    results = {"embedding": Embedding(epoch=4, layer="block/conv", points=points.astype(np.float32))}
    record = fw.GridMapping().analyse(snapshot(results=results, **more))
    assert isinstance(record, GridMap)
    return record


@pytest.mark.parametrize("name", list(layouts(2)))
def test_a_layout_that_does_not_move_keeps_its_cells(name: str) -> None:
    points = layouts(60)[name]
    first = embedded(points)
    again = embedded(points, previous=first)
    np.testing.assert_array_equal(again.cells, first.cells)
    assert Box.of(again) == Box.of(first)
    assert first.exact and first.cost == pytest.approx(mean_square(points.astype(np.float32), first.cells, Box.of(first)))


def test_a_cell_keeps_its_sample_where_only_others_moved() -> None:
    """The grid stays, and so does everyone, while points only tremble within their cells."""
    points = np.stack(np.meshgrid(np.arange(8.0), np.arange(8.0)), axis=-1).reshape(-1, 2)[:60]
    first = embedded(points)
    trembling = points + np.random.default_rng(0).uniform(-0.2, 0.2, points.shape)
    np.testing.assert_array_equal(embedded(trembling, previous=first).cells, first.cells)


def test_an_embedding_that_is_not_finite_is_said() -> None:
    points = np.zeros((60, 2))
    points[3, 1] = np.inf
    with pytest.raises(NothingToSay, match="the embedding of layer 'block/conv' at epoch 4 is not finite"):
        embedded(points)
    assert fw.GridMapping().analyse(dataclasses.replace(snapshot(), results={})) is None


def test_it_is_recorded_and_read(tmp_path: Path) -> None:
    recorders = [fw.Embeddings("pca"), fw.GridMapping()]
    fit(sequential(), fw.Watch(tmp_path, PROBE, layers="conv", recorders=recorders, background=False, strict=True), epochs=1)
    run = fw.load(tmp_path)
    points, record = run.embedding("conv", 1).points, run.grid("conv", 1)
    assert record.exact and record.cost == pytest.approx(least(points, Box.of(record)), rel=1e-5)
