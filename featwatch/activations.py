"""Where an activation function passes a gradient on, told by the values that leave it (row H4).

A filter without a gradient learns nothing more: a rectifier that is off, a sigmoid at an end of its range.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

# Values closer than this to the end of a function's range count as saturated.  A sigmoid's slope there is 4 % of its
# largest, a hyperbolic tangent's 2 %, an exponential linear unit's 1 %.
NEARLY = 0.01
SELU_FLOOR = 1.0507009873554805 * 1.6732632423543772        # scale · α (Klambauer et al. 2017)
_INFINITY = float("inf")
_ROUNDING = 0.01            # of an end of the range: half precision has 8 bits


@dataclass(frozen=True)
class Passing:
    """A gradient passes where `low` < value < `high`, but not where −`gap` ≤ value ≤ 0.

    >>> Passing(low=0.0).says(-1.0, 0.0)
    'off'
    """

    low: float = -_INFINITY
    high: float = _INFINITY
    gap: float = 0.0            # of functions that come back to 0 from below: what lies in it may come from far down
    # The function's range: what gives values beyond it is another one of the same name.
    least: float = field(default=-_INFINITY, compare=False)
    most: float = field(default=_INFINITY, compare=False)
    # Of rectifiers: what goes in at or below this comes out where no gradient passes; −∞ = it is none.
    knee: float = field(default=-_INFINITY, compare=False)

    @property
    def everywhere(self) -> bool:
        return self.low == -_INFINITY and self.high == _INFINITY and not self.gap

    @property
    def bounded(self) -> bool:
        """Whether the function ends above: what saturates there is not off."""
        return self.high < _INFINITY

    @property
    def rectifies(self) -> bool:
        """Whether what lets nothing pass below is a rectifier that is off, rather than a function at an end of its range."""
        return self.knee > -_INFINITY

    def off(self, minimum: Any, maximum: Any) -> Any:
        """Whether values that lie between these all lie where nothing passes below; bool of the arguments' shape."""
        off = maximum <= self.low
        return off | ((minimum >= -self.gap) & (maximum <= 0)) if self.gap else off

    def full(self, minimum: Any) -> Any:
        """Whether values that are this at least all lie where nothing passes above; bool of the argument's shape."""
        return minimum >= self.high

    def says(self, minimum: float, maximum: float) -> str:
        """What a filter does whose values lie between these: "off", "full", or "" where some gradient may pass."""
        if self.off(minimum, maximum):
            return "off"
        return "full" if self.full(minimum) else ""

    def as_seen(self, minimum: np.ndarray, maximum: np.ndarray) -> Passing:
        """This, or that a gradient passes everywhere, where a layer's values lie beyond the function's range.

        A leaky rectifier may call itself "relu" too.

        >>> passing("relu").as_seen(np.array([0.0, -0.2]), np.array([1.0, -0.1])).everywhere
        True
        """
        least, most = self.least - _ROUNDING * abs(self.least), self.most + _ROUNDING * abs(self.most)
        return Passing() if np.any(minimum < least) or np.any(maximum > most) else self


_EVERYWHERE = Passing()
_PASSING = {
    "relu": Passing(low=0.0, least=0.0, knee=0.0),
    "relu6": Passing(low=0.0, high=6.0, least=0.0, most=6.0, knee=0.0),
    "sparse_plus": Passing(low=0.0, least=0.0, knee=-1.0),
    "sigmoid": Passing(NEARLY, 1 - NEARLY, least=0.0, most=1.0),
    "hard_sigmoid": Passing(0.0, 1.0, least=0.0, most=1.0),
    "sparse_sigmoid": Passing(0.0, 1.0, least=0.0, most=1.0),
    "tanh": Passing(-1 + NEARLY, 1 - NEARLY, least=-1.0, most=1.0),
    "hard_tanh": Passing(-1.0, 1.0, least=-1.0, most=1.0),
    "softsign": Passing(-0.9, 0.9, least=-1.0, most=1.0),           # slope (1 − |y|)²: 1 %
    "elu": Passing(low=-1 + NEARLY, least=-1.0),
    "celu": Passing(low=-1 + NEARLY, least=-1.0),
    "selu": Passing(low=-SELU_FLOOR + NEARLY, least=-SELU_FLOOR),
    "softplus": Passing(low=NEARLY, least=0.0),                     # slope 1 − exp(−y)
    "exponential": Passing(low=NEARLY, least=0.0),
    "squareplus": Passing(low=NEARLY, least=0.0),
    "log_sigmoid": Passing(high=-NEARLY, most=0.0),
    "gelu": Passing(gap=NEARLY, least=-0.17, knee=-2.7),
    "silu": Passing(gap=NEARLY, least=-0.28, knee=-6.5), "swish": Passing(gap=NEARLY, least=-0.28, knee=-6.5),
    "mish": Passing(gap=NEARLY, least=-0.31, knee=-6.5),
    "hard_silu": Passing(gap=NEARLY, least=-0.375, knee=-3.0), "hard_swish": Passing(gap=NEARLY, least=-0.375, knee=-3.0),
}  # fmt: skip


def passing(name: str, *, alpha: float = 1.0, ceiling: float | None = None) -> Passing:
    """Where the activation function of this name passes a gradient; everywhere, where it is not known to saturate.

    Arguments:
        alpha: of an exponential linear unit: it ends at −alpha.
        ceiling: of a rectifier that ends above, where it is not 6.

    >>> passing("relu6").high, passing("elu", alpha=0.5).low, passing("leaky_relu").everywhere
    (6.0, -0.49, True)
    """
    if name in ("elu", "celu") and alpha > 0:
        return Passing(low=-alpha + min(NEARLY, alpha / 2), least=-alpha)
    if name == "relu6" and ceiling is not None:
        return replace(_PASSING["relu6"], high=float(ceiling), most=float(ceiling))
    return _PASSING.get(name, _EVERYWHERE)
