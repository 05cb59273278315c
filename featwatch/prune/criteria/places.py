"""Where in a running model the values of candidates are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from featwatch.layers import Site, layers_of
from featwatch.prune.anatomy import Anatomy
from featwatch.prune.candidates import Candidates
from featwatch.prune.words import several


@dataclass(frozen=True, eq=False)
class Place:
    """A layer that makes candidates of other units, and where its values are: after the activation that applies."""

    name: str
    site: Site
    places: np.ndarray                  # (units,) int64 of candidates; −1 = the unit stays


def places_of(anatomy: Anatomy, candidates: Candidates) -> tuple[list[Place], list[str]]:
    """Where candidates are made, and the names of layers that make some and cannot be read."""
    wanted = {
        name: member for name, member in candidates.members.items() if member.mixes and (member.places >= 0).any()
    }
    sites = {site.name: site for site in layers_of(anatomy.model).sites}
    found = [Place(name, sites[name], member.places) for name, member in wanted.items() if name in sites]
    return found, [name for name in wanted if name not in sites]


def unread(names: list[str]) -> list[str]:
    """A sentence on layers that could not be read, or none."""
    return [f"of {several(names)} the criterion says nothing: their values cannot be read"] if names else []
