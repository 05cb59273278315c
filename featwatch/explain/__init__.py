"""What a trained model's layers look for: single results, no log needed.

The names are loaded when they are first used: importing this package imports neither Keras nor TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_PUBLIC = {
    "activations": "featwatch.explain.responses",
    "Box": "featwatch.explain.fields",
    "feature_images": "featwatch.explain.images",
    "field_of": "featwatch.explain.fields",
    "receptive_field": "featwatch.explain.fields",
}

__all__ = [*_PUBLIC]

if TYPE_CHECKING:
    from featwatch.explain.fields import Box as Box
    from featwatch.explain.fields import field_of as field_of
    from featwatch.explain.fields import receptive_field as receptive_field
    from featwatch.explain.images import feature_images as feature_images
    from featwatch.explain.responses import activations as activations


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        value = getattr(importlib.import_module(_PUBLIC[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'featwatch.explain' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
