"""Which filters of a layer a weighted sum of a few others reproduces, and which can go at once (row H5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from featwatch.analysis.similarity import ROUNDING, Moments, Multiples

SETTLED = 1e-6              # share of the variance below which no further filter is added
# Of a filter's variance what those chosen before must leave for it to be added: sums of filters that nearly cancel say nothing.
ANEW = 1e-4
# RMS that all others leave up to which a better sum is looked for, even if not yet good enough to let the filter go.
NEARLY = 0.1
STARTS = 8                  # first terms that are tried where the best one led to no good sum, …
MOST_TRIED = 256            # … for so many filters at most, the nearest to a good sum first
_BLOCK = 256                # filters at once: what is kept of them goes with their number times that of all


@dataclass(frozen=True, eq=False)
class Combinations:
    """The best sums that were found, of standardised filters: with mean 0 and deviation 1."""

    terms: np.ndarray           # (filters, few) int64, −1 fills up
    weights: np.ndarray         # (filters, few) float64, 0 there
    unexplained: np.ndarray     # (filters,) share of the variance that is left

    @property
    def uncertain(self) -> np.ndarray:
        """What rounding may hide of `unexplained`, (filters,): the more, the more the terms cancel each other."""
        return ROUNDING * np.square(1 + np.abs(self.weights).sum(axis=1))


@dataclass(frozen=True, eq=False, kw_only=True)
class Sums:
    """The sums, and what can go, as `featwatch.records.Similarity` has them."""

    terms: np.ndarray
    coefficients: np.ndarray
    unexplained: np.ndarray
    removable: np.ndarray


def sums(moments: Moments, multiples: Multiples, few: int, residual: float, before: np.ndarray | None = None) -> Sums:
    """What sums of others say of the filters, one of each group standing for it, and which filters can go at once.

    Arguments:
        few: terms of a sum, at most.
        residual: the RMS, of a filter's deviation, that a sum may leave.
        before: (filters,) bool: see `removable`.
    """
    count, double = len(moments.mean), multiples.double
    terms, coefficients = np.full((count, few), -1, np.int32), np.zeros((count, few), np.float32)
    unexplained, going = np.where(double, multiples.residual, np.float32(np.nan)), double.copy()
    told = moments.enough(few, residual) & ~double
    members = np.flatnonzero(moments.varies & ~double)
    if told.any() and len(members) > 1:
        correlation = moments.correlation[np.ix_(members, members)]
        found = combinations(correlation, few, residual)
        allowed = (told & (multiples.group < 0))[members]
        found, going[members] = removable(correlation, found, allowed, residual, None if before is None else before[members])
        deviation = moments.deviation[members]
        mine, there = told[members], found.terms >= 0
        terms[members[mine]] = np.where(there, members[found.terms], -1)[mine]
        coefficients[members[mine]] = np.where(there, found.weights * deviation[:, None] / deviation[found.terms], 0.0)[mine]
        unexplained[members[mine]] = np.sqrt(found.unexplained[mine])
    return Sums(terms=terms, coefficients=coefficients, unexplained=unexplained, removable=going)


def no_sums(multiples: Multiples, few: int) -> Sums:
    """Of filters that cannot be told apart from the sum of all others, whatever they do: nothing, and none can go."""
    count = len(multiples.keep)
    return Sums(
        terms=np.full((count, few), -1, np.int32),
        coefficients=np.zeros((count, few), np.float32),
        unexplained=np.where(multiples.double, multiples.residual, np.float32(np.nan)),
        removable=np.zeros(count, bool),
    )


def combinations(correlation: np.ndarray, few: int, residual: float = 0.0) -> Combinations:
    """For each filter the at most `few` others, and their weights, whose sum comes closest to it.

    Arguments:
        correlation: (filters, filters) float64 of filters that vary.
        residual: √ of the share of the variance that is to be left at most.  Where the sum found leaves more, and all
            others together do not leave much more, each of its terms is replaced by a better one; and it is begun with the
            second best first term, the third, …; 0 = not.

    Forward selection by the correlations alone: at each step the filter is added that leaves least.  Chen, Billings & Luo
    1989, *Orthogonal least squares methods* (the greedy step); Rubinstein, Zibulevsky & Elad 2008, *Efficient
    Implementation of the K-SVD Algorithm using Batch Orthogonal Matching Pursuit* (by the Gram matrix, many targets at once);
    replacement: Miller 2002, *Subset Selection in Regression*, 3.3.  The best subset of all is not promised: of 640 sums of three
    planted among 128 filters of ten factors, forward selection misses 58, with replacement 9, with all `STARTS` none.
    """
    count = len(correlation)
    terms = np.full((count, few), -1)
    single = correlation.astype(np.float32)
    for start in range(0, count, _BLOCK):
        targets = np.arange(start, min(start + _BLOCK, count))
        terms[targets] = _forward(single, targets, few)
    weights, unexplained = _fitted(correlation, np.arange(count), terms)
    if residual <= 0 or few < 2:
        return Combinations(terms, weights, unexplained)
    possible = by_all_others(correlation) <= max(residual, NEARLY) ** 2
    for start in range(STARTS):
        wanted = np.flatnonzero(possible & (unexplained > residual**2))
        wanted = wanted[np.argsort(unexplained[wanted], kind="stable")][:MOST_TRIED]
        if not wanted.size:
            break
        trial = terms[wanted] if start == 0 else _forward(single, wanted, few, start)
        trial = _replaced(correlation, single, wanted, trial)
        leaves = _fitted(correlation, wanted, trial)[1]
        better = leaves < unexplained[wanted]
        terms[wanted[better]], unexplained[wanted[better]] = trial[better], leaves[better]
    weights, unexplained = _fitted(correlation, np.arange(count), terms)
    return Combinations(terms, weights, unexplained)


def by_all_others(correlation: np.ndarray) -> np.ndarray:
    """The share of its variance that all others together leave of each filter, (filters,), or a little less.

    1 / (R⁻¹)ⱼⱼ for the matrix R of correlations, which a small ridge keeps regular.
    """
    from scipy.linalg.lapack import dpotrf, dpotri

    if not len(correlation):
        return np.zeros(0)
    ridge = len(correlation) * 1e-9
    factor, failed = dpotrf(correlation + ridge * np.eye(len(correlation)))
    if failed:                      # rounding made it indefinite: nothing is known, and anything possible
        return np.zeros(len(correlation))
    return np.maximum(1 / np.diag(dpotri(factor)[0]) - 10 * ridge, 0.0)


def removable(
    correlation: np.ndarray, found: Combinations, allowed: np.ndarray, residual: float, before: np.ndarray | None = None
) -> tuple[Combinations, np.ndarray]:
    """Which filters can go at once because filters that stay reproduce them, (filters,) bool, and by which sums.

    Arguments:
        correlation, found: as given to `combinations`, and what it gave.
        allowed: (filters,) bool, those that may go.
        residual: √ of the share of the variance that a sum may leave.
        before: (filters,) bool, those that could go at the epoch before: they come first, so that it does not change from
            epoch to epoch which of f₁ = f₂ + f₃, f₂ = f₁ − f₃ and f₃ = f₁ − f₂ is named.  Then the least residual.

    Every term of one that goes stays.  Whenever the filters that go have doubled in number, the others are tried as sums of
    those alone that must stay by now: of filters that all lie in one plane each sum would keep others of them.
    """
    single, terms = correlation.astype(np.float32), found.terms.copy()
    left = found.unexplained + found.uncertain
    good = allowed & (left <= residual**2) & (terms >= 0).any(axis=1)
    first = np.zeros(len(left), bool) if before is None else before
    going, needed, next_try = np.zeros(len(left), bool), np.zeros(len(left), bool), 1
    for each in np.lexsort((np.arange(len(left)), left, ~first)):
        mine = terms[each][terms[each] >= 0]
        if not good[each] or going[each] or needed[each] or going[mine].any():
            continue
        going[each], needed[mine] = True, True
        if going.sum() >= next_try:
            next_try = 2 * int(going.sum())
            others = np.flatnonzero(good & ~going & ~needed)
            trial = _forward(single, others, terms.shape[1], among=needed)
            by_them = Combinations(trial, *_fitted(correlation, others, trial))
            enough = by_them.unexplained + by_them.uncertain <= residual**2
            going[others[enough]], terms[others[enough]] = True, trial[enough]
    return Combinations(terms, *_fitted(correlation, np.arange(len(left)), terms)), going


def _forward(
    single: np.ndarray, targets: np.ndarray, few: int, rank: int = 0, among: np.ndarray | None = None
) -> np.ndarray:
    """(targets, few): the terms chosen one by one, `among` some; `rank`: so many better first ones are passed over."""
    state = _State(single, targets, among)
    terms = np.full((len(targets), few), -1)
    for step in range(few):
        terms[:, step] = best = state.best(0 if step else rank)
        if step + 1 < few:
            state.choose(best)
    return terms


def _replaced(correlation: np.ndarray, single: np.ndarray, targets: np.ndarray, terms: np.ndarray) -> np.ndarray:
    """(targets, few): the terms, each of them in turn replaced by what leaves least with the others."""
    terms = terms.copy()
    left = _fitted(correlation, targets, terms)[1]
    for place in range(terms.shape[1]):
        state = _State(single, targets)
        for other in range(terms.shape[1]):
            if other != place:
                state.choose(terms[:, other])
        trial = terms.copy()
        trial[:, place] = state.best()
        leaves = _fitted(correlation, targets, trial)[1]
        better = leaves < left
        terms[better], left[better] = trial[better], leaves[better]
    return terms


class _State:
    """Of some filters, the targets, what those chosen so far leave: partial covariances by pivoted Cholesky steps."""

    def __init__(self, correlation: np.ndarray, targets: np.ndarray, among: np.ndarray | None = None) -> None:
        self._correlation = correlation                         # float32: enough to choose by
        self._columns = np.arange(len(targets))
        self._covariance = self._correlation[:, targets]       # (filters, targets), of each filter with the target
        self._variance = np.ones_like(self._covariance)         # of each filter
        self._variance[targets, self._columns] = 0.0            # a target is no term of its own
        if among is not None:
            self._variance[~among] = 0.0
        self._targets = targets
        self._left = np.ones(len(targets), np.float32)
        self._steps: list[np.ndarray] = []

    def best(self, rank: int = 0) -> np.ndarray:
        """Who leaves least if added, (targets,), after `rank` others; −1 where nothing is left, or nobody adds anything."""
        usable = self._variance > ANEW
        gain = np.square(self._covariance)
        np.divide(gain, self._variance, out=gain, where=usable)
        gain[~usable] = 0.0
        rank = min(rank, len(gain) - 1)
        chosen = np.argpartition(-gain, rank, axis=0)[rank] if rank else np.argmax(gain, axis=0)
        worth = (self._left > SETTLED) & (gain[chosen, self._columns] > SETTLED / 10)
        return np.where(worth, chosen, -1)

    def choose(self, chosen: np.ndarray) -> None:
        """Add one filter for each target; −1 adds none."""
        added = chosen >= 0
        variance = self._variance[chosen, self._columns]
        added &= variance > ANEW / 10
        row = self._correlation[:, chosen]
        for step in self._steps:
            row -= step * step[chosen, self._columns]
        row *= np.where(added, 1 / np.sqrt(np.where(added, variance, 1.0)), 0.0).astype(np.float32)
        share = row[self._targets, self._columns].copy()        # with the target itself: its partial covariance
        self._covariance -= row * share
        self._variance -= np.square(row)
        self._left -= np.square(share)
        self._steps.append(row)


def _fitted(correlation: np.ndarray, targets: np.ndarray, terms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least-squares weights of the terms, (targets, few), and the share of the variance that they leave, (targets,)."""
    there = terms >= 0
    among = correlation[terms[:, :, None], terms[:, None, :]]
    among = np.where(there[:, :, None] & there[:, None, :], among, np.eye(terms.shape[1]))
    onto = np.where(there, correlation[terms, targets[:, None]], 0.0)
    weights = np.linalg.solve(among, onto[..., None])[..., 0]
    left = 1 - 2 * (weights * onto).sum(axis=1) + np.einsum("ti,tij,tj->t", weights, among, weights)
    return weights, np.clip(left, 0.0, 1.0)
