"""Layouts: faithful, finite for whatever comes, the same for a seed, and still where nothing moved."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from threadpoolctl import threadpool_limits

from featwatch.analysis import umap_layout
from featwatch.analysis.layout import LAYOUTS, Layout, Task, Trace, pca, tsne, umap, users
from featwatch.analysis.neighbours import nearest
from featwatch.analysis.quality import neighbours_kept
from featwatch.analysis.umap_descent import curve
from featwatch.analysis.umap_layout import WHOLE, tether


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in the worker; t-SNE's threads wait for each other by spinning."""
    with threadpool_limits(1):
        yield


def task(features: np.ndarray, n_neighbors: int = 15, **more) -> Task:
    indices, distances = nearest(features, min(n_neighbors, len(features) - 1))
    return Task(features=features, indices=indices, distances=distances, n_neighbors=n_neighbors, **more)


@cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    features, classes = load_digits(return_X_y=True)
    return features[:400].astype(np.float32), classes[:400]


def drifting(features: np.ndarray, share: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The features after `share` of the samples, at random, moved to where another sample is; and which these are."""
    rng = np.random.default_rng(seed)
    moved = rng.random(len(features)) < share
    after = features + rng.normal(scale=0.01, size=features.shape).astype(np.float32)
    after[moved] = features[rng.integers(0, len(features), moved.sum())] + rng.normal(size=features[moved].shape)
    return after, moved


def odd_inputs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    normal = rng.normal(size=(60, 5))
    inputs = {f"{count} samples": normal[:count] for count in (1, 2, 3, 4, 5, 6, 16)}
    inputs |= {f"{count} equal samples": np.ones((count, 3)) for count in (1, 2, 3, 5, 40)}
    inputs["one feature"] = normal[:, :1]
    inputs["wider than long"] = rng.normal(size=(20, 300))
    inputs["duplicates"] = np.repeat(normal[:4], 25, axis=0)
    inputs["saturated outputs"] = np.eye(10)[rng.integers(0, 10, 200)]
    inputs["a graph in two parts"] = normal + np.repeat([[0.0], [1e4]], 30, axis=0)
    inputs["an outlier"] = np.vstack([normal, np.full((1, 5), 1e7)])
    inputs["huge"], inputs["tiny"] = normal * 1e30, normal * 1e-30
    return {name: values.astype(np.float32) for name, values in inputs.items()}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("features", odd_inputs().values(), ids=odd_inputs())
def test_points_are_finite_whatever_comes(layout: Layout, features: np.ndarray):
    fresh = layout(task(features))
    warm = layout(task(features, start=fresh))
    for points in (fresh, warm):
        assert points.shape == (len(features), 2) and points.dtype == np.float32
        assert np.isfinite(points).all()


def test_equal_samples_do_not_lie_on_each_other():
    """On one spot no force would act between them."""
    assert nearest(umap(task(np.ones((40, 3)))), 1)[1].min() > 0.01


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_the_same_for_a_seed_and_nothing_else_is_touched(layout: Layout):
    job = task(digits()[0][:60], seed=3)
    features, (_, keys, position, *_) = job.features.copy(), np.random.get_state()
    first = layout(job)
    start = first.copy()
    warm = layout(dataclasses.replace(job, start=start))
    np.testing.assert_array_equal(start, first)
    np.testing.assert_array_equal(job.features, features)
    np.testing.assert_array_equal(np.random.get_state()[1], keys)
    assert np.random.get_state()[2] == position
    np.random.random(5)
    np.testing.assert_array_equal(layout(job), first)
    np.testing.assert_array_equal(layout(dataclasses.replace(job, start=start)), warm)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_permuted_samples_have_permuted_points(layout: Layout):
    features = digits()[0][:150]
    order = np.random.default_rng(0).permutation(len(features))
    after, _ = drifting(features, share=0.1)
    start = layout(task(features))
    warm = layout(task(after, start=start, before=features))
    permuted = layout(task(features[order]))
    np.testing.assert_allclose(permuted, start[order], atol=1e-3)
    again = layout(task(after[order], start=start[order], before=features[order]))
    np.testing.assert_allclose(again, warm[order], atol=1e-3)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_what_does_not_move_in_features_does_not_move_in_the_plane(layout: Layout):
    """Nor does what is only shifted, or grown as a whole: no distance between samples shows it."""
    features = digits()[0][:150].astype(np.float64)
    start = layout(task(features))
    width = np.ptp(start, axis=0).max()
    for after in (features, 2.0 * features + 3.0):
        moved = layout(task(after, start=start, before=features))
        if layout is pca:                   # its points are in the units of the features
            moved = moved * (np.linalg.norm(start) / np.linalg.norm(moved))
        assert np.abs(moved - start).max() < 1e-4 * width


def test_sampled_gradients_serve_many_samples(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(umap_layout, "WHOLE", 100)
    features = digits()[0]
    start = umap(task(features))
    after, moved = drifting(features, share=0.1)
    way = np.linalg.norm(umap(task(after, start=start, before=features)) - start, axis=1)
    assert np.median(way[moved]) > 5 * np.median(way[~moved])
    assert trustworthiness(features, start, n_neighbors=15) > 0.95
    assert WHOLE > 5000


@pytest.mark.parametrize("whole", [WHOLE, 10])
def test_stages_of_the_optimisation(monkeypatch: pytest.MonkeyPatch, whole: int):
    """They change nothing, go up, and lead to the layout."""
    monkeypatch.setattr(umap_layout, "WHOLE", whole)
    features = digits()[0][:120]
    after, _ = drifting(features, share=0.2)
    start = umap(task(features))
    for job in (task(features), task(after, start=start, before=features)):
        plain, trace = umap(job), Trace(8)
        np.testing.assert_array_equal(umap(dataclasses.replace(job, trace=trace)), plain)
        assert 3 <= len(trace.points) == len(trace.rounds) <= 8
        assert trace.rounds == sorted(set(trace.rounds)) and trace.rounds[0] == 0
        left = [np.linalg.norm(stage - plain, axis=1).mean() for stage in trace.points]
        assert left[-1] <= left[len(left) // 2] <= left[0]
        assert all(stage.shape == (120, 2) for stage in trace.points)


def test_another_seed_gives_another_umap():
    features = digits()[0][:120]
    assert not np.allclose(umap(task(features, seed=1)), umap(task(features, seed=2)), atol=1.0)


def test_umap_keeps_neighbours_as_umap_learn_does():
    from umap import UMAP

    features, _ = digits()
    mine = umap(task(features))
    theirs = UMAP(random_state=0, n_jobs=1).fit_transform(features)
    near = nearest(features, 15)[0]
    kept = {name: neighbours_kept(near, nearest(points, 15)[0]) for name, points in (("mine", mine), ("theirs", theirs))}
    assert kept["mine"] > kept["theirs"] - 0.03
    assert trustworthiness(features, mine, n_neighbors=15) > trustworthiness(features, theirs, n_neighbors=15) - 0.01


def test_umap_heeds_its_options():
    features = digits()[0]
    spacing = [np.median(nearest(umap(task(features, min_dist=m)), 1)[1]) for m in (0.0, 0.8)]
    assert spacing[0] < spacing[1] / 2
    local, wide = (umap(task(features, n_neighbors=k)) for k in (3, 60))
    near = nearest(features, 2)[0]
    assert neighbours_kept(near, nearest(local, 2)[0]) > neighbours_kept(near, nearest(wide, 2)[0])


@pytest.mark.parametrize("scale", [2.0**-90, 2.0**90])
def test_umap_is_the_same_at_every_scale(scale):
    features = digits()[0][:120]
    job = Task(features=features, indices=nearest(features, 15)[0], distances=nearest(features, 15)[1])
    scaled = dataclasses.replace(job, features=features * np.float32(scale), distances=job.distances * scale)
    np.testing.assert_array_equal(umap_layout.umap(scaled), umap_layout.umap(job))


def test_umap_does_not_move_what_did_not_move():
    features = digits()[0]
    start = umap(task(features))
    np.testing.assert_array_equal(umap(task(features, start=start, before=features)), start)


def test_umap_moves_the_samples_whose_features_moved():
    features = digits()[0]
    start = umap(task(features))
    after, moved = drifting(features, share=0.1)
    points = umap(task(after, start=start, before=features))
    way = np.linalg.norm(points - start, axis=1)
    assert np.median(way[moved]) > 20 * np.median(way[~moved])
    assert np.median(way[~moved]) < 0.1
    near = nearest(after, 15)[0]
    fresh = umap(task(after))
    assert neighbours_kept(near, nearest(points, 15)[0]) > neighbours_kept(near, nearest(fresh, 15)[0]) - 0.06


def test_a_warm_start_stays_nearer_than_a_fresh_one_even_where_the_movement_is_not_known():
    features = digits()[0]
    start = umap(task(features))
    after, _ = drifting(features, share=0.05)
    way = {
        name: np.median(np.linalg.norm(points - start, axis=1))
        for name, points in {
            "known": umap(task(after, start=start, before=features)),
            "not known": umap(task(after, start=start)),
            "fresh": umap(task(after)),
        }.items()
    }
    assert 5 * way["known"] < way["not known"] < way["fresh"] / 2


def test_the_tether_slackens_with_the_square_of_the_movement():
    rng = np.random.default_rng(0)
    before = rng.normal(size=(4000, 3))
    after = before.copy()
    after[:3, 0] += [2.0, 4.0, 40.0]
    indices, distances = np.zeros((4000, 1), np.int32), np.full((4000, 1), 2.0)
    job = Task(features=after, indices=indices, distances=distances, start=np.zeros((4000, 2)), before=before)
    np.testing.assert_allclose(tether(job)[:3], [0.3, 0.3 / 4, 0.3 / 400], rtol=0.15)     # the centre and the size moved a little
    assert tether(job)[3:].min() > 1


def test_umap_is_the_same_on_any_number_of_threads():
    import numba

    features, answers = digits()[0], []
    most = numba.get_num_threads()
    for threads in {1, most}:
        numba.set_num_threads(threads)
        with threadpool_limits(threads):
            job = task(features)
            start = umap(job)
            answers.append([job.indices, job.distances, start, umap(dataclasses.replace(job, start=start))])
    numba.set_num_threads(most)
    for one, other in zip(answers[0], answers[-1], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("shape", [(50, 5), (20, 60)])
def test_pca_as_scikit_learn_gives_it(shape):
    features = np.random.default_rng(0).normal(size=shape) * np.linspace(3, 1, shape[1])
    expected = PCA(2).fit_transform(features)
    np.testing.assert_allclose(np.abs(pca(task(features))), np.abs(expected), rtol=1e-4, atol=1e-5)


def test_pca_keeps_its_signs():
    features = np.random.default_rng(0).normal(size=(50, 5)) * [5, 3, 1, 1, 1]
    points = pca(task(features))
    assert (features[:, :2] * points).sum(axis=0).min() > 0      # the directions are nearly these two
    np.testing.assert_array_equal(points, pca(task(features.copy())))
    follows = pca(task(features, start=points * [-1, 1]))
    np.testing.assert_allclose(follows, points * [-1, 1], rtol=1e-5)


def test_tsne_is_faithful_and_starts_from_the_epoch_before():
    features = digits()[0][:200]
    fresh = tsne(task(features))
    assert trustworthiness(features, fresh, n_neighbors=15) > 0.95
    warm = tsne(task(features, start=fresh))
    assert np.corrcoef(warm.T.ravel(), fresh.T.ravel())[0, 1] > 0.98


def test_a_users_layout():
    seen = {}

    def first_two(features, *, start, seed):
        seen.update(start=start, seed=seed)
        features += 1.0     # may do what it likes with its copy
        return features[:, :2].astype(np.float64) - 1.0

    features = digits()[0].copy()
    start = np.ones((400, 2), np.float32)
    points = users(first_two)(task(features, start=start, seed=7))
    np.testing.assert_array_equal(points, digits()[0][:, :2])
    np.testing.assert_array_equal(features, digits()[0])
    assert points.dtype == np.float32 and seen["seed"] == 7
    assert seen["start"] is not start


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (np.zeros((3, 2)), r"layout odd gave float64 of shape \(3, 2\); real numbers, \(4, 2\)"),
        (np.zeros((4, 3)), r"shape \(4, 3\)"),
        (np.full((4, 2), "a"), "gave <U1"),
        (np.zeros((4, 2), complex), "gave complex"),
        (None, "gave object"),
        (np.full((4, 2), np.nan), "not finite"),
    ],
)
def test_a_users_layout_that_gives_no_points(answer, complaint):
    def odd(features, *, start, seed):
        return answer

    with pytest.raises(ValueError, match=complaint):
        users(odd)(task(np.eye(4)))


@pytest.mark.filterwarnings("error")
def test_a_users_layout_beyond_float32():
    with pytest.raises(ValueError, match="not finite as float32"):
        users(lambda features, *, start, seed: np.full((4, 2), 1e300))(task(np.eye(4)))


@pytest.mark.parametrize("start", [1e18, 1e30, np.inf, np.nan])
def test_umap_takes_a_start_beyond_its_arithmetic_for_none(start):
    """It used to read beyond its table of squared distances, which ends the process."""
    features = digits()[0][:60]
    far = np.where(np.arange(120).reshape(60, 2) == 0, start, features[:, :2]).astype(np.float32)
    np.testing.assert_array_equal(umap(task(features, start=far, before=features + 1)), umap(task(features)))


@pytest.mark.parametrize("stages", [1, 2, 3, 7])
def test_as_many_stages_are_kept_as_were_asked_for_and_the_last_is_the_layout(stages, monkeypatch):
    features = digits()[0][:60]
    for whole in (WHOLE, 10):       # 10: as for more than `WHOLE` samples
        monkeypatch.setattr(umap_layout, "WHOLE", whole)
        first = umap(task(features))
        for start in (None, first):
            trace = Trace(stages)
            points = umap(task(features, start=start, before=features[::-1], trace=trace))
            assert len(trace.points) == len(trace.rounds) == stages and trace.rounds == sorted(set(trace.rounds))
            np.testing.assert_array_equal(trace.points[-1], points)
            np.testing.assert_array_equal(umap(task(features, start=start, before=features[::-1])), points)


@pytest.mark.parametrize("layout", [umap, tsne])
@pytest.mark.parametrize("count", [16, 40])
def test_the_layout_of_few_samples_goes_with_them_although_all_are_neighbours_of_all(layout, count):
    """Whoever counts all others as neighbours finds that they are kept wherever the points are."""
    features = digits()[0][: 2 * count]
    before, points = features[:count], layout(task(features[:count], n_neighbors=count))
    for step in np.linspace(0, 1, 6)[1:]:
        now = ((1 - step) * features[:count] + step * features[count:]).astype(np.float32)
        points = layout(task(now, n_neighbors=count, start=points, before=before))
        before = now
    assert trustworthiness(before, points, n_neighbors=5) > 0.75      # it was 0.52 to 0.59


@pytest.mark.parametrize("min_dist", [0.0, 0.1, 0.5, 1.0])
def test_the_polynomial_is_umaps_repulsion(min_dist: float):
    from umap.umap_ import find_ab_params

    a, b = find_ab_params(1.0, min_dist)
    squared = np.logspace(-5, 3, 500)
    exact = 2 * b / (1 + a * squared**b)
    nearly = np.polyval(curve(a, b)[::-1], (squared - 1) / (squared + 1)) / (1 + squared)
    assert np.abs(nearly / exact - 1).max() < (0.07 if min_dist == 0.1 else 0.21)


def test_whole_gradients_lead_down_umaps_loss():
    """The expectation of what is sampled: attraction along edges, repulsion between all pairs (Damrich & Hamprecht 2021)."""
    from umap.umap_ import find_ab_params

    features = digits()[0][:100]
    job = task(features)
    heads, tails, weights = umap_layout.fuzzy_graph(job)
    a, b = find_ab_params(1.0, 0.1)

    def loss(points: np.ndarray) -> float:
        square = ((points[:, None] - points[None]) ** 2).sum(axis=2)
        alike = 1 / (1 + a * square**b)
        degree = np.bincount(heads, weights, len(points))
        push = 5 * (degree[:, None] + degree[None]) / (2 * len(points))
        apart = np.log(np.where(np.eye(len(points), dtype=bool), 1, 1 - alike + 1e-3)) * push
        return float(-(weights * np.log(alike[heads, tails])).sum() - apart.sum())

    start = umap_layout.scattered(job)
    losses = [loss(start)]
    for rounds in (5, 20, 80):
        job = dataclasses.replace(job, trace=None)
        graph = umap_layout._Graph(job)
        losses.append(loss(graph.whole(start, start, np.full(100, np.inf), rounds, 1.0)))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < loss(umap_layout._Graph(job).sampled(start, np.zeros(100), 200))


def test_where_everything_has_changed_a_layout_is_made_anew_if_that_is_better():
    """Two kinds of features that have nothing to do with each other: going on from the first would stay in a knot."""
    rng = np.random.default_rng(0)
    line = rng.permutation(np.linspace(0, 1, 300))
    before = rng.normal(size=(300, 2))
    after = np.stack([line, 1 - line], axis=1)
    start = umap(task(before))
    points = umap(task(after, start=start, before=before))
    near = nearest(after, 15)[0]
    fresh = neighbours_kept(near, nearest(umap(task(after)), 15)[0])
    assert neighbours_kept(near, nearest(points, 15)[0]) > 0.9 * fresh
