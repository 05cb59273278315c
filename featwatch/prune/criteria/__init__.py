"""How dispensable units are: one criterion a file.

A criterion gives, by layer, a score for each of its units; the least go first.  Scores of a layer are divided by their mean,
so that layers compare, and what several layers have to say about one group of units that go together is averaged.
"""

from __future__ import annotations

from featwatch.prune.criteria.tally import Tally

__all__ = ["CRITERIA", "NEED_PROBE", "Tally"]

CRITERIA = ("l2", "activity", "redundancy", "taylor", "random")
NEED_PROBE = frozenset({"activity", "redundancy", "taylor"})
