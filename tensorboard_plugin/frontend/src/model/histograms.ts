// A record of histograms, checked, and what is drawn of it.  Pure functions.

import type { FrameRecord } from "../api/types";
import { sequential, type Rgb } from "../theme/palette";

export interface Histograms {
  filters: number;
  bins: number;
  /** filters × bins, row by row. */
  counts: Int32Array;
  /** bins + 1 values, rising. */
  edges: Float64Array;
  minimum: Float32Array;
  maximum: Float32Array;
  /** Values in `counts`, a filter. */
  total: Float64Array;
  exact: boolean;
  /** Values that each filter had over the probe; NaN where the record does not say. */
  values: number;
}

/** One histogram: of a filter, or of a whole layer. */
export interface Row {
  counts: ArrayLike<number>;
  edges: Float64Array;
  total: number;
  minimum: number;
  maximum: number;
}

/** A row at an epoch. */
export interface Column {
  epoch: number;
  /** null: not there yet, or not readable. */
  row: Row | null;
  problem: string;
}

export type Range = readonly [low: number, high: number];

const known = new WeakMap<FrameRecord, Histograms | null>();
const sums = new WeakMap<Histograms, Row>();

/** The histograms of a record, or null where its arrays do not fit each other. */
export function histogramsOf(record: FrameRecord): Histograms | null {
  let found = known.get(record);
  if (found === undefined) known.set(record, (found = read(record)));
  return found;
}

function read({ arrays, fields }: FrameRecord): Histograms | null {
  const { counts, edges, minimum, maximum } = arrays;
  if (!(counts?.values instanceof Int32Array) || !(edges?.values instanceof Float64Array)) return null;
  if (!(minimum?.values instanceof Float32Array) || !(maximum?.values instanceof Float32Array)) return null;
  const [filters = 0, bins = 0] = counts.shape;
  if (counts.shape.length !== 2 || bins < 1 || edges.values.length !== bins + 1) return null;
  if (minimum.values.length !== filters || maximum.values.length !== filters) return null;
  if (edges.values.some((edge, i) => !Number.isFinite(edge) || (i > 0 && edge <= edges.values[i - 1]!))) return null;
  const total = new Float64Array(filters);
  for (let f = 0; f < filters; f++) for (let b = 0; b < bins; b++) total[f]! += Math.max(0, counts.values[f * bins + b]!);
  const positions = Number(fields.positions), counted = Number(fields.positions_counted), values = Number(fields.values_per_filter);
  return {
    filters, bins, counts: counts.values, edges: edges.values, minimum: minimum.values, maximum: maximum.values, total,
    exact: fields.exact !== false,
    values: positions > 0 && counted > 0 && values > 0 ? (values / counted) * positions : NaN,
  };
}

export function rowOf(of: Histograms, filter: number): Row | null {
  if (filter < 0 || filter >= of.filters) return null;
  return {
    counts: of.counts.subarray(filter * of.bins, (filter + 1) * of.bins), edges: of.edges, total: of.total[filter]!,
    minimum: of.minimum[filter]!, maximum: of.maximum[filter]!,
  };
}

/** All filters of a layer together. */
export function layerRow(of: Histograms): Row {
  const before = sums.get(of);
  if (before) return before;
  const counts = new Float64Array(of.bins);
  for (let f = 0; f < of.filters; f++) for (let b = 0; b < of.bins; b++) counts[b]! += Math.max(0, of.counts[f * of.bins + b]!);
  const row = {
    counts, edges: of.edges, total: of.total.reduce((sum, n) => sum + n, 0),
    minimum: lowest(of.minimum), maximum: highest(of.maximum),
  };
  sums.set(of, row);
  return row;
}

/** Share of a row's values in a bin; 0 where it has none. */
export const shareIn = (row: Row, bin: number): number => (row.total > 0 ? Math.max(0, row.counts[bin]!) / row.total : 0);

/** Where the scale of shares ends: a bin with more of the values looks as one with this. */
export const FULL = 0.25;
/** Where it begins to go by ratio. */
const FAINT = 1e-3;

/** How far along the scale a share is: 0 for none, 1 from `FULL` on, the steps between them by ratio rather than difference. */
export const tone = (share: number): number => (share > 0 ? Math.min(1, Math.log1p(share / FAINT) / Math.log1p(FULL / FAINT)) : 0);

/** The share whose tone is `t`. */
export const shareAt = (t: number): number => FAINT * Math.expm1(t * Math.log1p(FULL / FAINT));

/** A bin's colour; the darkest end of the scale is left out where it could not be told from a dark page. */
export const colourOf = (share: number): Rgb => sequential(0.06 + 0.94 * tone(share));

