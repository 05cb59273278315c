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
  /** What was recorded on a schedule of steps, in the same form; null or missing where nothing was. */
  steps?: AxisContent | null;
  problems: string[];
}

/** Records stand at epochs, or at numbers of optimiser updates done. */
export type Axis = "epochs" | "steps";

/** What is recorded on one axis. */
export type AxisContent = Pick<RunEntry, "epochs" | "series">;

/** A run as one of its axes shows it: `epochs` and `series` are those of `axis`. */
export interface RunView extends RunEntry {
  axis: Axis;
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
  /**
   * The receptive field at the input, per spatial axis: unit u sees from offset + u · stride on, size wide.
   * Empty where it is not known; `field_kind` says "exact", "superset", "measured", or why.
   */
  field_size: number[];
  field_stride: number[];
  field_offset: number[];
  field_kind: string;
  /** Of the layer for one sample; −1 = not known. */
  multiply_adds: number;
  /** What one filter less would save, with what belongs to it in other layers; −1 = not known. */
  filter_parameters: number;
  filter_multiply_adds: number;
  /** Why that is not known, or what is left out. */
  saving_note: string;
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
  /** Of a regression: a row of numbers per sample, NaN where one is not known. */
  targets: number[][] | null;
  /** The user's columns, one value per sample each. */
  attributes: Record<string, Plain[]>;
  notes: string[];
}

/** A plain value of a log. */
export type Plain = string | number | boolean | null;

export const SEVERITIES = ["critical", "warning", "advice"] as const;
export type Severity = (typeof SEVERITIES)[number];

/** What would be saved by doing what an alert suggests; null = not known. */
export interface Savings {
  parameters: number | null;
  /** For one sample. */
  multiplyAdds: number | null;
  /** Shares of the whole model's. */
  ofParameters: number | null;
  ofMultiplyAdds: number | null;
  /** Why it is at least so much; "" where it is all. */
  leavesOut: string;
}

/** Something that has been wrong for several checks in a row. */
export interface Alert {
  id: string;
  kind: string;
  severity: Severity;
  /** "" = the model as a whole. */
  layer: string;
  /** Of the layer, that it is about; empty = the layer as a whole. */
  filters: number[];
  since: number;
  raised: number;
  /** The epoch that `text` and `evidence` are of. */
  updated: number;
  /** The epoch at which it was gone; −1 = it still holds. */
  resolved: number;
  text: string;
  suggestion: string;
  evidence: Record<string, string>;
  /** null where nothing would be saved, or nobody counted. */
  savings: Savings | null;
  /** The page's view that shows it. */
  view: string;
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
  /** The newest state of each, the worst first. */
  alerts: Alert[];
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
