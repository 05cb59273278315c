// What a session and a probe say of themselves comes from the log: bring it into the shape the views rely on.

import { alert } from "./alerts";
import { list, numberOr, object, plain, text, whole, type Json } from "./plain";
import type {
  AxisContent, IndexAnswer, JournalEntry, LayerInfo, NumbersAnswer, ProbeInfo, RunEntry, RunInfo, SessionInfo,
} from "./types";

export { text } from "./plain";

/** The index, in which every series points at a rising list of epochs. */
export function normaliseIndex(raw: unknown): IndexAnswer {
  const answer = object(raw);
  return {
    etag: text(answer.etag),
    ...(answer.version === undefined ? {} : { version: text(answer.version) }),
    runs: Array.isArray(answer.runs) ? answer.runs.map((entry) => run(object(entry))).filter((entry) => entry.run) : null,
  };
}

function run(raw: Json): RunEntry {
  return {
    run: text(raw.run),
    name: text(raw.name) || text(raw.run),
    generation: text(raw.generation),
    updated: numberOr(raw.updated, 0),
    ...axis(raw),
    steps: raw.steps ? axis(object(raw.steps)) : null,
    problems: list(raw.problems).map(text),
  };
}

function axis(raw: Json): AxisContent {
  const epochs = list(raw.epochs).map((rising) => list(rising).filter((epoch): epoch is number => Number.isInteger(epoch)));
  const pointers = (layers: unknown) =>
    Object.fromEntries(Object.entries(object(layers)).filter(([, which]) => Number.isInteger(which) && epochs[which as number] !== undefined)) as Record<string, number>;
  return { epochs, series: Object.fromEntries(Object.entries(object(raw.series)).map(([kind, layers]) => [kind, pointers(layers)])) };
}

/** Numbers, in which every column is as long as its epochs. */
export function normaliseNumbers(raw: unknown): NumbersAnswer {
  const answer = object(raw);
  const series = list(answer.series).map((entry) => {
    const one = object(entry);
    const epochs = list(one.epochs).map((epoch) => numberOr(epoch, NaN));
    const values = Object.entries(object(one.values)).map(([name, column]): [string, (number | null)[]] => {
      const known = list(column);
      return [name, epochs.map((_, i) => (typeof known[i] === "number" ? (known[i] as number) : null))];
    });
    return { kind: text(one.kind), layer: text(one.layer), epochs, values: Object.fromEntries(values) };
  });
  return { until: numberOr(answer.until, 0), series };
}

/** A run's answer in which every field is of the type it is declared to be. */
export function normaliseRun(raw: unknown): RunInfo {
  const answer = object(raw);
  return {
    session: answer.session ? session(object(answer.session)) : null,
    probe: answer.probe ? probe(object(answer.probe)) : null,
    journal: list(answer.journal).map((entry) => journal(object(entry))),
    alerts: [...new Map(list(answer.alerts).map((entry) => alert(object(entry))).filter((entry) => entry !== null).map((entry) => [entry.id, entry])).values()],
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
    field_size: list(raw.field_size).map((n) => whole(n)),
    field_stride: list(raw.field_stride).map((n) => whole(n)),
    field_offset: list(raw.field_offset).map((n) => whole(n)),
    field_kind: text(raw.field_kind),
    multiply_adds: numberOr(raw.multiply_adds, -1),
    filter_parameters: numberOr(raw.filter_parameters, -1),
    filter_multiply_adds: numberOr(raw.filter_multiply_adds, -1),
    saving_note: text(raw.saving_note),
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
    targets: Array.isArray(raw.targets) ? raw.targets.map((row) => list(row).map((n) => numberOr(n, NaN))) : null,
    attributes: Object.fromEntries(Object.entries(object(raw.attributes)).map(([name, column]) => [name, list(column).map(plain)])),
    notes: list(raw.notes).map(text),
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
