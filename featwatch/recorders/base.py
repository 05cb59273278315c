"""What a recorder is: the reductions it needs of a layer, and the analysis that turns them into a record."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from featwatch.activations import Passing
from featwatch.analysis.neighbours import Distances
from featwatch.folding import Normalisation
from featwatch.records import LayerInfo, Record


@dataclass(frozen=True, eq=False)
class Before:
    """The layer before, of those that a recorder looks at: its name, and the reductions that the recorder wants of it."""

    layer: str
    reductions: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerSnapshot:
    """One layer at one epoch, as the shared forward pass over the probe reduced it.  Arrays only."""

    epoch: int
    info: LayerInfo
    labels: np.ndarray                          # (samples,) int32, −1 = no label
    reductions: Mapping[str, np.ndarray]        # name -> (samples, …), or what a fold gave: `featwatch.reductions`, `.folds`
    step: int = -1                              # optimiser updates done; −1 = the snapshot was made on a schedule of epochs
    generation: int = 0                         # how often the layer has got other filters in this training, by pruning
    weights: np.ndarray | None = None           # (filters, weights per filter) float32
    bias: np.ndarray | None = None              # (filters,) float32
    kernel: np.ndarray | None = None            # (rows, columns, inputs, filters), …; for recorders that want it
    inputs_per_filter: int = 0                  # channels, fastest in a row of `weights`, that a filter looks at; 0 = not known
    normalisation: Normalisation | None = None  # the batch normalisation right after the layer, where the activation follows that
    direct: bool = True                         # nothing but that, dropout and pooling between the layer and its activation
    passing: Passing = Passing()                # where that activation passes a gradient on
    distance_error: float = 0.0                 # relative RMS error of distances between the kept features
    previous: Record | None = None              # this recorder's last record of this layer
    previous_reductions: Mapping[str, np.ndarray] = field(default_factory=dict)   # what `previous` was made of, where kept
    results: Mapping[str, Record] = field(default_factory=dict)   # kind -> record of what this recorder builds on
    before: Before | None = None                # None = this layer is the first
    beside: Record | None = None                # this recorder's record of the layer before, at the same epoch, if there is one
    shared: dict[str, Distances] = field(default_factory=dict)    # what recorders of one layer compute once, by reduction

    @property
    def layer(self) -> str:
        return self.info.name

    def distances(self, reduction: str = "features") -> Distances:
        """The distances between the samples by a reduction, computed once for all recorders of the layer."""
        if reduction not in self.shared:
            self.shared[reduction] = Distances(self.reductions[reduction])
        return self.shared[reduction]


class NothingToSay(Exception):
    """Raised by `Recorder.analyse` where a layer cannot be analysed at this epoch; the message says why, for the journal.

    The recorder stays switched on: activations that are not finite today may be finite tomorrow.
    """

    layer = ""                                  # which one it is, where `ExplainingRecorder.explain` gives it

    def of(self, layer: str) -> NothingToSay:
        """The same, of a layer."""
        self.layer = layer
        return self


class Recorder(ABC):
    """One kind of recording.  A subclass holds its options, names what it needs, and analyses one layer at a time.

    `analyse` runs in the worker process (unless `in_worker` is false): it must be pure, take its
    randomness from a seed among its options, and import neither Keras nor TensorFlow.
    """

    name: ClassVar[str]                         # as in `Session.recorders`
    produces: ClassVar[type[Record]]
    reductions: tuple[str, ...] = ()            # names of functions in `featwatch.reductions`, and of `featwatch.folds.FOLDS`
    builds_on: ClassVar[tuple[type[Recorder], ...]] = ()
    remembers: tuple[str, ...] = ()             # reductions that it wants again as `previous_reductions` at the next epoch
    wants_before: ClassVar[tuple[str, ...]] = ()    # reductions that it wants of the layer before, as `before.reductions`
    wants_kernel: ClassVar[bool] = False        # whether it wants `kernel`
    in_worker: ClassVar[bool] = True            # False: so cheap that it runs where training runs, and survives its death
    # What it continues from in a layer that has other filters than at the last record: "" = nothing; "record" = of what it
    # remembers the record alone, which stands by sample; "all".
    outlasts: ClassVar[str] = ""

    layers: Any = None                          # its own choice of layers; None = the watch's
    schedule: Any = None                        # its own schedule; None = the watch's

    explains: ClassVar[bool] = False            # whether it is an `ExplainingRecorder`
    across: ClassVar[bool] = False              # whether it is an `AcrossRecorder`

    @abstractmethod
    def analyse(self, snapshot: LayerSnapshot) -> Record | None:
        """The record of this layer at this epoch, or None where there is nothing to say.

        Raises NothingToSay where the reason belongs in the journal.
        """

    def options(self) -> dict[str, Any]:
        """The recorder's options as plain values, for the log."""
        return {
            name: value if isinstance(value, (bool, int, float, str, type(None))) else getattr(value, "__name__", repr(value))
            for name, value in vars(self).items()
            if not name.startswith("_") and name not in ("reductions", "remembers")
        }

    def finite(self, snapshot: LayerSnapshot) -> tuple[np.ndarray, ...]:
        """This recorder's reductions of the snapshot, in their declared order.  Raises NothingToSay where one is not finite."""
        arrays = tuple(snapshot.reductions[name] for name in self.reductions)
        if not all(np.isfinite(array).all() for array in arrays):
            where = f"layer {snapshot.layer!r} at epoch {snapshot.epoch}"
            raise NothingToSay(f"activations of {where} are not finite (did the training diverge?)")
        return arrays


