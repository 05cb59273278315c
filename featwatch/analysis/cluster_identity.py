"""Which clusters of one epoch are those of the epoch before, and what became of the others (row D2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

SHARED = 0.5        # of the smaller one's members two clusters must share to be the same one


@dataclass(frozen=True, eq=False)
class Matched:
    """Who the clusters of an epoch are."""

    identities: np.ndarray                  # (clusters,) int32
    next_identity: int                      # the first number that no cluster has had yet
    changes: tuple[dict[str, Any], ...]     # as `featwatch.records.Clustering.changes`, most samples first


def matched(labels: np.ndarray, before: np.ndarray, identities: np.ndarray, next_identity: int) -> Matched:
    """The identities of the clusters `labels`, and the changes since the clustering `before` of the same samples.

    Arguments:
        labels, before: (samples,) the cluster of each sample, 0 … count − 1, −1 = noise.
        identities: (clusters of `before`,) their identities.
        next_identity: the first number that is free.

    Two clusters may be the same one where they share at least half of the smaller one's members: not of
    both, for a cluster that takes in noise or loses its rim to it, as happens with every other radius, stays
    what it is.  Of the ways to pair such clusters off the one counts whose sum of Jaccard indices is
    greatest, so that of a cluster's parts the largest keeps its identity.  What has no partner gets a new
    number; numbers are never used again.

    An old cluster is split where new ones consist of its members by more than half, at least two of them, and
    hold at least half of it; merged are clusters of which the same can be said with old and new exchanged.
    The samples of a split or merge are those outside its largest part.  A new identity that neither explains was
    born, an old one that neither explains is gone.  (The cases: Spiliopoulou et al. 2006, *MONIC*.)

    Raises ValueError where the labels leave a number out.

    >>> found = matched(np.array([0, 0, 1, 1, 1]), np.zeros(5, int), np.array([4]), next_identity=7)
    >>> found.identities.tolist(), found.next_identity
    ([7, 4], 8)
    >>> found.changes
    ({'kind': 'split', 'from': [4], 'into': [4, 7], 'samples': 2},)
    """
    # The clusters in an order that does not depend on the numbers that they happen to have.
    by_place, by_name = _by_first_member(labels, int(labels.max(initial=-1)) + 1), np.argsort(identities)
    identities = identities[by_name]
    shared = _shared(before, labels, len(by_name))[np.ix_(by_name, by_place)]
    old, new = _sizes(before, len(by_name))[by_name], _sizes(labels, len(by_place))[by_place]
    now = np.full(len(new), -1, np.int32)
    for i, j in _pairs(shared, old, new):
        now[j] = identities[i]
    fresh = np.flatnonzero(now < 0)
    now[fresh] = np.arange(next_identity, next_identity + len(fresh))
    splits, merges = _parts(shared, old, new), _parts(shared.T, new, old)
    changes = [_change("split", [identities[i]], now[parts], shared[i, parts]) for i, parts in splits.items()]
    changes += [_change("merge", identities[parts], [now[j]], shared[parts, j]) for j, parts in merges.items()]
    told_from = {name for change in changes for name in change["from"]}
    told_into = {name for change in changes for name in change["into"]}
    born = [j for j in fresh if int(now[j]) not in told_into]
    gone = [i for i, name in enumerate(identities.tolist()) if name not in now and name not in told_from]
    changes += [{"kind": "born", "from": [], "into": [int(now[j])], "samples": int(new[j])} for j in born]
    changes += [{"kind": "gone", "from": [int(identities[i])], "into": [], "samples": int(old[i])} for i in gone]
    changes.sort(key=lambda change: (-change["samples"], change["kind"], change["from"], change["into"]))
    return Matched(_placed(now, by_place), next_identity + len(fresh), tuple(changes))


def first(labels: np.ndarray, next_identity: int = 0) -> Matched:
    """The identities of clusters that have none before them: numbers from `next_identity` on, by their first samples."""
    order = _by_first_member(labels, int(labels.max(initial=-1)) + 1)
    names = np.arange(next_identity, next_identity + len(order), dtype=np.int32)
    return Matched(_placed(names, order), next_identity + len(order), ())


def _placed(values: np.ndarray, order: np.ndarray) -> np.ndarray:
    """`values`, which are of the clusters `order`, by cluster."""
    placed = np.empty_like(values)
    placed[order] = values
    return placed


def _shared(before: np.ndarray, labels: np.ndarray, old: int) -> np.ndarray:
    """(old clusters, new clusters) int64: how many samples are in both."""
    shared = np.zeros((old, int(labels.max(initial=-1)) + 1), np.int64)
    both = (before >= 0) & (labels >= 0)
    np.add.at(shared, (before[both], labels[both]), 1)
    return shared


def _sizes(labels: np.ndarray, count: int) -> np.ndarray:
    return np.bincount(labels[labels >= 0], minlength=count)


def _by_first_member(labels: np.ndarray, count: int) -> np.ndarray:
    """The clusters in an order that does not depend on their numbers."""
    members, places = np.unique(labels, return_index=True)
    if len(places := places[members >= 0]) != count:
        raise ValueError(f"the labels {members.tolist()} leave a number out; clusters are numbered from 0 on")
    return np.argsort(places)


def _pairs(shared: np.ndarray, old: np.ndarray, new: np.ndarray) -> list[tuple[int, int]]:
    """(old, new) clusters that are the same one."""
    from scipy.optimize import linear_sum_assignment

    similar = shared / np.maximum(old[:, None] + new[None, :] - shared, 1)
    similar[shared < SHARED * np.minimum(old[:, None], new[None, :])] = 0.0
    rows, columns = linear_sum_assignment(similar, maximize=True)
    return [(i, j) for i, j in zip(rows.tolist(), columns.tolist(), strict=True) if similar[i, j] > 0]


def _parts(shared: np.ndarray, whole: np.ndarray, parts: np.ndarray) -> dict[int, np.ndarray]:
    """Row -> the columns that it is torn into, the largest first: at least two, that hold at least half of it."""
    torn = {}
    belongs = 2 * shared > parts[None, :]
    for i in range(len(whole)):
        columns = np.flatnonzero(belongs[i])
        if len(columns) >= 2 and 2 * shared[i, columns].sum() >= whole[i]:
            torn[i] = columns[np.argsort(-shared[i, columns], kind="stable")]
    return torn


def _change(kind: str, before: Any, after: Any, sizes: np.ndarray) -> dict[str, Any]:
    return {
        "kind": kind,
        "from": [int(name) for name in before],
        "into": [int(name) for name in after],
        "samples": int(sizes.sum() - sizes.max()),
    }
