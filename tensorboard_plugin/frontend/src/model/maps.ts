// What a layer makes of some samples, channel by channel.  Pure functions on records; whatever a log holds, what
// comes out of here can be drawn.

import { list, text, whole } from "../api/plain";
import type { FrameRecord } from "../api/types";
import { oklch, type Rgb } from "../theme/palette";

export interface MapSheet {
  /** Where on the axis they were recorded. */
  epoch: number;
  /** Indices into the probe. */
  samples: Int32Array;
  rows: number;
  columns: number;
  filters: number;
  /** (samples, rows, columns, filters); 0 = `low`, 255 = `high` of the filter. */
  pixels: Uint8Array;
  low: Float32Array;
  high: Float32Array;
  /** The bare response, before bias and activation, laid out the same: 128 = 0, 255 = `reach`; null where it is not known. */
  convolved: Uint8Array | null;
  reach: Float32Array | null;
  /** Rows and columns of the whole map. */
  fullSize: number[];
  note: string;
}

/** The maps of a record; null where they cannot be drawn. */
export function mapsOf(record: FrameRecord): MapSheet | null {
  const { pixels, samples, low, high, convolved, reach } = record.arrays;
  if (record.kind !== "maps" || !(pixels?.values instanceof Uint8Array) || pixels.shape.length !== 4) return null;
  if (!(samples?.values instanceof Int32Array)) return null;
  const [shown = 0, rows = 0, columns = 0, filters = 0] = pixels.shape;
  if (!(shown * rows * columns * filters) || samples.values.length !== shown) return null;
  const numbers = (array: typeof low) => (array?.values instanceof Float32Array && array.values.length === filters ? array.values : null);
  const bare = convolved?.values instanceof Uint8Array && convolved.values.length === pixels.values.length ? convolved.values : null;
  return {
    epoch: record.epoch, samples: samples.values, rows, columns, filters, pixels: pixels.values,
    low: numbers(low) ?? new Float32Array(filters).fill(NaN), high: numbers(high) ?? new Float32Array(filters).fill(NaN),
    convolved: bare, reach: bare && numbers(reach),
    fullSize: list(record.fields.full_size).map((n) => whole(n)).filter((n) => n > 0), note: text(record.fields.note),
  };
}

/** One filter's map of the `place`-th sample, row by row, out of `pixels` or `convolved`. */
export function mapOf({ rows, columns, filters }: MapSheet, values: Uint8Array, place: number, filter: number): Uint8Array {
  const found = new Uint8Array(rows * columns);
  const start = place * rows * columns * filters + filter;
  for (let i = 0; i < found.length; i++) found[i] = values[start + i * filters]!;
  return found;
}

/** Whether a filter says the same everywhere, on all of the samples. */
export const isFlat = ({ low, high }: MapSheet, filter: number): boolean => low[filter]! >= high[filter]!;

/**
 * The sample to show: the one under the pointer or selected, where it is among those that were recorded; else the first of them.
 * Returns its place among them.
 */
export function placeOf(sheet: Pick<MapSheet, "samples">, hovered: number | null, selected: readonly number[]): number {
  for (const sample of [hovered ?? -1, ...selected.toReversed()]) {
    const place = sheet.samples.indexOf(sample);
    if (place >= 0) return place;
  }
  return 0;
}

/** Hues of channels: equal steps round the circle, neighbours far apart, so that channels beside each other differ. */
export function channelHue(filter: number, filters: number): Rgb {
  const step = strideOf(filters);
  return oklch(0.7, 0.26, (360 * ((filter * step) % filters)) / filters + 25);
}

/** The whole number nearest to the golden section of `n` that has no divisor in common with it: its multiples pass through all. */
function strideOf(n: number): number {
  if (n === strideFor.n) return strideFor.stride;
  const golden = Math.max(1, Math.round(0.381966 * n));
  let stride = golden;
  for (let i = 1; divisor(stride, n) !== 1; i++) stride = Math.max(1, golden + (i % 2 ? (i + 1) >> 1 : -(i >> 1)));
  strideFor = { n, stride };
  return stride;
}
let strideFor = { n: 0, stride: 1 };

const divisor = (a: number, b: number): number => (b ? divisor(b, a % b) : a);

/** Share of a pixel's light that colour should be, where hues are strong, and by how much they are strengthened at most. */
const COLOURFUL = 0.6;
const MOST_STRENGTHENED = 8;

/**
 * All channels in one picture, (rows × columns) words of RGBA: the sum over channels of hue × activation, each between its
 * filter's lowest and highest, in linear light.  Channels that answer alike give grey; of many channels little but grey would be
 * left, so all hues of the picture are strengthened alike.  As bright as lets hardly any pixel saturate.  Flat channels are left out.
 */
export function combined(sheet: MapSheet, place: number): Uint32Array<ArrayBuffer> {
  const { rows, columns, filters, pixels } = sheet;
  const size = rows * columns;
  const sums = new Float32Array(3 * size);
  const total = [0, 0, 0];
  const start = place * size * filters;
  for (let filter = 0; filter < filters; filter++) {
    if (isFlat(sheet, filter)) continue;
    const [r, g, b] = channelHue(filter, filters).map(toLinear) as [number, number, number];
    total[0]! += r;
    total[1]! += g;
    total[2]! += b;
    for (let i = 0, at = start + filter; i < size; i++, at += filters) {
      const value = pixels[at]! / 255;
      if (!value) continue;
      sums[3 * i]! += value * r;
      sums[3 * i + 1]! += value * g;
      sums[3 * i + 2]! += value * b;
    }
  }
  // What all channels answer to is grey, whichever hues there are.
  for (let i = 0; i < sums.length; i++) sums[i]! /= total[i % 3]! || 1;
  strengthen(sums);
  const light = Float32Array.from({ length: size }, (_, i) => Math.max(sums[3 * i]!, sums[3 * i + 1]!, sums[3 * i + 2]!));
  const full = quantile(light, 0.99) || quantile(light, 1) || 1;
  return Uint32Array.from({ length: size }, (_, i) => word([toByte(sums[3 * i]! / full), toByte(sums[3 * i + 1]! / full), toByte(sums[3 * i + 2]! / full)]));
}

/** Draws all colours (three a pixel, linear) away from grey by one factor, in place. */
function strengthen(sums: Float32Array): void {
  const coloured: number[] = [];
  for (let i = 0; i < sums.length; i += 3) {
    const most = Math.max(sums[i]!, sums[i + 1]!, sums[i + 2]!);
    if (most > 0) coloured.push(1 - Math.min(sums[i]!, sums[i + 1]!, sums[i + 2]!) / most);
  }
  const factor = Math.min(MOST_STRENGTHENED, Math.max(1, COLOURFUL / (quantile(coloured, 0.9) || 1)));
  for (let i = 0; i < sums.length; i += 3) {
    const grey = (sums[i]! + sums[i + 1]! + sums[i + 2]!) / 3;
    for (let c = i; c < i + 3; c++) sums[c] = Math.max(0, grey + factor * (sums[c]! - grey));
  }
}

function quantile(values: ArrayLike<number>, share: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
}

const toLinear = (byte: number): number => (byte / 255 <= 0.04045 ? byte / 255 / 12.92 : ((byte / 255 + 0.055) / 1.055) ** 2.4);
function toByte(linear: number): number {
  const x = Math.min(1, Math.max(0, linear));
  return Math.round(255 * (x <= 0.0031308 ? 12.92 * x : 1.055 * x ** (1 / 2.4) - 0.055));
}

/** A colour as the four bytes of an opaque pixel in one word. */
export const word = ([r, g, b]: Rgb): number => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