class AcrossRecorder(Recorder):
    """A recorder that compares layers: it is shown all of its layers at once, after each of them was analysed by itself.

    Each snapshot holds `previous`, this recorder's last record, and `previous_reductions`, what that was made of.
    It builds on nothing.
    """

    across = True

    @abstractmethod
    def analyse_layers(self, snapshots: Sequence[LayerSnapshot]) -> Record | None:
        """The record of these layers, in graph order, at this epoch, or None.  Raises NothingToSay as `analyse` does."""

    def analyse(self, snapshot: LayerSnapshot) -> Record | None:
        """Nothing: what there is to say comes from `analyse_layers`."""
        return None


@dataclass(frozen=True, eq=False, kw_only=True)
class Look:
    """The model itself at one epoch, for recorders that need its gradients."""

    model: Any
    probe: Any                                  # featwatch.Probe
    epoch: int
    step: int                                   # −1 on a schedule of epochs
    sites: Mapping[str, Any]                    # name -> featwatch.layers.Site, of the recorder's layers in graph order
    snapshots: Mapping[str, LayerSnapshot]      # of the same layers, with the recorder's reductions
    state: dict[str, Any]                       # the recorder's own; kept while model, plan and probe are the same
    # Whether this is one look more at the last snapshot, after all of the analysis: for recorders that `wait`.
    last: bool = False
    output: int = -1                            # which of the model's outputs holds the class scores; −1 = it cannot be told
    # Layer -> kind -> the last record of it that this training has analysed; the analysis may be some epochs behind.
    latest: Mapping[str, Mapping[str, Record]] = field(default_factory=dict)

    def shape(self, layer: str) -> tuple[int, ...]:
        """(…, filters) of what a layer gives for a sample."""
        return tuple(int(size or 1) for size in self.snapshots[layer].info.shape)


class ExplainingRecorder(Recorder):
    """A recorder that needs the model: it runs in the training thread, within an allowance of seconds of its own.

    Whatever it does to the model it must leave no trace of: no variable assigned, no layer's attribute changed
    when it returns, no global random state moved.  It imports what needs TensorFlow inside `explain`, because
    its file is loaded in the worker too.
    """

    in_worker = False
    explains = True
    waits: ClassVar[bool] = False               # whether it is shown the last snapshot again when everything is analysed

    @abstractmethod
    def explain(self, look: Look) -> Iterator[Record | NothingToSay]:
        """Records one by one as they are found, and what there is to say of layers that give none."""

    def analyse(self, snapshot: LayerSnapshot) -> Record | None:
        """Nothing: what there is to say comes from `explain`."""
        return None
