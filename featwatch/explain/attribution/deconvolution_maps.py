"""`deconvolution`: what in an image a filter's strongest units answer to, sent back through the net (row S3)."""

from __future__ import annotations

from typing import Any

import numpy as np

from featwatch.explain.attribution.attribution import Asked, Attribution, asked
from featwatch.explain.attribution.backward import acting_units, acting_values, gone_back
from featwatch.explain.attribution.rules import MODES
from featwatch.explain.attribution.saliency_maps import not_finite

SHARE = 0.98


def deconvolution(
    model: Any, layer: Any, filters: Any, images: Any, mode: str = "deconv", *, share: float = SHARE, twin: Any = None
) -> Attribution:
    """Images sent back from the units of each filter that act most: by DeconvNet, guided or plain backpropagation.

    All units of a map with at least `share` of its largest value take part, if that is above zero.  A DeconvNet
    starts with their values, the other two with 1, so that "gradient" gives that of their sum.  Max-pooling sends
    back to where its maxima came from, convolutions what the gradient gives.  The rule holds for ReLU, ReLU6,
    leaky ReLU, ELU and SELU, as layers, arguments or functions; other activations pass back their gradient.

    Arguments:
        model, layer, filters, images, twin: as of `saliency`.
        mode: "deconv", "guided" or "gradient": what of a signal a ReLU passes back, see `featwatch.explain.attribution.rules`.
        share: of the largest value, above 0 to 1.

    Returns: an `Attribution`; its `maps` are (filters, images, height, width, channels), and its `boxes` the
        receptive fields of the units that take part (of more than 16, of the strongest 16).

    Raises:
        ValueError: an argument is out of its range, or the layer cannot be looked at: the message says why.

    Example:
        >>> found = deconvolution(net, "conv", [0], x[:2], mode="guided")
        >>> found.maps.shape
        (1, 2, 8, 8, 1)

    Sources: Zeiler and Fergus 2014; Springenberg et al. 2015.
    """
    if mode not in MODES:
        raise ValueError(f"mode={mode!r}: expected " + " or ".join(map(repr, MODES)))
    if isinstance(share, bool) or not isinstance(share, (int, float, np.floating)) or not 0 < share <= 1:
        raise ValueError(f"share={share!r}: give a number above 0, 1 at most")
    return deconvolution_of(asked(model, layer, filters, images, twin), mode, float(share))


def deconvolution_of(about: Asked, mode: str, share: float = SHARE) -> Attribution:
    """The same of what is already looked at."""
    gone = gone_back(about, acting_values if mode == "deconv" else acting_units, mode=mode, share=share)
    return about.attribution(gone.maps, gone.work, share=share, notes=[rules_note(about, mode), not_finite(gone)])


def rules_note(about: Asked, mode: str) -> str:
    """What is said where a rule has no ReLU to hold for, or may not hold for all; after the first pass."""
    if mode == "gradient":
        return ""
    found, hidden = about.functions.facts(("rules", mode), lambda: (1, 0))
    if hidden:
        return f"{mode}: ReLUs within a tf.function, loop or condition of the model's own pass back their gradient"
    return "" if found else f"{mode}: no ReLU stands between the image and the layer, so this is the gradient"
