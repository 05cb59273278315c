"""What no rule is known for: an operation without weights may be asked itself; else all that it touches stays."""

from __future__ import annotations

from typing import Any

from featwatch.prune.labelled import Call, Labelled


def unknown(anatomy: Any, call: Call) -> Labelled | list[Labelled]:
    """Everything that it reads and gives stays."""
    kind = type(call.operation).__name__
    return anatomy.keep(call, f"what {call.name!r} ({kind}) makes of it is not known")
