// What a session and a probe say of themselves comes from the log: bring it into the shape the views rely on.

import type { JournalEntry, LayerInfo, ProbeInfo, RunInfo, SessionInfo } from "./types";

type Json = Record<string, unknown>;

const object = (value: unknown): Json =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
/** Not `String(value)`: JSON can hold an object whose `toString` is no function. */
export const text = (value: unknown): string =>
  typeof value === "string" ? value : typeof value === "number" || typeof value === "boolean" ? String(value) : "";
const whole = (value: unknown, otherwise = 0): number =>
  typeof value === "number" && Math.abs(value) < 2 ** 31 ? Math.trunc(value) : otherwise;

/** A run's answer in which every field is of the type it is declared to be. */
export function normaliseRun(raw: unknown): RunInfo {
  const answer = object(raw);
  return {
    session: answer.session ? session(object(answer.session)) : null,
    probe: answer.probe ? probe(object(answer.probe)) : null,
    journal: list(answer.journal).map((entry) => journal(object(entry))),
    problems: list(answer.problems).map(text),
  };
}

function session(raw: Json): SessionInfo {
  const layers = list(raw.layers).map((entry) => layer(object(entry)));
  return {
    epoch: whole(raw.epoch),
    started: typeof raw.started === "number" ? raw.started : 0,
    model: text(raw.model),
    epochs_planned: whole(raw.epochs_planned, -1),
    schedule: text(raw.schedule),
    tap: text(raw.tap),
    recorders: Object.fromEntries(Object.entries(object(raw.recorders)).map(([name, options]) => [name, object(options)])),
    versions: Object.fromEntries(Object.entries(object(raw.versions)).map(([name, version]) => [name, text(version)])),
    layers: layers.filter((entry, i) => entry.name && layers.findIndex((other) => other.name === entry.name) === i),
  };
}

function layer(raw: Json): LayerInfo {
  return {
    name: text(raw.name),
    type: text(raw.type),
    shape: list(raw.shape).map((n) => (typeof n === "number" ? n : null)),
    filters: whole(raw.filters),
    tapped: text(raw.tapped),
    activation: text(raw.activation),
    parameters: typeof raw.parameters === "number" ? raw.parameters : 0,
    features: whole(raw.features),
    sketch: whole(raw.sketch),
    path: list(raw.path).map(text),
    note: text(raw.note),
  };
}

function probe(raw: Json): ProbeInfo {
  const labels = list(raw.labels).map((n) => whole(n, -1));
  const sprite = object(raw.thumbnails);
  const [width, height, columns] = [whole(sprite.width), whole(sprite.height), whole(sprite.columns)];
  return {
    count: whole(raw.count, labels.length),
    source_size: whole(raw.source_size),
    class_names: list(raw.class_names).map(text),
    labels,
    indices: list(raw.indices).map((n) => whole(n, -1)),
    thumbnails: width > 0 && height > 0 && columns > 0 ? { width, height, columns, note: text(sprite.note) } : null,
  };
}

function journal(raw: Json): JournalEntry {
  return {
    kind: text(raw.kind) || "note",
    text: text(raw.text),
    epoch: typeof raw.epoch === "number" ? raw.epoch : undefined,
    layer: raw.layer ? text(raw.layer) : undefined,
    recorder: raw.recorder ? text(raw.recorder) : undefined,
  };
}
