"""Multiples and sums among filters, against brute force, simulation and planted truth."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from featwatch.analysis.combinations import Combinations, by_all_others, combinations, no_sums, removable, sums
from featwatch.analysis.similarity import Moments, alike, kept, moments, multiples, numbered, rows_needed
from featwatch.folds import MomentFold

RESIDUAL = 0.02


def known(values: np.ndarray) -> Moments:
    """What the recorder knows of (rows, filters)."""
    values = values.astype(np.float64)
    return moments(values.mean(axis=0), np.cov(values.T, bias=True), len(values), values.min(axis=0), values.max(axis=0))


def rectified(rows: int, filters: int, factors: int = 6, seed: int = 0) -> np.ndarray:
    """Filters as a rectifier leaves them, which depend on a few common factors, and vary by themselves."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(rows, factors)) @ rng.normal(size=(factors, filters)) / np.sqrt(factors)
    return np.maximum(common + 0.5 * rng.normal(size=(rows, filters)) + rng.uniform(-0.4, 0.8, filters), 0)


def left_by(values: np.ndarray, target: int, terms: Any) -> float:
    """The share of the target's variance that least squares on some columns and a constant leaves."""
    design = np.column_stack([values[:, list(terms)], np.ones(len(values))])
    fit = design @ np.linalg.lstsq(design, values[:, target])[0]
    return float(np.var(values[:, target] - fit) / np.var(values[:, target]))


@pytest.mark.parametrize("noise", [0.0, 0.002, 0.01, 0.019, 0.021, 0.05, 0.3])
def test_what_a_near_double_leaves_is_the_noise_that_was_planted(noise: float) -> None:
    values = rectified(4000, 8)
    off = np.random.default_rng(1).normal(size=4000)
    off -= np.polyval(np.polyfit(values[:, 2], off, 1), values[:, 2])       # no part of it is a multiple
    signal = 3 * values[:, 2] - 1
    values[:, 5] = signal + off / np.std(off) * np.std(signal) * noise / np.sqrt(1 - noise**2)
    facts = known(values)
    found = multiples(facts, alike(facts, RESIDUAL), None)
    assert (found.group[2] == found.group[5] >= 0) == (noise <= RESIDUAL)
    assert np.sqrt(1 - facts.correlation[2, 5] ** 2) == pytest.approx(noise, abs=1e-6)
    if noise <= RESIDUAL:
        assert found.keep[[2, 5]].tolist() == [5, 5]    # the larger variance
        assert found.residual[2] == pytest.approx(noise, abs=1e-6) and found.residual[5] == 0
        assert found.factor[2] == pytest.approx((1 - noise**2) / 3, rel=1e-6)
        assert found.by[[2, 5]].tolist() == ["activations", "activations"] and set(found.by) == {"", "activations"}


def test_a_chain_of_likeness_is_no_group() -> None:
    """A is like B and B like C, but not A like C: what stays is B, with both as multiples of it."""
    pairs = np.zeros((5, 5), bool)
    pairs[[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]] = True        # 0–1–2–3
    keep = kept(pairs, np.array([9.0, 1, 1, 1, 1]))
    assert keep.tolist() == [1, 1, 1, 3, 4] and numbered(keep).tolist() == [0, 0, 0, -1, -1]


def test_the_most_multiples_are_counted_among_those_that_are_left() -> None:
    """A takes 3, 4, 5; so B is left with 6 alone, and C, with 6 and 7, comes first."""
    pairs = np.zeros((9, 9), bool)
    for stays, others in ((0, [3, 4, 5, 8]), (1, [3, 4, 6]), (2, [6, 7])):
        pairs[stays, others] = pairs[others, stays] = True
    assert kept(pairs, np.ones(9)).tolist() == [0, 1, 2, 0, 0, 0, 2, 2, 0]


def test_what_was_removed_before_is_removed_again() -> None:
    pairs = np.ones((3, 3), bool) ^ np.eye(3, dtype=bool)
    assert kept(pairs, np.array([1.0, 2.0, 2.001])).tolist() == [1, 1, 1]       # within 1 %: the first
    assert kept(pairs, np.array([1.0, 2.0, 2.5])).tolist() == [2, 2, 2]
    assert kept(pairs, np.array([1.0, 2.0, 2.5]), np.array([False, True, True])).tolist() == [0, 0, 0]


