"""What is recorded of the layers as a whole: how alike what they make of the probe is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from featwatch.records.base import Record, array


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LayerAlignment(Record):
    """Linear CKA between all pairs of layers, and of each layer with itself at the epoch before (rows E11, E12).

    Kornblith et al. 2019, *Similarity of Neural Network Representations Revisited*, equation 3.
    """

    kind: ClassVar[str] = "cka"
    per_layer: ClassVar[bool] = False

    layers: np.ndarray = array("str", "layers")                 # names, in graph order
    matrix: np.ndarray = array("float32", "layers", "layers")   # 0 to 1, symmetric; NaN for a layer whose output is constant
    to_last: np.ndarray = array("float32", "layers")            # with the same layer at epoch `last`; NaN where there is none
    last: int = -1                                              # that epoch; −1 = this record is the first
    samples: int = 0                                            # that were compared: of many a fixed part
