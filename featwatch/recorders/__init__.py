"""The recorders: what each needs of a layer, and what it makes of it."""

from __future__ import annotations

from featwatch.recorders.activation_histograms import ActivationHistograms
from featwatch.recorders.activation_maps import ActivationMaps
from featwatch.recorders.attributions import Attributions
from featwatch.recorders.base import LayerSnapshot, NothingToSay, Recorder
from featwatch.recorders.class_activation import ClassActivation
from featwatch.recorders.class_specificity import ClassSpecificity
from featwatch.recorders.cluster_images import ClusterImages
from featwatch.recorders.clusters import Clusters
from featwatch.recorders.embeddings import Embeddings
from featwatch.recorders.exemplar_maps import ExemplarMaps
from featwatch.recorders.exemplars import Exemplars
from featwatch.recorders.factor_groups import FactorGroups
from featwatch.recorders.feature_arrangement import FeatureArrangement
from featwatch.recorders.feature_images import FeatureImages
from featwatch.recorders.filter_health import FilterHealth
from featwatch.recorders.filter_similarity import FilterSimilarity
from featwatch.recorders.grid_mapping import GridMapping
from featwatch.recorders.kernel_pictures import KernelPictures
from featwatch.recorders.layer_similarity import LayerSimilarity
from featwatch.recorders.maximising_images import MaximisingImages
from featwatch.recorders.pruning_outlook import PruningOutlook
from featwatch.recorders.separation import Separation

__all__ = [
    "ActivationHistograms", "ActivationMaps", "Attributions", "ClassActivation", "ClassSpecificity", "ClusterImages",
    "Clusters", "Embeddings", "ExemplarMaps", "Exemplars", "FactorGroups", "FeatureArrangement", "FeatureImages",
    "FilterHealth", "FilterSimilarity",
    "GridMapping", "KernelPictures", "LayerSimilarity", "LayerSnapshot", "MaximisingImages", "NothingToSay", "Recorder",
    "PruningOutlook", "Separation",
    "default_recorders",
]  # fmt: skip


def default_recorders() -> list[Recorder]:
    """Fresh recorders with their default options, each after what it builds on."""
    return [
        FilterHealth(), FilterSimilarity(),
        Separation(), LayerSimilarity(), Embeddings(), Clusters(), GridMapping(), ActivationHistograms(),
        ClassSpecificity(), KernelPictures(), ActivationMaps(), Exemplars(), ExemplarMaps(), FeatureImages(),
        FeatureArrangement(), ClassActivation(),
    ]  # fmt: skip
