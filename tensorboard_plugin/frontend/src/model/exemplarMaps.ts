// What a filter makes of the samples that activate it most, as heat over their pictures.  Pure functions on records.

import { list, text, whole } from "../api/plain";
import type { FrameRecord, LayerInfo } from "../api/types";
import { overlayColour, overlayWords } from "../charts/mapColours";
import type { Rgb } from "../theme/palette";

export interface ExemplarMapSheet {
  epoch: number;
  filters: Int32Array;
  /** (filters, top) */
  samples: Int32Array;
  top: number;
  rows: number;
  columns: number;
  /** (filters, top, rows, columns): 0 = `low`, 255 = `high` of the filter. */
  pixels: Uint8Array;
  low: Float32Array;
  high: Float32Array;
  /** Rows and columns of the whole map. */
  fullSize: number[];
  note: string;
}

/** The maps of a record; null where they cannot be drawn. */
export function exemplarMapsOf(record: FrameRecord): ExemplarMapSheet | null {
  const { filters, samples, pixels, low, high } = record.arrays;
  if (record.kind !== "exemplar_maps" || !(filters?.values instanceof Int32Array) || !(samples?.values instanceof Int32Array)) return null;
  if (!(pixels?.values instanceof Uint8Array) || pixels.shape.length !== 4 || samples.shape.length !== 2) return null;
  const [shown = 0, top = 0, rows = 0, columns = 0] = pixels.shape;
  if (!(shown * top * rows * columns) || filters.values.length !== shown || samples.shape[0] !== shown || samples.shape[1] !== top) return null;
  const numbers = (array: typeof low) => (array?.values instanceof Float32Array && array.values.length === shown ? array.values : new Float32Array(shown).fill(NaN));
  return {
    epoch: record.epoch, filters: filters.values, samples: samples.values, top, rows, columns, pixels: pixels.values,
    low: numbers(low), high: numbers(high),
    fullSize: list(record.fields.full_size).map((n) => whole(n)).filter((n) => n > 0), note: text(record.fields.note),
  };
}

/** A filter's map of a sample; null where it was not recorded. */
export function mapOfExemplar(sheet: ExemplarMapSheet, filter: number, sample: number): Uint8Array | null {
  const row = sheet.filters.indexOf(filter);
  if (row < 0) return null;
  const place = sheet.samples.subarray(row * sheet.top, (row + 1) * sheet.top).indexOf(sample);
  if (place < 0) return null;
  const size = sheet.rows * sheet.columns;
  const start = (row * sheet.top + place) * size;
  return sheet.pixels.subarray(start, start + size);
}

/** What part of the input a map lies over, as shares of the input's width and height; it may reach beyond. */
export interface Extent {
  left: number;
  top: number;
  width: number;
  height: number;
}

export const WHOLE: Extent = { left: 0, top: 0, width: 1, height: 1 };

/**
 * Where the map lies over the input: each cell over the stride around the middle of what its unit sees.  null where the
 * layer's geometry is not known; the map is then stretched over the whole of it, which is right but for a margin.
 */
export function extentOf(info: LayerInfo | null, fullSize: readonly number[], input: { height: number; width: number } | null): Extent | null {
  if (!info || !input || fullSize.length !== 2) return null;
  const { field_size: size, field_stride: stride, field_offset: offset } = info;
  if (size.length !== 2 || stride.length !== 2 || offset.length !== 2) return null;
  const along = (axis: 0 | 1, pixels: number): [start: number, length: number] =>
    [(offset[axis]! + (size[axis]! - stride[axis]!) / 2) / pixels, (fullSize[axis]! * stride[axis]!) / pixels];
  const [top, height] = along(0, input.height);
  const [left, width] = along(1, input.width);
  return height > 0 && width > 0 ? { left, top, width, height } : null;
}

const OPACITY = 0.8;

/** Colours of bytes as words of RGBA: where the filter is silent the picture stays as it is. */
export const HEAT: Uint32Array = overlayWords(Array.from({ length: 256 }, (_, value) => value), { full: 255, signed: false }, OPACITY);

/** What a share of the filter's range looks like over a picture. */
export const heatColour = (share: number): Rgb => overlayColour(share, false, OPACITY);
