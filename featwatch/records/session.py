"""What is recorded of the training as a whole: sessions, the probe, epochs, and the journal."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from featwatch.records.base import Record, array, picture


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Session(Record):
    """One opening of the log by a `fit`: what is watched and how.  `epoch` is the first one it can record.

    A later session supersedes every older record from its first epoch on.
    """

    kind: ClassVar[str] = "session"
    per_layer: ClassVar[bool] = False

    started: float                      # seconds since 1970
    layers: tuple[Mapping[str, Any], ...] = ()   # `LayerInfo.as_dict()` in graph order
    recorders: Mapping[str, Any] = field(default_factory=dict)   # recorder name -> its options
    schedule: str = ""
    model: str = ""
    epochs_planned: int = -1            # last epoch that `fit` was asked for; −1 = not known
    versions: Mapping[str, str] = field(default_factory=dict)
    tap: str = ""                       # how layers were read: "graph" or "calls", then ", jit" or ", eager" where that is so
    outputs: tuple[str, ...] = ()       # names of the model's outputs
    output: str = ""                    # the one that holds the class scores; "" = none does


# What `LayerInfo.saving_note` says of a layer whose filters cannot go, because what they give the model gives.
AN_OUTPUT = "an output of the model"


@dataclass(frozen=True, kw_only=True)
class LayerInfo:
    """A watched layer, as the page and `Run.layers` show it."""

    name: str
    type: str                           # "Conv2D", "Dense", …
    shape: tuple[int | None, ...]       # of the tensor that was read, without the batch axis
    filters: int                        # size of its last axis
    tapped: str                         # name of the layer whose output was read (the activation that applies)
    activation: str                     # name of that activation, "linear" where there is none
    parameters: int
    features: int                       # length of the flattened feature tensor
    sketch: int                         # length of what was kept of it; equal to `features` where that is exact
    path: tuple[str, ...] = ()          # names of the nested models around it
    note: str = ""
    # The receptive field of the layer's units at the model's input, per spatial axis of it: unit u sees from
    # field_offset + u · field_stride on, field_size wide; that may reach beyond the input.  Empty = not known.
    field_size: tuple[int, ...] = ()
    field_stride: tuple[int, ...] = ()
    field_offset: tuple[int, ...] = ()
    field_input: tuple[int, ...] = ()   # spatial shape of that input
    field_kind: str = ""                # "exact", "superset", "measured" (perhaps too small), or why it is not known
    # Counted from the graph: multiply-adds of the layer for one sample, and what one filter less would save, with its
    # batch normalisation and the weights that its consumers have for it.  −1 = not known; the note says why, or what is left out.
    multiply_adds: int = -1
    filter_parameters: int = -1
    filter_multiply_adds: int = -1
    saving_note: str = ""
    reads_input: bool = False           # whether the model's input enters it, but for rescaling, normalisation and padding

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @staticmethod
    def of(entry: Any) -> LayerInfo | None:
        """What a session's entry for a layer says; None where it is not one."""
        if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
            return None
        known = {field.name for field in dataclasses.fields(LayerInfo)}
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in entry.items() if name in known
        }
        try:
            return LayerInfo(**values)
        except TypeError:
            return None


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ProbeRecord(Record):
    """The fixed samples that are looked at every time."""

    kind: ClassVar[str] = "probe"
    per_layer: ClassVar[bool] = False

    labels: np.ndarray = array("int32", "samples")      # −1 = no label
    indices: np.ndarray = array("int64", "samples")     # rows of the source that the samples are
    class_names: tuple[str, ...] = ()
    source_size: int = 0                                # samples in the source that these were drawn from
    thumbnails: bytes = picture()                       # one sprite, row by row
    thumbnail_width: int = 0
    thumbnail_height: int = 0
    thumbnail_columns: int = 0
    thumbnail_note: str = ""                            # how channels and values were turned into colours
    targets: np.ndarray = array("float32", "samples", "targets", optional=True)     # of a regression
    attributes: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)  # the user's columns: name -> one value per sample
    notes: tuple[str, ...] = ()                         # how the samples were drawn, in sentences

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class EpochLog(Record):
    """What Keras said of an epoch, and what watching it cost the training thread."""

    kind: ClassVar[str] = "epoch"
    per_layer: ClassVar[bool] = False

    metrics: Mapping[str, float] = field(default_factory=dict)   # Keras' logs: loss, accuracy, val_loss, …
    elapsed_seconds: float = math.nan                   # since the session was opened
    blocked_seconds: float = math.nan                   # for which training waited for this epoch's snapshot
    # What watching has cost since the session was opened: recorder (or "forward pass", "writing", …) ->
    # "blocked_seconds" (of the training thread), "computed_seconds" (anywhere), "bytes" (written).
    cost: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def numbers(self) -> dict[str, float]:
        return {**super().numbers(), **{name: float(value) for name, value in self.metrics.items()}}


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Journal(Record):
    """What was skipped, thinned, approximated or switched off since the last epoch, in words.

    Each entry is a dict with `kind` ("thinned", "failed", "worker", "weights", "note", "alert"), `text`,
    and where they apply `epoch`, `layer` and `recorder`.  An entry of the kind "alert" also holds, under
    `alert`, what `Alert.as_dict` gives: an alert is entered when it is raised, when it changes, and when it
    is resolved.
    """

    kind: ClassVar[str] = "journal"
    per_layer: ClassVar[bool] = False

    entries: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Closing(Journal):
    """What was noted while a `fit` ended, after the journal of its last epoch.

    A kind of its own: of two records of one kind and epoch, TensorBoard's loaders serve different ones.
    """

    kind: ClassVar[str] = "closing"
