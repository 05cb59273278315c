// A layer's kernels as pictures.  Pure functions on records; whatever a log holds, what comes out of here can be drawn.

import { text, whole } from "../api/plain";
import type { FrameRecord } from "../api/types";
import { count, percent, plural } from "./format";
import type { KernelOrder, KernelScale } from "./settings";

/** The kernels of one record: of each filter some input channels, those with most of its energy first. */
export interface KernelSheet {
  /** Where on the axis they were recorded. */
  epoch: number;
  filters: number;
  /** Input channels of each filter that are there, at most. */
  shown: number;
  rows: number;
  columns: number;
  /** 128 = 0, 1 and 255 = the largest weight of the filter. */
  pixels: Uint8Array;
  /** The input channel of each; −1 = there is none. */
  inputs: Int32Array;
  /** Largest |weight| of each filter. */
  largest: Float32Array;
  /** Of all filters; 0 where none is known. */
  layerLargest: number;
  /** Share of each filter's energy that is shown. */
  covered: Float32Array;
  /** Input channels in all. */
  channels: number;
  note: string;
}

/** The kernels of a record; null where they cannot be drawn. */
export function kernelsOf(record: FrameRecord): KernelSheet | null {
  const { pixels, inputs, largest, covered } = record.arrays;
  if (record.kind !== "kernels" || !(pixels?.values instanceof Uint8Array) || pixels.shape.length !== 4) return null;
  const [filters = 0, shown = 0, rows = 0, columns = 0] = pixels.shape;
  if (!(filters * shown * rows * columns)) return null;
  const numbers = (array: typeof largest) => (array?.values instanceof Float32Array && array.values.length === filters ? array.values : new Float32Array(filters).fill(NaN));
  const most = numbers(largest);
  return {
    epoch: record.epoch, filters, shown, rows, columns, pixels: pixels.values,
    inputs: inputs?.values instanceof Int32Array && inputs.values.length === filters * shown ? inputs.values : Int32Array.from({ length: filters * shown }, (_, i) => i % shown),
    largest: most, layerLargest: most.reduce((found, value) => (value > found ? value : found), 0), covered: numbers(covered), channels: Math.max(whole(record.fields.channels), shown), note: text(record.fields.note),
  };
}

/** Pixels of one kernel: of a filter's `place`-th input channel, row by row. */
export function kernelOf({ pixels, shown, rows, columns }: KernelSheet, filter: number, place: number): Uint8Array {
  const size = rows * columns;
  const at = (filter * shown + place) * size;
  return pixels.subarray(at, at + size);
}

/** How many of a filter's kernels are there: unused places come last. */
export function kernelCount({ inputs, shown }: KernelSheet, filter: number): number {
  let n = 0;
  while (n < shown && inputs[filter * shown + n]! >= 0) n++;
  return n;
}

/** Share of a filter's energy that lies in its `place`-th kernel; NaN where it is not known. */
export function shareOf(sheet: KernelSheet, filter: number, place: number): number {
  const sums = Array.from({ length: sheet.shown }, (_, i) => kernelOf(sheet, filter, i).reduce((sum, pixel) => sum + (pixel - 128) ** 2, 0));
  const all = sums.reduce((sum, one) => sum + one, 0);
  return all > 0 ? ((sums[place] ?? 0) / all) * sheet.covered[filter]! : NaN;
}

/** What full colour stands for in a filter's picture. */
export function fullScale(sheet: KernelSheet, filter: number, scale: KernelScale): number {
  return scale === "filter" ? (sheet.largest[filter] ?? NaN) : sheet.layerLargest;
}

/** How strong a filter's colours are: its largest weight in terms of what full colour stands for. */
export function strength(sheet: KernelSheet, filter: number, scale: KernelScale): number {
  const full = fullScale(sheet, filter, scale);
  const own = sheet.largest[filter]!;
  return full > 0 && own > 0 ? Math.min(1, own / full) : scale === "filter" && !Number.isFinite(own) ? 1 : 0;
}

/** Sum of squared weights of each filter, from what is shown and the share that that is; NaN where it is not known. */
export function energies(sheet: KernelSheet): Float32Array {
  const { filters, shown, rows, columns, pixels, largest, covered } = sheet;
  const size = shown * rows * columns;
  return Float32Array.from({ length: filters }, (_, filter) => {
    let sum = 0;
    for (let i = filter * size; i < (filter + 1) * size; i++) sum += (pixels[i]! - 128) ** 2;
    const share = covered[filter]!;
    return share > 0 ? (sum * (largest[filter]! / 127) ** 2) / share : largest[filter]! === 0 ? 0 : NaN;
  });
}

/** Filters by number, by energy, or by how rough they are, the most first; what is not known goes last. */
export function orderKernels(sheet: KernelSheet, by: KernelOrder, roughness: ArrayLike<number> | null): Int32Array {
  const order = Int32Array.from({ length: sheet.filters }, (_, filter) => filter);
  if (by === "index") return order;
  const values = by === "energy" ? energies(sheet) : roughness;
  const key = (filter: number) => {
    const value = values?.[filter] ?? NaN;
    return Number.isFinite(value) ? value : -Infinity;
  };
  return order.sort((a, b) => key(b) - key(a) || a - b);
}

/** The size of the kernels and how much of them is to be seen, in words. */
export function kernelSummary(sheet: KernelSheet, unit: string): string {
  const { filters, shown, rows, columns, channels, covered, inputs } = sheet;
  const known = [...covered].filter(Number.isFinite).sort((a, b) => a - b);
  const middle = known[known.length >> 1];
  const single = channels === 1 || (shown === 1 && inputs.every((channel) => channel <= 0));
  return [
    `${plural(filters, unit)} of ${rows > 1 ? `${rows} × ${columns}` : columns}`,
    single ? "one input channel"
    : shown >= channels ? `all ${count(channels)} input channels, those with most energy first`
    : `of each the ${count(shown)} of ${count(channels)} input channels with most of its energy${middle === undefined ? "" : `: ${percent(middle)} of it in the median`}`,
  ].join(" · ");
}
