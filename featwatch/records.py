"""What is recorded: frozen dataclasses of NumPy arrays and plain values, nothing else.

Every record belongs to an epoch and, where `per_layer` is true, to a layer.  A field is one of

* a scalar (``int``, ``float``, ``bool``, ``str``), stored in the record's JSON header; a float that
  is not known is NaN;
* a plain JSON value (``tuple``, ``dict``), stored there as well;
* an array, declared with `array`, stored as one little-endian blob;
* a picture, declared with `picture`, stored as the bytes of a PNG file.

`wire` turns records into blobs and back by these declarations, so a new record needs a class here
and nothing there.  Adding a field with a default keeps old logs readable.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

# Why a filter is dead, or "" for one that is alive.  Closed: a log may hold nothing else.
CAUSES = ("", "no energy", "negative weights", "negative bias", "unexplained")


def array(dtype: str, *axes: str) -> Any:
    """Declare an array field: its dtype ("float32", "int32", "bool", "str", …) and its axes by name."""
    return field(metadata={"dtype": dtype, "axes": axes})


def picture() -> Any:
    """Declare a field that holds the bytes of a PNG file, or nothing (``b""``)."""
    return field(default=b"", metadata={"picture": True})


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Record:
    """What all records share: the epoch (k = the state after k epochs of training) and the layer."""

    kind: ClassVar[str]
    per_layer: ClassVar[bool] = True
    # Numbers that are also logged as ordinary TensorBoard scalars, `<name>/<layer>`.
    headlines: ClassVar[tuple[str, ...]] = ()

    epoch: int
    layer: str = ""

    def __repr__(self) -> str:
        """The fields in short: arrays by their shapes, pictures by their sizes."""
        fields = ", ".join(f"{f.name}={_short(getattr(self, f.name))}" for f in dataclasses.fields(self))
        return f"{type(self).__name__}({fields})"

    def numbers(self) -> dict[str, float]:
        """The record's scalar numbers by name: what a chart over epochs needs, without any array."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {
            # A log may hold whole numbers that no float can.
            name: float(value) if isinstance(value, float) or abs(value) < 1 << 63 else math.nan
            for name, value in values.items()
            if name != "epoch" and isinstance(value, (bool, int, float))
        }


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    text = f"{value:.6g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= 80 else text[:79] + "…"


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
    tap: str = ""                       # how layers were read: "graph, jit" or "graph"


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

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


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

    def numbers(self) -> dict[str, float]:
        return {**super().numbers(), **{name: float(value) for name, value in self.metrics.items()}}


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Journal(Record):
    """What was skipped, thinned, approximated or switched off since the last epoch, in words.

    Each entry is a dict with `kind` ("thinned", "failed", "worker", "weights", "note"), `text`, and
    where they apply `epoch`, `layer` and `recorder`.
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


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Predictions(Record):
    """The model's class scores for the probe."""

    kind: ClassVar[str] = "predictions"
    per_layer: ClassVar[bool] = False
    headlines: ClassVar[tuple[str, ...]] = ("accuracy",)

    classes: np.ndarray = array("int32", "samples")     # the class with the highest score
    certainty: np.ndarray = array("float32", "samples") # its probability
    scores: np.ndarray = array("float32", "samples", "classes")
    accuracy: float = math.nan                          # over the labelled samples of the probe


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Embedding(Record):
    """A 2-D layout of the probe set by one layer's flattened feature tensors (row E1)."""

    kind: ClassVar[str] = "embedding"
    headlines: ClassVar[tuple[str, ...]] = ("trustworthiness",)

    points: np.ndarray = array("float32", "samples", "plane")
    method: str = "umap"
    trustworthiness: float = math.nan                   # Venna & Kaski 2001, at k = `neighbors`
    neighbors_kept: float = math.nan                    # share of the k nearest feature-space neighbours that stay so
    neighbors: int = 15
    started_from: int = -1                              # epoch whose layout was the start; −1 = a fresh start
    features: int = 0                                   # length of the flattened feature tensor
    sketch: int = 0                                     # length of what distances were computed on
    distance_error: float = 0.0                         # relative RMS error of sketched distances, measured
    elapsed_seconds: float = math.nan                   # in the worker


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Clustering(Record):
    """DBSCAN on an embedding (row D1)."""

    kind: ClassVar[str] = "clusters"
    headlines: ClassVar[tuple[str, ...]] = ("count",)

    labels: np.ndarray = array("int32", "samples")      # −1 = noise
    count: int = 0
    noise_fraction: float = math.nan
    eps: float = math.nan                               # the value used, in the layout's units
    min_samples: int = 5
    purity: float = math.nan                            # over the samples that are in a cluster and labelled
    adjusted_rand: float = math.nan                     # labelled samples, noise as a cluster of its own
    normalized_mutual_info: float = math.nan


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LayerSeparation(Record):
    """How well the classes are separated in a layer's feature space, not in the plane (row E11)."""

    kind: ClassVar[str] = "separation"
    headlines: ClassVar[tuple[str, ...]] = ("knn_accuracy", "silhouette")

    knn_accuracy: float = math.nan                      # leave-one-out, majority of `neighbors`
    silhouette: float = math.nan                        # mean over the labelled samples
    neighbors: int = 15
    samples: int = 0                                    # labelled samples that were used
    features: int = 0
    sketch: int = 0
    distance_error: float = 0.0


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LayerHealth(Record):
    """What each filter of a layer does over the probe set, and its weights (row H3)."""

    kind: ClassVar[str] = "health"
    headlines: ClassVar[tuple[str, ...]] = ("dead_count",)

    energy: np.ndarray = array("float32", "filters")            # sum of squared weights
    negative_fraction: np.ndarray = array("float32", "filters") # share of weights < 0
    bias: np.ndarray = array("float32", "filters")              # NaN where the layer has none
    active_fraction: np.ndarray = array("float32", "filters")   # share of samples × positions with a value > 0
    max_activation: np.ndarray = array("float32", "filters")
    min_activation: np.ndarray = array("float32", "filters")
    mean_activation: np.ndarray = array("float32", "filters")
    dead: np.ndarray = array("bool", "filters")
    cause: np.ndarray = array("str", "filters")                 # one of `CAUSES`
    group: np.ndarray = array("int32", "filters")               # redundant group; −1 = alone
    activation: str = ""                                        # the activation whose test for "dead" was used
    test: str = ""                                              # that test, in words

    @property
    def dead_count(self) -> int:
        return int(np.count_nonzero(self.dead))

    def numbers(self) -> dict[str, float]:
        return {
            "filters": float(len(self.dead)),
            "dead_count": float(self.dead_count),
            "active_fraction": float(np.mean(self.active_fraction)) if len(self.dead) else math.nan,
        }


KINDS: dict[str, type[Record]] = {
    cls.kind: cls
    for cls in (
        Session, ProbeRecord, EpochLog, Journal, Closing,
        Predictions, Embedding, Clustering, LayerSeparation, LayerHealth,
    )
}  # fmt: skip
