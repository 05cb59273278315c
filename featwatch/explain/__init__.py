"""What a trained model's layers look for: single results, no log needed.

The names are loaded when they are first used: importing this package imports neither Keras nor TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from featwatch.doors import door

_PUBLIC = {
    "activation_filter": "featwatch.explain.filtering",
    "activations": "featwatch.explain.responses",
    "Box": "featwatch.explain.fields.fields",
    "Attribution": "featwatch.explain.attribution.attribution",
    "class_activation": "featwatch.explain.decision.class_maps",
    "deconvolution": "featwatch.explain.attribution.deconvolution_maps",
    "cluster_images": "featwatch.explain.clusters",
    "exemplars": "featwatch.explain.strongest",
    "factorise": "featwatch.explain.groups",
    "feature_images": "featwatch.explain.ascent.images",
    "field_of": "featwatch.explain.fields.fields",
    "LUCID": "featwatch.explain.ascent.recipe",
    "occlusion": "featwatch.explain.attribution.occlusion_maps",
    "overlay": "featwatch.explain.attribution.overlays",
    "random_twin": "featwatch.explain.attribution.twin",
    "maximising_images": "featwatch.explain.leading.maximising",
    "receptive_field": "featwatch.explain.fields.fields",
    "Recipe": "featwatch.explain.ascent.recipe",
    "relevance": "featwatch.explain.attribution.relevance_maps",
    "saliency": "featwatch.explain.attribution.saliency_maps",
}

__all__ = [*_PUBLIC]

if TYPE_CHECKING:
    from featwatch.explain.ascent.images import feature_images as feature_images
    from featwatch.explain.ascent.recipe import LUCID as LUCID
    from featwatch.explain.ascent.recipe import Recipe as Recipe
    from featwatch.explain.attribution.attribution import Attribution as Attribution
    from featwatch.explain.attribution.deconvolution_maps import deconvolution as deconvolution
    from featwatch.explain.attribution.occlusion_maps import occlusion as occlusion
    from featwatch.explain.attribution.overlays import overlay as overlay
    from featwatch.explain.attribution.relevance_maps import relevance as relevance
    from featwatch.explain.attribution.saliency_maps import saliency as saliency
    from featwatch.explain.attribution.twin import random_twin as random_twin
    from featwatch.explain.clusters import cluster_images as cluster_images
    from featwatch.explain.decision.class_maps import class_activation as class_activation
    from featwatch.explain.fields.fields import Box as Box
    from featwatch.explain.fields.fields import field_of as field_of
    from featwatch.explain.fields.fields import receptive_field as receptive_field
    from featwatch.explain.filtering import activation_filter as activation_filter
    from featwatch.explain.groups import factorise as factorise
    from featwatch.explain.leading.maximising import maximising_images as maximising_images
    from featwatch.explain.responses import activations as activations
    from featwatch.explain.strongest import exemplars as exemplars

__getattr__, __dir__ = door(__name__, _PUBLIC)
