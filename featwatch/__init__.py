"""featwatch: see what happens inside a Keras model while it trains.

The names are loaded when they are first used, so that the log's reader, the analysis worker and the
TensorBoard plugin can import their parts without importing Keras or TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from featwatch.doors import door

__version__ = "0.1.0"

_PUBLIC = {
    "Probe": "featwatch.probe",
    "Watch": "featwatch.watch",
    "every": "featwatch.schedule",
    "at": "featwatch.schedule",
    "log_spaced": "featwatch.schedule",
    "load": "featwatch.reader",
    "snapshot": "featwatch.trained",
    "place": "featwatch.placing",
    "Embeddings": "featwatch.recorders",
    "Clusters": "featwatch.recorders",
    "GridMapping": "featwatch.recorders",
    "Separation": "featwatch.recorders",
    "LayerSimilarity": "featwatch.recorders",
    "FilterHealth": "featwatch.recorders",
    "FilterSimilarity": "featwatch.recorders",
    "ActivationHistograms": "featwatch.recorders",
    "ClassSpecificity": "featwatch.recorders",
    "KernelPictures": "featwatch.recorders",
    "Attributions": "featwatch.recorders",
    "ClusterImages": "featwatch.recorders",
    "FactorGroups": "featwatch.recorders",
    "ClassActivation": "featwatch.recorders",
    "ActivationMaps": "featwatch.recorders",
    "Exemplars": "featwatch.recorders",
    "ExemplarMaps": "featwatch.recorders",
    "FeatureArrangement": "featwatch.recorders",
    "FeatureImages": "featwatch.recorders",
    "MaximisingImages": "featwatch.recorders",
    "PruningOutlook": "featwatch.recorders",
    "AutoPrune": "featwatch.autoprune",
}
_MODULES = ("alerts", "explain", "prune")   # sub-packages that are named through the door: fw.alerts.DeadFilters

__all__ = [*_PUBLIC, *_MODULES, "__version__"]

if TYPE_CHECKING:
    from featwatch import alerts as alerts
    from featwatch import explain as explain
    from featwatch import prune as prune
    from featwatch.autoprune import AutoPrune as AutoPrune
    from featwatch.placing import place as place
    from featwatch.probe import Probe as Probe
    from featwatch.reader import load as load
    from featwatch.recorders import ActivationHistograms as ActivationHistograms
    from featwatch.recorders import ActivationMaps as ActivationMaps
    from featwatch.recorders import Attributions as Attributions
    from featwatch.recorders import ClassActivation as ClassActivation
    from featwatch.recorders import ClassSpecificity as ClassSpecificity
    from featwatch.recorders import ClusterImages as ClusterImages
    from featwatch.recorders import Clusters as Clusters
    from featwatch.recorders import Embeddings as Embeddings
    from featwatch.recorders import ExemplarMaps as ExemplarMaps
    from featwatch.recorders import Exemplars as Exemplars
    from featwatch.recorders import FactorGroups as FactorGroups
    from featwatch.recorders import FeatureArrangement as FeatureArrangement
    from featwatch.recorders import FeatureImages as FeatureImages
    from featwatch.recorders import FilterHealth as FilterHealth
    from featwatch.recorders import FilterSimilarity as FilterSimilarity
    from featwatch.recorders import GridMapping as GridMapping
    from featwatch.recorders import KernelPictures as KernelPictures
    from featwatch.recorders import LayerSimilarity as LayerSimilarity
    from featwatch.recorders import MaximisingImages as MaximisingImages
    from featwatch.recorders import PruningOutlook as PruningOutlook
    from featwatch.recorders import Separation as Separation
    from featwatch.schedule import at as at
    from featwatch.schedule import every as every
    from featwatch.schedule import log_spaced as log_spaced
    from featwatch.trained import snapshot as snapshot
    from featwatch.watch import Watch as Watch

__getattr__, __dir__ = door(__name__, _PUBLIC, _MODULES)