/** The values that occur, from the lowest to the highest, zero included, as ends of bins; null where there are none. */
export function rangeOf(row: Pick<Row, "minimum" | "maximum" | "edges">): Range | null {
  const { edges, minimum, maximum } = row;
  if (!(minimum <= maximum) || !Number.isFinite(minimum) || !Number.isFinite(maximum)) return null;
  let [low, high] = [Math.min(0, minimum), Math.max(0, maximum)];
  for (let i = edges.length - 1; i >= 0; i--) if (edges[i]! <= minimum) { low = Math.min(0, edges[i]!); break; }
  for (let i = 0; i < edges.length; i++) if (edges[i]! >= maximum) { high = Math.max(0, edges[i]!); break; }
  // All of it is zero, at an edge: a bin on either side is room enough.
  return low < high ? [low, high] : [low - (edges[1]! - edges[0]!), high + (edges[1]! - edges[0]!)];
}

/** Filters fewer than these are shown in full, however far one of them reaches. */
const SEVERAL = 12;
const FAR = 1.6;

/**
 * The values to show of all filters side by side: where a few reach far beyond the rest, not as far as they do.
 * The rest are the 97 % of filters that reach least, upwards or downwards.
 */
export function focusOf(of: Histograms): Range | null {
  const whole = rangeOf(layerRow(of));
  if (!whole || of.filters < SEVERAL) return whole;
  const nearly = (values: Float32Array, whole: number, sign: number): number => {
    const reach = [...values].map((value) => sign * value).filter(Number.isFinite).sort((a, b) => a - b);
    const most = reach[Math.floor(0.97 * (reach.length - 1))] ?? 0;
    if (!(most > 0) || sign * whole <= FAR * most) return whole;
    const edges = [...of.edges].filter((edge) => sign * edge >= 1.1 * most);
    return edges.length ? sign * Math.min(...edges.map((edge) => sign * edge)) : whole;
  };
  return [nearly(of.minimum, whole[0], -1), nearly(of.maximum, whole[1], 1)];
}

/** Filters with values outside a range. */
export function beyond(of: Histograms, [low, high]: Range): number[] {
  return Array.from({ length: of.filters }, (_, f) => f).filter((f) => of.minimum[f]! < low || of.maximum[f]! > high);
}

/** `before` while `now` fits into it and fills most of it: the axis stands still from epoch to epoch where it can. */
export function keepRange(before: Range | null, now: Range | null): Range | null {
  if (!before || !now) return now;
  const fits = now[0] >= before[0] && now[1] <= before[1];
  return fits && now[1] - now[0] > 0.6 * (before[1] - before[0]) ? before : now;
}

/** The smallest range that holds all of them; null where there is none. */
export function hull(ranges: (Range | null)[]): Range | null {
  let [low, high] = [Infinity, -Infinity];
  for (const range of ranges) if (range) [low, high] = [Math.min(low, range[0]), Math.max(high, range[1])];
  return low < high ? [low, high] : null;
}

/** For each of `pixels` steps from `low` to `high`: the bin that its middle lies in, or −1 where none does. */
export function binsAcross(edges: Float64Array, low: number, high: number, pixels: number): Int32Array {
  const bins = new Int32Array(pixels).fill(-1);
  let bin = 0;
  for (let i = 0; i < pixels; i++) {
    const value = low + ((i + 0.5) / pixels) * (high - low);
    while (bin < edges.length - 1 && edges[bin + 1]! <= value) bin++;
    if (bin < edges.length - 1 && value >= edges[bin]!) bins[i] = bin;
  }
  return bins;
}

/** The mean as the bins tell it: exact to half a bin. */
export function meanOf(row: Row): number {
  let sum = 0;
  for (let b = 0; b < row.counts.length; b++) sum += Math.max(0, row.counts[b]!) * (row.edges[b]! + row.edges[b + 1]!);
  return row.total > 0 ? sum / 2 / row.total : NaN;
}

/** Share of the values in bins that start above zero: what lies between zero and the next edge is not told apart from zero. */
export function aboveZero(row: Row): number {
  let sum = 0;
  for (let b = 0; b < row.counts.length; b++) if (row.edges[b]! > 0) sum += Math.max(0, row.counts[b]!);
  return row.total > 0 ? sum / row.total : NaN;
}

function lowest(values: Float32Array): number {
  return values.reduce((least, value) => (value < least ? value : least), Infinity);
}
function highest(values: Float32Array): number {
  return values.reduce((most, value) => (value > most ? value : most), -Infinity);
}
