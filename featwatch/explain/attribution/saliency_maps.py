"""`saliency`: by which pixels a filter's response changes most (row S1)."""

from __future__ import annotations

from typing import Any

from featwatch.explain.attribution.attribution import Asked, Attribution, asked
from featwatch.explain.attribution.backward import Gone, all_units, gone_back, strongest_unit

_AGGREGATES = ("max", "sum")


def saliency(
    model: Any, layer: Any, filters: Any, images: Any, aggregate: str = "max", *, signed: bool = False, twin: Any = None
) -> Attribution:
    """Gradients of filters' responses with regard to images: ∂max F / ∂x or ∂ΣF / ∂x, where F is what leaves the activation.

    The gradient of the maximum is that of the strongest unit, of equal ones of the first: it is exactly zero
    outside that unit's receptive field.

    Arguments:
        model: a built model; it is not changed.
        layer: its name, "block/conv" within a nested model, or the layer itself.
        filters: numbers of filters; None = all of the layer.
        images: a `Probe`, or samples of the model's input.  The result holds a map for each filter and image.
        aggregate: "max" or "sum", over the positions of F.
        signed: keep all channels, with their signs, instead of the largest absolute value over channels.
        twin: True, or what `random_twin` gave: of a model with random weights instead.

    Returns: an `Attribution`; its `maps` are (filters, images, height, width), with `signed` and channels at the end.

    Raises:
        ValueError: an argument is out of its range, or the layer has no such gradient: the message says why.

    Example:
        >>> found = saliency(net, "conv", [0, 3], x[:2])
        >>> found.maps.shape, bool((found.maps >= 0).all())
        ((2, 2, 8, 8), True)

    Source: Simonyan, Vedaldi and Zisserman 2013, *Deep Inside Convolutional Networks*, section 3.
    """
    if aggregate not in _AGGREGATES:
        raise ValueError(f"aggregate={aggregate!r}: expected " + " or ".join(map(repr, _AGGREGATES)))
    about = asked(model, layer, filters, images, twin)
    return saliency_of(about, aggregate, signed=signed)


def saliency_of(about: Asked, aggregate: str, *, signed: bool = False) -> Attribution:
    """The same of what is already looked at."""
    largest = aggregate == "max"
    gone = gone_back(about, strongest_unit if largest else all_units, magnitude=not signed, windows=largest)
    return about.attribution(gone.maps, gone.work, notes=[not_finite(gone)])


def not_finite(gone: Gone) -> str:
    """What is said of gradients that are not finite."""
    return f"maps with a gradient that is not finite: {gone.infinite}" if gone.infinite else ""