@settings(max_examples=60, deadline=None)
@given(arrays.arrays(bool, st.integers(1, 12).map(lambda n: (n, n))))
def test_every_member_of_a_group_is_a_multiple_of_the_one_that_stays(pairs: np.ndarray) -> None:
    pairs = (pairs | pairs.T) & ~np.eye(len(pairs), dtype=bool)
    keep = kept(pairs, np.arange(len(pairs)) + 1.0)
    every = np.arange(len(pairs))
    assert (keep[keep] == keep).all() and pairs[every, keep][keep != every].all()
    stays = keep == every
    alone = stays & (np.bincount(keep, minlength=len(keep)) == 1)
    assert not pairs[np.ix_(alone, alone)].any()        # two that are alike are not both left alone
    group = numbered(keep)
    assert (group[alone] == -1).all() and set(group[~alone]) == set(range(len(set(keep[~alone]))))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_neither_the_order_of_the_filters_nor_their_scale_matters(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rectified(600, 14, seed=seed)
    values[:, 3], values[:, 8] = 2 * values[:, 1] + 1, 0.7 * values[:, 1]
    values[:, 5] = values[:, 0] + 2 * values[:, 2]
    order, scale = rng.permutation(14), np.exp(rng.uniform(-6, 6, 14))
    one, other = known(values), known((values * scale)[:, order])
    groups, permuted = (multiples(facts, alike(facts, RESIDUAL), None) for facts in (one, other))
    together = groups.group[:, None] == groups.group
    np.testing.assert_array_equal(together[np.ix_(order, order)], permuted.group[:, None] == permuted.group)
    first, second = sums(one, groups, 3, RESIDUAL), sums(other, permuted, 3, RESIDUAL)
    assert first.removable.sum() == second.removable.sum() == 3
    alone = (groups.group < 0)[order]
    np.testing.assert_allclose(second.unexplained[alone], first.unexplained[order][alone], atol=1e-5)


def test_sums_are_as_good_as_the_best_of_all_subsets_where_it_matters() -> None:
    values = rectified(500, 12)
    values[:, 4] = values[:, 1] - 2 * values[:, 7] + 0.5 * values[:, 9] + 0.01 * np.random.default_rng(0).normal(size=500)
    found = combinations(np.corrcoef(values.T), 3, RESIDUAL)
    for each in range(12):
        others = [other for other in range(12) if other != each]
        best = min(left_by(values, each, terms) for terms in itertools.combinations(others, 3))
        assert found.unexplained[each] == pytest.approx(left_by(values, each, found.terms[each]), rel=1e-9)
        assert best - 1e-12 <= found.unexplained[each] <= (1.1 * best if best < 0.01 else 1)
    assert set(found.terms[4]) == {1, 7, 9} and found.unexplained[4] < RESIDUAL**2


@pytest.mark.parametrize(("filters", "factors", "terms"), [(32, 8, 2), (32, 8, 3), (128, 10, 2), (128, 10, 3), (128, 40, 3)])
@pytest.mark.parametrize("noise", [0.0, 0.005, 0.015])
def test_planted_sums_are_found_among_many_filters(filters: int, factors: int, terms: int, noise: float) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3000, factors)) @ rng.normal(size=(factors, filters)) / np.sqrt(factors)
    values = np.maximum(values + rng.normal(size=filters) / 2, 0)
    planted = []
    for _ in range(filters // 8):
        of = rng.choice(filters, terms, replace=False)
        value = values[:, of] @ (rng.uniform(0.5, 2, terms) * rng.choice([-1, 1], terms))
        planted.append(value + noise * value.std() * rng.normal(size=3000))
    found = combinations(np.corrcoef(np.column_stack([values, *planted]).T), 3, RESIDUAL)
    assert (found.unexplained[filters:] <= RESIDUAL**2).all()


@pytest.mark.parametrize("seed", [1, 3, 26])
def test_sums_of_three_are_found_that_forward_selection_and_one_replacement_miss(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(2000, 10)) @ rng.normal(size=(10, 128)) / np.sqrt(10)
    values = np.maximum(values + rng.normal(size=128) / 2, 0)
    planted = []
    for _ in range(16):
        of = rng.choice(128, 3, replace=False)
        planted.append(values[:, of] @ (rng.uniform(0.5, 2, 3) * rng.choice([-1, 1], 3)))
    found = combinations(np.corrcoef(np.column_stack([values, *planted]).T), 3, RESIDUAL)
    assert found.unexplained[128:].max() < 1e-9


def test_a_filter_is_no_term_beside_one_that_is_nearly_the_same() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(1000, 4))
    values[:, 1] = values[:, 0] + 1e-3 * values[:, 3]
    values[:, 2] = values[:, 0] + 0.3 * values[:, 3] + 0.3 * rng.normal(size=1000)
    assert combinations(np.corrcoef(values[:, :3].T), 2).terms[2, 1] == -1
    assert -1 not in combinations(np.corrcoef(values.T), 2).terms[2]


