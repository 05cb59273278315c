// The wire contract of `http_api.md`, as types.  Strings may come from a hostile log: show them as text.

export interface RunEntry {
  run: string;
  name: string;
  generation: string;
  updated: number;
  /** Lists of recorded epochs; `series` points into it. */
  epochs: number[][];
  /** kind → layer ("" where it belongs to none) → index into `epochs`. */
  series: Record<string, Record<string, number>>;
  problems: string[];
}

export interface IndexAnswer {
  etag: string;
  version?: string;
  /** null: nothing has changed since the etag that was sent. */
  runs: RunEntry[] | null;
}

export interface LayerInfo {
  name: string;
  type: string;
  shape: (number | null)[];
  filters: number;
  tapped: string;
  activation: string;
  parameters: number;
  features: number;
  sketch: number;
  path: string[];
  note: string;
}

export interface SessionInfo {
  epoch: number;
  started: number;
  model: string;
  epochs_planned: number;
  schedule: string;
  tap: string;
  recorders: Record<string, Record<string, unknown>>;
  versions: Record<string, string>;
  layers: LayerInfo[];
}

export interface Thumbnails {
  width: number;
  height: number;
  columns: number;
  note: string;
}

export interface ProbeInfo {
  count: number;
  source_size: number;
  class_names: string[];
  /** Class of each sample; −1 = no label. */
  labels: number[];
  indices: number[];
  thumbnails: Thumbnails | null;
}

export interface JournalEntry {
  kind: string;
  text: string;
  epoch?: number;
  layer?: string;
  recorder?: string;
}

export interface RunInfo {
  session: SessionInfo | null;
  probe: ProbeInfo | null;
  journal: JournalEntry[];
  problems: string[];
}

export interface NumberSeries {
  kind: string;
  layer: string;
  epochs: number[];
  values: Record<string, (number | null)[]>;
}

export interface NumbersAnswer {
  until: number;
  series: NumberSeries[];
}

export type NumericArray = Float32Array | Float64Array | Int32Array | BigInt64Array | Uint16Array | Uint8Array;

export interface DecodedArray {
  shape: number[];
  values: NumericArray;
  /** Where the array is of strings, what its values index. */
  table: string[] | null;
}

/** One record of a frame, with its arrays decoded. */
export interface FrameRecord {
  kind: string;
  layer: string;
  epoch: number;
  fields: Record<string, unknown>;
  arrays: Record<string, DecodedArray>;
}

export interface Damage {
  layer: string;
  reason: string;
}

export interface Frame {
  records: FrameRecord[];
  damaged: Damage[];
}
