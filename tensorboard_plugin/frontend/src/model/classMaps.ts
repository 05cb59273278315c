// Where a layer sees a class, and which filters decide that.  Pure functions on records; whatever a log holds, what comes out of here
// can be drawn.

import { list, text, whole } from "../api/plain";
import type { FrameRecord } from "../api/types";

export interface ClassMapSheet {
  /** Where on the axis they were recorded. */
  epoch: number;
  /** Indices into the probe, and the class that each map is for. */
  samples: Int32Array;
  classes: Int32Array;
  rows: number;
  columns: number;
  /** (samples, rows, columns); 255 = `largest`. */
  pixels: Uint8Array;
  largest: Float32Array;
  filters: number;
  /** (samples, filters): how the class' score changes with each channel; null where it is not known. */
  weights: Float32Array | null;
  /** Share of each filter, over all samples; NaN = not known. */
  influence: Float32Array;
  method: string;
  /** Rows and columns of the whole map. */
  fullSize: number[];
  note: string;
}

const CLASS_METHODS: Record<string, string> = { gradcam: "Grad-CAM", "gradcam++": "Grad-CAM++", layercam: "LayerCAM", scorecam: "Score-CAM" };

export const classMethod = (method: string): string => (Object.hasOwn(CLASS_METHODS, method) ? CLASS_METHODS[method]! : method);

/** The maps of a record; null where they cannot be drawn. */
export function classMapsOf(record: FrameRecord): ClassMapSheet | null {
  const { samples, classes, pixels, largest, weights, influence } = record.arrays;
  if (record.kind !== "class_activation" || !(pixels?.values instanceof Uint8Array) || pixels.shape.length !== 3) return null;
  if (!(samples?.values instanceof Int32Array) || !(classes?.values instanceof Int32Array)) return null;
  const [shown = 0, rows = 0, columns = 0] = pixels.shape;
  if (!(shown * rows * columns) || samples.values.length !== shown || classes.values.length !== shown) return null;
  const known = influence?.values instanceof Float32Array ? influence.values : new Float32Array();
  const full = weights?.values instanceof Float32Array && weights.shape.length === 2 && weights.shape[0] === shown && weights.shape[1] === known.length;
  return {
    epoch: record.epoch, samples: samples.values, classes: classes.values, rows, columns, pixels: pixels.values,
    largest: largest?.values instanceof Float32Array && largest.values.length === shown ? largest.values : new Float32Array(shown).fill(NaN),
    filters: known.length, weights: full ? (weights!.values as Float32Array) : null, influence: known, method: text(record.fields.method),
    fullSize: list(record.fields.full_size).map((n) => whole(n)).filter((n) => n > 0), note: text(record.fields.note),
  };
}

/** A sample's map: bytes, row by row; `place` is that in the sheet. */
export function classMap({ rows, columns, pixels }: ClassMapSheet, place: number): Uint8Array {
  const size = rows * columns;
  return pixels.subarray(place * size, (place + 1) * size);
}

/** Whether nothing in a sample speaks for the class: its map is 0 everywhere. */
export const isEmpty = (sheet: ClassMapSheet, place: number): boolean => sheet.largest[place] === 0 || classMap(sheet, place).every((pixel) => pixel === 0);

/** What the channels weigh in one sample; null where it is not known. */
export const sampleWeights = ({ filters, weights }: ClassMapSheet, place: number): Float32Array | null => weights && weights.subarray(place * filters, (place + 1) * filters);

/** Filters by their influence, the most first, and what share of all the first of them have together. */
export function ranked({ influence }: ClassMapSheet): { filter: number; influence: number; together: number }[] {
  const order = Array.from(influence, (share, filter) => ({ filter, influence: share })).sort((a, b) => key(b.influence) - key(a.influence) || a.filter - b.filter);
  let together = 0;
  return order.map((one) => ({ ...one, together: (together += Number.isFinite(one.influence) ? one.influence : 0) }));
}

const key = (value: number): number => (Number.isFinite(value) ? value : -Infinity);
