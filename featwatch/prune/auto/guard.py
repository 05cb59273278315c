"""The guard: whether what is monitored has got worse since the last epoch before a step."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from featwatch.errors import RefusedType, RefusedValue
from featwatch.options import one_of, real

# Whole words of names of metrics: "val_loss" has "loss", "lossless" has not.
_DOWN = frozenset({
    "loss", "error", "err", "mse", "mae", "mape", "msle", "rmse", "crossentropy", "divergence", "kld", "perplexity", "hinge",
    "logcosh", "deviance", "distance",
})  # fmt: skip
_UP = frozenset({
    "acc", "accuracy", "auc", "precision", "recall", "specificity", "sensitivity", "f1", "fbeta", "score", "iou", "dice",
    "jaccard", "r2", "similarity", "psnr", "ssim", "map", "bleu", "correlation", "kappa",
})  # fmt: skip


@dataclass(frozen=True)
class Guard:
    """What is monitored, and how much worse it may get.

    >>> guard = Guard("val_loss", 0.05, "min")
    >>> guard.worse(1.0, 1.04), guard.worse(1.0, 1.06), guard.worse(1.0, float("nan"))
    (False, True, True)
    >>> Guard("val_accuracy", 0.05, "max").worse(0.9, 0.86)
    False
    """

    monitor: str
    tolerance: float                    # of the value's size before the step
    better: str                         # "min" or "max"

    def worse(self, before: float, now: float) -> bool:
        """Whether a value now is worse than one before by more than the tolerance; one that is not finite is."""
        if not math.isfinite(now):
            return True
        if not math.isfinite(before):   # it cannot get worse than that
            return False
        allowed = self.tolerance * abs(before)
        return now > before + allowed if self.better == "min" else now < before - allowed

    def __str__(self) -> str:
        return f"{self.monitor}, {self.tolerance:.3g} worse at most"


def checked_guard(guard: Any) -> Guard | None:
    """The guard that an argument names: ("val_loss", 0.05), with "min" or "max" where the name does not tell; None = none.

    Raises:
        ValueError, TypeError: it names none, or the direction has to be told.
    """
    if guard is None:
        return None
    if not isinstance(guard, (tuple, list)) or len(guard) not in (2, 3) or not isinstance(guard[0], str) or not guard[0]:
        raise RefusedType(
            f"guard={guard!r}: give what to monitor and how much worse it may get, such as ('val_loss', 0.05), or None"
        )
    monitor = guard[0]
    tolerance = real("guard: how much worse", guard[1], 0.0)
    if len(guard) == 3:
        return Guard(monitor, tolerance, one_of("guard: which is better", guard[2], ("min", "max")))
    better = direction(monitor)
    if not better:
        raise RefusedValue(
            f"guard={guard!r}: whether a larger {monitor!r} is better cannot be told; "
            f"say so, ({monitor!r}, {tolerance:g}, 'max') or 'min'"
        )
    return Guard(monitor, tolerance, better)


def direction(monitor: str) -> str:
    """"min" or "max": which way a metric of this name gets better; "" where that cannot be told.

    >>> direction("val_loss"), direction("sparse_top_k_categorical_accuracy"), direction("loss_accuracy"), direction("size")
    ('min', 'max', '', '')
    """
    words = set(re.findall(r"[a-z]+[0-9]*", monitor.lower().replace("io_u", "iou").replace("_", " ")))
    down, up = bool(words & _DOWN), bool(words & _UP)
    if down == up:
        return ""
    return "min" if down else "max"
