"""Filters that really go: plans of what to remove, new smaller models, and the same model made smaller in the middle of fit.

The names are loaded when they are first used: importing this package imports neither Keras nor TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from featwatch.doors import door

_PUBLIC = {
    "Plan": "featwatch.prune.planned",
    "plan": "featwatch.prune.planning",
    "plan_from": "featwatch.prune.from_alerts",
    "Unsupported": "featwatch.prune.surgery.unsupported",
    "resumed": "featwatch.prune.surgery",
    "revive": "featwatch.prune.reviving",
    "Revived": "featwatch.prune.reviving",
    "removable_blocks": "featwatch.prune.blocks",
    "without_blocks": "featwatch.prune.blocks",
}

__all__ = [*_PUBLIC]

if TYPE_CHECKING:
    from featwatch.prune.blocks import removable_blocks as removable_blocks
    from featwatch.prune.blocks import without_blocks as without_blocks
    from featwatch.prune.from_alerts import plan_from as plan_from
    from featwatch.prune.planned import Plan as Plan
    from featwatch.prune.planning import plan as plan
    from featwatch.prune.reviving import Revived as Revived
    from featwatch.prune.reviving import revive as revive
    from featwatch.prune.surgery import resumed as resumed
    from featwatch.prune.surgery.unsupported import Unsupported as Unsupported

__getattr__, __dir__ = door(__name__, _PUBLIC)
