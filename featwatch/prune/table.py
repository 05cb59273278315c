"""A plan as a table in text."""

from __future__ import annotations

from collections.abc import Sequence

from featwatch.phrases import ranges
from featwatch.prune.planned import Plan
from featwatch.prune.words import several

NAME = 36           # characters of a layer's name at most
LINES = 200         # of layers at most


Figure = tuple[str, str, str, str]      # what it is of, before, after, a remark


def table(plan: Plan, more: Sequence[Figure] = ()) -> str:
    """What goes of each layer, what stays and why, and what that saves.

    Layers that only lose units with others, as a batch normalisation does, are counted below.

    Arguments:
        more: measured figures, to be shown beside what is saved.
    """
    chosen = plan.chosen
    rows = [_row(plan, name, units) for name, units in list(chosen.items())[:LINES]]
    title = f"Plan for {plan.model or 'a model'}" + (f", by {plan.criterion}" if plan.criterion else "")
    lines = [title, ""]
    lines += _columns([("layer", "units", "go", "stay", "which"), *rows]) if rows else ["Nothing goes."]
    if len(chosen) > LINES:
        lines.append(f"… and {len(chosen) - LINES} more layers")
    others = [name for name in plan.removed if name not in chosen]
    if others:
        lines += ["", f"With them {'goes' if len(others) == 1 else 'go'} what belongs to them in {several(others)}."]
    if plan.frozen:
        lines += ["", "Nothing can go from"]
        lines += [f"  {name}: {why}" for name, why in list(plan.frozen.items())[:12]]
        lines += [f"  … and {len(plan.frozen) - 12} more"] if len(plan.frozen) > 12 else []
    figures = [*saved(plan), *more]
    lines += ["", *_columns([("", "before", "after", ""), *figures])] if figures else []
    lines += ["", *(f"Note: {note}" for note in plan.notes)] if plan.notes else []
    return "\n".join(lines)


def saved(plan: Plan) -> list[Figure]:
    """("parameters", "25,636,712", "12,818,356", "−50.0 %, 2.00× fewer") and the like."""
    savings = plan.savings
    pairs = [
        ("parameters", savings.parameters_before, savings.parameters_after),
        ("multiply-adds", savings.multiply_adds_before, savings.multiply_adds_after),
    ]
    return [
        (name, f"{before:,}", f"{after:,}", change(before, after)) for name, before, after in pairs if before >= 0 and after >= 0
    ]


def change(before: float, after: float) -> str:
    """
    >>> change(200, 50), change(0, 0), change(100, 100), change(100, 150)
    ('−75.0 %, 4.00× fewer', '', 'unchanged', '+50.0 %, 1.50× more')
    """
    if not before:
        return ""
    if before == after:
        return "unchanged"
    if before < after:
        return f"+{100 * (after / before - 1):.1f} %, {after / before:.2f}× more"
    return f"−{100 * (1 - after / before):.1f} %" + (f", {before / after:.2f}× fewer" if after else "")


def _row(plan: Plan, name: str, units: Sequence[int]) -> tuple[str, ...]:
    count = plan.units.get(name, 0)
    going = len(plan.removed[name])
    return (
        name if len(name) <= NAME else "…" + name[-NAME + 1 :],
        str(count or "?"), str(going), str(count - going) if count else "?",
        ranges(sorted(units)),
    )  # fmt: skip


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """The rows with their columns below each other; numbers to the right."""
    last = len(rows[0]) - 1
    widths = [max(len(row[at]) for row in rows) for at in range(last + 1)]
    form = "  ".join(f"{{:{'<' if at in (0, last) else '>'}{width}}}" for at, width in enumerate(widths))
    return [form.format(*row).rstrip() for row in rows]
