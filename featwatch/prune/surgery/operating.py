"""Pruning a model in place, and undoing it."""

from __future__ import annotations

from collections.abc import Iterable

from featwatch.prune.anatomy import Anatomy


class Surgery:
    """What was done to a model, and how to undo it."""

    seconds: float                      # that it took, without tracing the training function again

    def undo(self) -> None:
        """Put back shapes, weights and the optimiser's state as they were right before; what was trained since is lost."""
        raise NotImplementedError


def operate(anatomy: Anatomy, groups: Iterable[int]) -> Surgery:
    """Remove these groups from the model that the anatomy is of, its compiled optimiser's state included.

    Raises:
        Unsupported: this Keras, or something about this model or optimiser, is not known to work; the model is untouched.
    """
    raise NotImplementedError
