"""What a trained model's layers look for: single results, no log needed.

The names are loaded when they are first used: importing this package imports neither Keras nor TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_PUBLIC = {
    "activation_filter": "featwatch.explain.filtering",
    "activations": "featwatch.explain.responses",
    "Box": "featwatch.explain.fields",
    "Attribution": "featwatch.explain.attribution",
    "class_activation": "featwatch.explain.class_maps",
    "deconvolution": "featwatch.explain.deconvolution_maps",
    "cluster_images": "featwatch.explain.clusters",
    "exemplars": "featwatch.explain.strongest",
    "factorise": "featwatch.explain.groups",
    "feature_images": "featwatch.explain.images",
    "field_of": "featwatch.explain.fields",
    "LUCID": "featwatch.explain.recipe",
    "occlusion": "featwatch.explain.occlusion_maps",
    "overlay": "featwatch.explain.overlays",
    "random_twin": "featwatch.explain.twin",
    "maximising_images": "featwatch.explain.maximising",
    "receptive_field": "featwatch.explain.fields",
    "Recipe": "featwatch.explain.recipe",
    "relevance": "featwatch.explain.relevance_maps",
    "saliency": "featwatch.explain.saliency_maps",
}

__all__ = [*_PUBLIC]

if TYPE_CHECKING:
    from featwatch.explain.attribution import Attribution as Attribution
    from featwatch.explain.class_maps import class_activation as class_activation
    from featwatch.explain.clusters import cluster_images as cluster_images
    from featwatch.explain.deconvolution_maps import deconvolution as deconvolution
    from featwatch.explain.fields import Box as Box
    from featwatch.explain.fields import field_of as field_of
    from featwatch.explain.fields import receptive_field as receptive_field
    from featwatch.explain.filtering import activation_filter as activation_filter
    from featwatch.explain.groups import factorise as factorise
    from featwatch.explain.images import feature_images as feature_images
    from featwatch.explain.maximising import maximising_images as maximising_images
    from featwatch.explain.occlusion_maps import occlusion as occlusion
    from featwatch.explain.overlays import overlay as overlay
    from featwatch.explain.recipe import LUCID as LUCID
    from featwatch.explain.recipe import Recipe as Recipe
    from featwatch.explain.relevance_maps import relevance as relevance
    from featwatch.explain.responses import activations as activations
    from featwatch.explain.saliency_maps import saliency as saliency
    from featwatch.explain.strongest import exemplars as exemplars
    from featwatch.explain.twin import random_twin as random_twin


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        value = getattr(importlib.import_module(_PUBLIC[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'featwatch.explain' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
