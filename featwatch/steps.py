"""How many optimiser updates a training has done."""

from __future__ import annotations

from typing import Any


class StepCount:
    """Counts optimiser updates from what Keras says of batches, without reading the optimiser at each.

    With gradient accumulation several batches make one update.
    """

    def __init__(self) -> None:
        self.done = 0                   # updates so far
        self._started = False
        self._per_update = 1            # batches
        self._before = 0                # batches before this epoch, counted from the optimiser's first update
        self._batches = 0               # so far, as before

    def start(self, optimizer: Any) -> None:
        """Begin to count where the optimiser is, unless that was done."""
        inner = getattr(optimizer, "inner_optimizer", optimizer)        # of a LossScaleOptimizer
        self._per_update = int(getattr(inner, "gradient_accumulation_steps", None) or 1)
        if not self._started:
            self._started = True
            updates = int(optimizer.iterations) if optimizer is not None else 0
            self._before = self._batches = updates * self._per_update
            self.done = updates

    def begin_epoch(self) -> None:
        self._before = self._batches

    def reach(self, batch: int) -> int:
        """The updates done after the batch of this index in its epoch."""
        self._batches = self._before + batch + 1
        self.done = self.updates(self._batches)
        return self.done

    def updates(self, batches: int) -> int:
        """The updates that so many batches make."""
        return batches // self._per_update
