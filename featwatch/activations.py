"""Where an activation function passes a gradient on, told by the values that leave it (row H4).

A filter without a gradient learns nothing more: a rectifier that is off, a sigmoid at an end of its range.
"""

from __future__ import annotations

from dataclasses import dataclass

# Values closer than this to the end of a function's range count as saturated.  A sigmoid's slope there is 4 % of its
# largest, a hyperbolic tangent's 2 %, an exponential linear unit's 1 %.
NEARLY = 0.01
SELU_FLOOR = 1.0507009873554805 * 1.6732632423543772        # scale · α (Klambauer et al. 2017)
_INFINITY = float("inf")


@dataclass(frozen=True)
class Passing:
    """A gradient passes where `low` < value < `high`, but not where −`gap` ≤ value ≤ 0.

    >>> Passing(low=0.0).says(-1.0, 0.0)
    'off'
    """

    low: float = -_INFINITY
    high: float = _INFINITY
    gap: float = 0.0            # of functions that come back to 0 from below: what lies in it may come from far down

    @property
    def everywhere(self) -> bool:
        return self.low == -_INFINITY and self.high == _INFINITY and not self.gap

    @property
    def bounded(self) -> bool:
        """Whether the function ends above: what saturates there is not off."""
        return self.high < _INFINITY

    def says(self, minimum: float, maximum: float) -> str:
        """What a filter does whose values lie between these: "off", "full", or "" where some gradient may pass."""
        if maximum <= self.low or (self.gap and -self.gap <= minimum and maximum <= 0):
            return "off"
        return "full" if minimum >= self.high else ""


_EVERYWHERE = Passing()
_PASSING = {
    "relu": Passing(low=0.0),
    "relu6": Passing(low=0.0, high=6.0),
    "sigmoid": Passing(NEARLY, 1 - NEARLY),
    "hard_sigmoid": Passing(0.0, 1.0),
    "tanh": Passing(-1 + NEARLY, 1 - NEARLY),
    "hard_tanh": Passing(-1.0, 1.0),
    "softsign": Passing(-0.9, 0.9),                 # slope (1 − |y|)²: 1 %
    "elu": Passing(low=-1 + NEARLY),
    "celu": Passing(low=-1 + NEARLY),
    "selu": Passing(low=-SELU_FLOOR + NEARLY),
    "softplus": Passing(low=NEARLY),                # slope 1 − exp(−y)
    "exponential": Passing(low=NEARLY),
    "gelu": Passing(gap=NEARLY), "silu": Passing(gap=NEARLY), "swish": Passing(gap=NEARLY), "mish": Passing(gap=NEARLY),
    "hard_silu": Passing(gap=NEARLY), "hard_swish": Passing(gap=NEARLY),
    "squareplus": Passing(low=NEARLY), "sparse_plus": Passing(low=0.0),
    "log_sigmoid": Passing(high=-NEARLY),
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
        return Passing(low=-alpha + min(NEARLY, alpha / 2))
    if name == "relu6" and ceiling is not None:
        return Passing(low=0.0, high=float(ceiling))
    return _PASSING.get(name, _EVERYWHERE)