def test_what_stays_for_its_group_does_not_go_as_a_sum() -> None:
    values = rectified(500, 8)
    values[:, 5] = values[:, 2] + values[:, 3]
    values[:, 6] = 2 * values[:, 5]
    facts = known(values)
    found = sums(facts, multiples(facts, alike(facts, RESIDUAL), None), 3, RESIDUAL)
    assert found.removable[5] and not found.removable[6] and found.unexplained[6] < 1e-4
    terms = dict(zip(found.terms[6].tolist(), found.coefficients[6].tolist(), strict=True))
    assert terms == {2: pytest.approx(2), 3: pytest.approx(2), -1: 0}


def test_what_all_others_leave() -> None:
    values = rectified(400, 10)
    values[:, 6] = values[:, :6] @ np.arange(1, 7) + 0.1 * np.random.default_rng(0).normal(size=400)
    left = by_all_others(np.corrcoef(values.T))
    expected = [left_by(values, each, [other for other in range(10) if other != each]) for each in range(10)]
    np.testing.assert_allclose(left, expected, rtol=1e-2, atol=1e-6)
    assert (by_all_others(np.ones((3, 3)) - 1e-9) < 1e-6).all()      # indefinite, by rounding
    assert not by_all_others(np.zeros((0, 0))).size


def test_sums_that_nearly_cancel_are_not_believed() -> None:
    """f = 1000 (a − b) with a ≈ b: rounding of the covariance would decide."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(1000, 6))
    values[:, 1] = values[:, 0] + 1e-3 * rng.normal(size=1000)
    values[:, 2] = 1000 * (values[:, 1] - values[:, 0])
    facts = known(values)
    alone = multiples(facts, np.zeros((6, 6), bool), None)
    found = sums(facts, alone, 3, RESIDUAL)
    assert found.removable[:2].sum() == 1 and not found.removable[2]
    values[:, 1] = values[:, 0] + 0.03 * rng.normal(size=1000)
    values[:, 2] = values[:, 1] - values[:, 0]
    correlation = np.corrcoef(values.T)
    found = combinations(correlation, 3, RESIDUAL)
    assert found.unexplained[2] < 1e-6 and found.uncertain[2] > RESIDUAL**2 > found.uncertain[0]
    assert not removable(correlation, found, np.arange(6) == 2, RESIDUAL)[1].any()
    assert removable(correlation, found, np.arange(6) == 0, RESIDUAL)[1].any()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 5))
def test_what_can_go_is_reproduced_by_what_stays(seed: int, rank: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(300, rank)) @ rng.normal(size=(rank, 12)) + 0.003 * rng.normal(size=(300, 12))
    values[:, 4] = 1.5 * values[:, 2] + 2
    facts = known(values)
    groups = multiples(facts, alike(facts, RESIDUAL), None)
    found = sums(facts, groups, 3, RESIDUAL)
    stays = np.flatnonzero(~found.removable)
    assert rank > 3 or found.removable.sum() >= 4
    for each in np.flatnonzero(found.removable):
        assert left_by(values, each, stays) <= RESIDUAL**2
        if not groups.double[each]:
            assert np.isin(found.terms[each][found.terms[each] >= 0], stays).all()


def test_of_a_circle_of_sums_that_goes_which_went_before() -> None:
    values = rectified(500, 6)
    values[:, 5] = values[:, 3] + values[:, 4]
    correlation = np.corrcoef(values.T)
    found = combinations(correlation, 3, RESIDUAL)
    every = np.ones(6, bool)
    assert removable(correlation, found, every, RESIDUAL)[1].sum() == 1
    for each in (3, 4, 5):
        assert np.flatnonzero(removable(correlation, found, every, RESIDUAL, np.arange(6) == each)[1]).tolist() == [each]
        assert not removable(correlation, found, np.arange(6) < 3, RESIDUAL)[1].any()


@pytest.mark.parametrize(("filters", "terms", "residual"), [(12, 1, 0.3), (12, 2, 0.3), (10, 3, 0.3), (40, 1, 0.1)])
def test_so_few_rows_give_no_luck(filters: int, terms: int, residual: float) -> None:
    """Independent normal filters: the best of all subsets, over 200 layers; with two thirds of the rows luck is there."""
    needed = rows_needed(filters, terms, residual)
    subsets = [(*of, each) for each in range(filters) for of in itertools.combinations(range(filters), terms) if each not in of]
    of, target = np.array(subsets)[:, :-1], np.array(subsets)[:, -1]
    lucky = {}
    for rows in (needed, max(terms + 3, needed * 2 // 3)):
        rng = np.random.default_rng(0)
        lucky[rows] = 0
        for _ in range(200):
            correlation = np.corrcoef(rng.normal(size=(rows, filters)).T)
            onto = correlation[target, of.T].T[..., None]
            fit = np.linalg.solve(correlation[of[:, :, None], of[:, None]], onto)
            lucky[rows] += (1 - (fit * onto).sum(axis=(1, 2))).min() <= residual**2
    assert lucky[needed] <= 5 and min(lucky) < needed and lucky[min(lucky)] > lucky[needed]


def test_rows_needed_grow_with_what_there_is_to_choose_from() -> None:
    assert [rows_needed(filters, 3, 0.02) for filters in (8, 64, 512, 2048)] == sorted(
        rows_needed(filters, 3, 0.02) for filters in (8, 64, 512, 2048)
    )
    assert rows_needed(64, 1, 0.02) < rows_needed(64, 3, 0.02) < rows_needed(64, 3, 0.5)
    assert rows_needed(2, 3, 0.02) == 5


def test_filters_that_fire_together_once_are_not_called_alike() -> None:
    values = np.zeros((500, 4))
    values[17] = [1, 2, 3, 0]
    values[:, 3] = np.random.default_rng(0).normal(size=500)
    facts = known(values)
    assert facts.effective[:3] == pytest.approx(1, rel=0.01) and 30 < facts.effective[3] < 500
    assert facts.correlation[0, 1] == pytest.approx(1)
    assert not alike(facts, RESIDUAL).any()
    assert facts.enough(3, RESIDUAL).tolist() == [False, False, False, True]


def test_few_rows_say_nothing_of_sums() -> None:
    values = rectified(39, 8)
    values[:, 5] = values[:, 0] + values[:, 1]
    facts = known(values)
    found = sums(facts, multiples(facts, alike(facts, RESIDUAL), None), 3, RESIDUAL)
    assert np.isnan(found.unexplained).all() and not found.removable.any() and (found.terms == -1).all()


def test_what_float32_cannot_square_is_no_variance() -> None:
    """Batches are squared in float32: of so faint a filter only what the batches' means differ by is left."""
    values = rectified(400, 8).astype(np.float32)
    values[:, 3] *= np.float32(1e-35)
    fold = MomentFold()
    for batch in np.split(values[:, None], 2):
        fold.add(batch)
    given = fold.result()
    facts = moments(given["moment_mean"], given["moment_covariance"], 400, values.min(axis=0), values.max(axis=0))
    assert not facts.varies[3] and facts.varies.sum() == 7
    found = multiples(facts, alike(facts, RESIDUAL), None)
    assert not sums(facts, found, 3, RESIDUAL).removable.any()


