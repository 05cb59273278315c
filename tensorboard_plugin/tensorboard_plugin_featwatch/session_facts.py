"""What is known once per session, as plain JSON with the types that `http_api.md` promises, whatever the log says."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable, Mapping
from typing import Any

from featwatch.records import Alert, LayerInfo, ProbeRecord, Session
from tensorboard_plugin_featwatch.frames import finite

MAX_SPRITE_SIDE = 16_384        # what browsers can draw
MAX_COLUMNS = 64                # attributes of the probe
MAX_NOTES = 64
MAX_NAME = 200                  # characters
MAX_TEXT = 2000


def described_session(session: Session, problems: list[str]) -> dict[str, Any]:
    """The session; layers that are not described as they should be are left out and become a problem."""
    layers = [described for described in map(_described_layer, session.layers) if described is not None]
    if len(layers) < len(session.layers):
        problems.append(f"{len(session.layers) - len(layers)} of the session's layers are not described properly.")
    return {
        "epoch": session.epoch,
        "started": finite(session.started),
        "model": session.model,
        "epochs_planned": session.epochs_planned,
        "schedule": session.schedule,
        "tap": session.tap,
        "recorders": {name: finite(options) for name, options in session.recorders.items() if isinstance(options, dict)},
        "versions": dict(session.versions),
        "outputs": list(session.outputs),
        "output": session.output,
        "layers": layers,
    }


def described_probe(probe: ProbeRecord, problems: list[str]) -> dict[str, Any]:
    """The probe: labels and rows as lists, and how its thumbnails are laid out."""
    trouble = sprite_problem(probe) if probe.thumbnails else ""
    if trouble:
        problems.append(f"The thumbnails are not shown: {trouble}.")
    shown = bool(probe.thumbnails) and not trouble
    return {
        "count": len(probe),
        "source_size": probe.source_size,
        "class_names": list(probe.class_names),
        "labels": probe.labels.tolist(),
        "indices": probe.indices.tolist(),
        "thumbnails": {
            "width": probe.thumbnail_width,
            "height": probe.thumbnail_height,
            "columns": probe.thumbnail_columns,
            "note": probe.thumbnail_note,
        }
        if shown
        else None,
        "thumbnail_note": probe.thumbnail_note,
        "targets": finite(probe.targets.tolist()) if len(probe.targets) else None,
        "attributes": _described_attributes(probe, problems),
        "notes": [cut(note) for note in probe.notes[:MAX_NOTES]],
    }


def described_alert(alert: Alert) -> dict[str, Any]:
    """The alert's fields, texts no longer than the page can show."""
    described = finite(alert.as_dict())
    return {name: cut(value) if isinstance(value, str) else value for name, value in described.items()}


def cut(text: str, length: int = MAX_TEXT) -> str:
    """A text from a log, not longer than `length` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def _described_attributes(probe: ProbeRecord, problems: list[str]) -> dict[str, list[Any]]:
    """Name -> one plain value per sample; columns that are not so become a problem."""
    columns: dict[str, list[Any]] = {}
    for name, values in probe.attributes.items():
        plain = len(values) == len(probe) and all(isinstance(value, (bool, int, float, str, type(None))) for value in values)
        if plain and len(columns) < MAX_COLUMNS:
            columns[cut(name, MAX_NAME)] = [
                cut(value, MAX_NAME) if isinstance(value, str) else finite(value) for value in values
            ]
    if len(columns) < len(probe.attributes):
        left_out = len(probe.attributes) - len(columns)
        problems.append(f"{left_out} of the probe's attributes are not one plain value per sample, or too many, and left out.")
    return columns


def sprite_problem(probe: ProbeRecord) -> str:
    """Why the sprite does not hold a thumbnail of every sample, or ""."""
    width, height, columns = probe.thumbnail_width, probe.thumbnail_height, probe.thumbnail_columns
    if min(width, height, columns) < 1:
        return "their size is not positive"
    if len(probe.thumbnails) < 24:
        return "the picture is cut off"
    # PNG specification, 11.2.1: the file starts with the signature and the chunk IHDR, width and height first.
    sprite_width, sprite_height = struct.unpack(">II", probe.thumbnails[16:24])
    if max(sprite_width, sprite_height) > MAX_SPRITE_SIDE:
        return f"the picture has {sprite_width} × {sprite_height} pixels"
    if columns * width > sprite_width or -(-len(probe.labels) // columns) * height > sprite_height:
        return f"the picture of {sprite_width} × {sprite_height} pixels is too small for {len(probe.labels)} samples"
    return ""


def _described_layer(layer: Mapping[str, Any]) -> dict[str, Any] | None:
    """One layer's facts, or None where a field is missing or of another type."""
    described: dict[str, Any] = {}
    for field in dataclasses.fields(LayerInfo):
        # What older logs do not know of has a default.
        default = field.default if field.default is not dataclasses.MISSING else None
        value = layer.get(field.name, list(default) if isinstance(default, tuple) else default)
        if not (_TYPES[field.type](value) or (value == -1 == default and type(value) is int)):      # −1 = not known
            return None
        described[field.name] = value
    return described


def _is_count(value: Any) -> bool:
    return _is_whole(value) and value >= 0


def _is_list(good: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(good, value))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53


_TYPES: dict[Any, Callable[[Any], bool]] = {
    "str": _is_text,
    "int": _is_count,
    "bool": lambda value: isinstance(value, bool),
    "tuple[str, ...]": _is_list(_is_text),
    "tuple[int, ...]": _is_list(_is_whole),
    "tuple[int | None, ...]": _is_list(lambda size: size is None or _is_count(size)),
}
