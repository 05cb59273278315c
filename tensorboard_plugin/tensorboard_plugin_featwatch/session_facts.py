"""What is known once per session, as plain JSON with the types that `http_api.md` promises, whatever the log says."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Mapping
from typing import Any

from featwatch.records import LayerInfo, ProbeRecord, Session
from tensorboard_plugin_featwatch.frames import finite

MAX_SPRITE_SIDE = 16_384        # what browsers can draw


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
    }


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
        value = layer.get(field.name, [] if field.name == "path" else "" if field.name == "note" else None)
        if field.type == "str":
            good = isinstance(value, str)
        elif field.type == "int":
            good = _is_count(value)
        elif field.name == "shape":
            good = isinstance(value, list) and all(size is None or _is_count(size) for size in value)
        else:
            good = isinstance(value, list) and all(isinstance(part, str) for part in value)
        if not good:
            return None
        described[field.name] = value
    return described


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