def test_what_rounding_leaves_of_a_constant_is_no_variance() -> None:
    values = np.full((100, 3), 7.0) + np.random.default_rng(0).normal(size=(100, 3)) * [1e-6, 1e-3, 1]
    values[:, 0] = np.float32(7) + np.random.default_rng(1).integers(0, 2, 100) * np.spacing(np.float32(7))
    assert known(values).varies.tolist() == [False, True, True]


def test_the_same_weights_on_other_inputs_are_no_double() -> None:
    facts = known(rectified(400, 3))
    found = multiples(facts, alike(facts, RESIDUAL), np.array([0, 0, -1]))
    assert (found.group == -1).all() and (found.by == "").all()


def test_of_filters_that_are_coupled_nothing_goes() -> None:
    facts = known(rectified(400, 3))
    found = no_sums(multiples(facts, np.zeros((3, 3), bool), None), 2)
    assert not found.removable.any() and found.terms.shape == (3, 2) and np.isnan(found.unexplained).all()


def test_one_filter_is_a_layer() -> None:
    found = combinations(np.ones((1, 1)), 3, RESIDUAL)
    assert isinstance(found, Combinations) and (found.terms == -1).all() and found.unexplained.tolist() == [1]
    facts = moments(np.ones(1), np.ones((1, 1)), 100, np.zeros(1), 2 * np.ones(1))
    alone = sums(facts, multiples(facts, alike(facts, RESIDUAL), None), 3, RESIDUAL)
    assert not alone.removable.any()
