"""What a recorder is: the reductions it needs of a layer, and the analysis that turns them into a record."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from featwatch.records import LayerInfo, Record


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerSnapshot:
    """One layer at one epoch, as the shared forward pass over the probe reduced it.  Arrays only."""

    epoch: int
    info: LayerInfo
    labels: np.ndarray                          # (samples,) int32, −1 = no label
    reductions: Mapping[str, np.ndarray]        # name -> (samples, …) float32, see `featwatch.reductions`
    weights: np.ndarray | None = None           # (filters, weights per filter) float32
    bias: np.ndarray | None = None              # (filters,) float32
    distance_error: float = 0.0                 # relative RMS error of distances between the kept features
    previous: Record | None = None              # this recorder's last record of this layer
    results: Mapping[str, Record] = field(default_factory=dict)   # kind -> record of what this recorder builds on

    @property
    def layer(self) -> str:
        return self.info.name


class Recorder(ABC):
    """One kind of recording.  A subclass holds its options, names what it needs, and analyses one layer at a time.

    `analyse` runs in the worker process (unless `in_worker` is false): it must be pure, take its
    randomness from a seed among its options, and import neither Keras nor TensorFlow.
    """

    name: ClassVar[str]                         # as in `Session.recorders`
    produces: ClassVar[type[Record]]
    reductions: ClassVar[tuple[str, ...]] = ()  # names of functions in `featwatch.reductions`
    builds_on: ClassVar[tuple[type[Recorder], ...]] = ()
    in_worker: ClassVar[bool] = True            # False: so cheap that it runs where training runs, and survives its death

    @abstractmethod
    def analyse(self, snapshot: LayerSnapshot) -> Record | None:
        """The record of this layer at this epoch, or None where there is nothing to say."""

    def options(self) -> dict[str, Any]:
        """The recorder's options as plain values, for the log."""
        return {
            name: value if isinstance(value, (bool, int, float, str, type(None))) else getattr(value, "__name__", repr(value))
            for name, value in vars(self).items()
            if not name.startswith("_")
        }
