"""What a detector is: a state machine that is shown records and says what is wrong with their subjects."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from featwatch.records import SEVERITIES, Alert, Record


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check says of its subject: a layer, or the model as a whole.

    Where nothing is wrong the rest but `layer` and `epoch` is not needed.  NumPy's numbers and arrays become
    plain ones, and a number that is not finite None.
    """

    epoch: int
    wrong: bool
    layer: str = ""
    severity: str = "warning"
    filters: tuple[int, ...] = ()
    text: str = ""
    suggestion: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    view: str = "overview"
    since: int = -1                 # epoch at which it was first seen, where the detector counts checks itself
    news: Hashable = ()             # what is worth telling when it changes, beside severity and filters

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ValueError(f"severity={self.severity!r} is not known; choose {', '.join(map(repr, SEVERITIES))}")
        object.__setattr__(self, "filters", tuple(int(number) for number in self.filters))
        object.__setattr__(self, "evidence", plain(dict(self.evidence)))


class Detector(ABC):
    """Looks for one kind of trouble: subclass it, set `kind`, and say in `update` what a record shows.

    It must be pure: no clock, no files, no TensorFlow; what it remembers it sets up in `start`.

    Example:
        >>> class Quiet(fw.alerts.Detector):
        ...     kind = "quiet layer"
        ...     def update(self, record):
        ...         if record.kind == "health":
        ...             share = float(record.active_fraction.mean())
        ...             yield fw.alerts.Finding(epoch=record.epoch, layer=record.layer, wrong=share < 0.01,
        ...                                     text=f"{share:.1%} of its outputs are above 0")
    """

    kind: ClassVar[str]
    per_layer: ClassVar[bool] = True    # False: there is one alert at most, for the model; its `layer` is where to look
    raise_after: int = 1                # checks in a row with something wrong, until the alert is raised
    resolve_after: int = 1              # checks in a row with nothing wrong, until it is resolved
    by_filter: ClassVar[bool] = False   # whether what it remembers of a layer stands by filter

    def start(self, layers: Sequence[str], opened: Sequence[Alert]) -> None:  # noqa: B027 - nothing is an answer
        """Forget everything: a training begins that watches `layers`, in graph order; `opened` are this kind's open alerts."""

    def forget(self, layers: Collection[str]) -> None:  # noqa: B027 - nothing is an answer
        """Forget what is numbered by filter of these layers: they have other filters from here on, by pruning."""

    @abstractmethod
    def update(self, record: Record) -> Iterable[Finding]:
        """What this record shows; nothing where it is not about what the detector looks for.

        The records of one kind and layer come in the order of their epochs; those of different kinds or
        layers may come late.
        """


def plain(value: Any) -> Any:
    """The value in what JSON knows.  Raises TypeError where it knows nothing of the kind."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    raise TypeError(f"evidence holds a {type(value).__name__}; use numbers, strings, lists and dicts")
