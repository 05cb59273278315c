"""What is recorded: one frozen dataclass for each kind of record.

NumPy only: the log's reader, the analysis worker and the TensorBoard plugin import neither Keras nor
TensorFlow.
"""

from __future__ import annotations

from featwatch.records.alert import SEVERITIES, Alert
from featwatch.records.base import Record, array, picture
from featwatch.records.events import SampleEvents
from featwatch.records.explained import (
    Attributions,
    ClassActivation,
    ClusterImages,
    ExemplarMaps,
    FactorGroups,
    FeatureArrangement,
    FeatureImages,
    FilterExemplars,
    MaximisingImages,
)
from featwatch.records.filters import (
    CAUSES,
    Histograms,
    Kernels,
    LayerHealth,
    Maps,
    Similarity,
    Specificity,
)
from featwatch.records.layers import LayerAlignment
from featwatch.records.pruning import ModelSize, Pruning, PruningOutlook
from featwatch.records.samples import Clustering, Embedding, GridMap, LayerSeparation, Predictions
from featwatch.records.session import AN_OUTPUT, Closing, EpochLog, Journal, LayerInfo, ProbeRecord, Session

__all__ = [
    "AN_OUTPUT", "CAUSES", "KINDS", "SEVERITIES", "Alert", "Attributions", "ClassActivation", "Closing", "ClusterImages",
    "Clustering", "Embedding", "EpochLog", "ExemplarMaps", "FactorGroups", "FeatureArrangement", "FeatureImages",
    "FilterExemplars", "GridMap", "Histograms", "Journal", "Kernels", "LayerAlignment", "LayerHealth", "LayerInfo",
    "LayerSeparation", "Maps", "MaximisingImages", "ModelSize", "Predictions", "ProbeRecord", "Pruning", "PruningOutlook",
    "Record", "SampleEvents", "Session", "Similarity", "Specificity", "array", "picture",
]  # fmt: skip

KINDS: dict[str, type[Record]] = {
    cls.kind: cls
    for cls in (
        Session, ProbeRecord, EpochLog, Journal, Closing,
        Predictions, Embedding, Clustering, LayerSeparation, LayerHealth,
        Histograms, FilterExemplars, FeatureImages, GridMap, LayerAlignment, SampleEvents,
        Similarity, Specificity, Kernels, Maps,
        ExemplarMaps, FeatureArrangement, MaximisingImages, FactorGroups, ClusterImages, Attributions, ClassActivation,
        Pruning, ModelSize, PruningOutlook,
    )
}  # fmt: skip
