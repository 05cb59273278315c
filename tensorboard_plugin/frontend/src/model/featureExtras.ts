// What a record of feature images holds beside the images: how each came about, and what activation filtering left of it.

import type { FrameRecord } from "../api/types";
import type { ImageSheet, Tile } from "./gallery";

/** The images after so many steps of the ascent. */
export interface Snapshots {
  /** Rising. */
  steps: number[];
  /** Row r · steps + i is the r-th filter's image after the i-th of `steps`. */
  sheet: ImageSheet;
}

/** Activation filtering: whole images before and after, of some filters. */
export interface Filtering {
  before: ImageSheet;
  after: ImageSheet;
  /** Share of the activation map that survives; NaN = not known. */
  preserved: ArrayLike<number>;
}

/** A filter's image before and after activation filtering. */
export interface Filtered {
  filter: number;
  epoch: number;
  before: Tile;
  after: Tile;
  preserved: number;
}

const MOST_SNAPSHOTS = 16;

/** The snapshots of a record, where they fit its images; null where there are none. */
export function snapshotsOf(record: FrameRecord, sheet: ImageSheet): Snapshots | null {
  const { snapshot_steps: taken, snapshot_pixels: pixels } = record.arrays;
  if (!(taken?.values instanceof Int32Array) || !(pixels?.values instanceof Uint8Array)) return null;
  const steps = Array.from(taken.values);
  const shape = [sheet.filters.length, steps.length, sheet.height, sheet.width, sheet.channels];
  if (!steps.length || steps.length > MOST_SNAPSHOTS || !fits(pixels.shape, shape)) return null;
  if (steps.some((step, i) => step < 0 || (i > 0 && step <= steps[i - 1]!))) return null;
  return { steps, sheet: { ...sheet, pixels: pixels.values } };
}

/** The filtered images of a record; null where there are none, or they do not fit each other. */
export function filteringOf(record: FrameRecord, sheet: ImageSheet): Filtering | null {
  const { filtered_filters: filters, whole_pixels: whole, filtered_pixels: filtered, preserved } = record.arrays;
  if (!(filters?.values instanceof Int32Array) || !(whole?.values instanceof Uint8Array) || !(filtered?.values instanceof Uint8Array)) return null;
  const [shown = 0, height = 0, width = 0, channels = 0] = filtered.shape;
  if (filtered.shape.length !== 4 || shown !== filters.values.length || channels !== sheet.channels || !(shown * height * width * channels)) return null;
  if (!fits(whole.shape, filtered.shape)) return null;
  const unknown = new Float32Array(shown).fill(NaN);
  const of = (pixels: Uint8Array): ImageSheet => ({
    ...sheet, filters: filters.values as Int32Array, pixels, height, width, field: null, activation: unknown, natural: unknown,
    reached: new Uint8Array(shown).fill(1), stopped: null, snapshots: null, filtering: null,
  });
  const known = preserved?.values instanceof Float32Array && preserved.values.length === shown ? preserved.values : unknown;
  return { before: of(whole.values), after: of(filtered.values), preserved: known };
}

/** One filter's image after each of the steps, and after the last; those that the ascent did not reach are left out. */
export function ascentOf(tile: Tile): { step: number | null; tile: Tile }[] {
  const { sheet, row } = tile;
  const { snapshots } = sheet;
  if (!snapshots) return [];
  const last = lastStep(tile);
  const taken = snapshots.steps.map((step, i) => ({ step, tile: { ...tile, sheet: snapshots.sheet, row: row * snapshots.steps.length + i } }));
  return [...taken.filter(({ step }) => last === null || step < last), { step: last, tile }];
}

/** Steps that an image took; null = not known. */
export function lastStep({ sheet, row }: Tile): number | null {
  const stopped = sheet.stopped ? Number(sheet.stopped[row]) : NaN;
  if (stopped > 0) return stopped;
  const { steps } = sheet.fields;
  return typeof steps === "number" && Number.isInteger(steps) && steps > 0 ? steps : null;
}

/** Whether the guard ended an ascent before its last step. */
export function endedEarly(tile: Tile): boolean {
  const { steps } = tile.sheet.fields;
  const last = lastStep(tile);
  return typeof steps === "number" && last !== null && last < steps;
}

/** Each filter's newest filtered image; `sheets` come newest first, those of another size than the newest are left out.  By filter. */
export function assembleFiltered(sheets: readonly ImageSheet[]): Filtered[] {
  const found = new Map<number, Filtered>();
  let size = "";
  for (const sheet of sheets) {
    const { filtering } = sheet;
    if (!filtering) continue;
    const { before, after, preserved } = filtering;
    const shape = [after.height, after.width, after.channels].join();
    if (shape !== (size ||= shape)) continue;
    after.filters.forEach((filter, row) => {
      if (filter < 0 || found.has(filter)) return;
      const tile = (of: ImageSheet): Tile => ({ filter, sheet: of, row, activation: NaN, natural: NaN, reached: true, epoch: sheet.epoch });
      found.set(filter, { filter, epoch: sheet.epoch, before: tile(before), after: tile(after), preserved: Number(preserved[row]) });
    });
  }
  return [...found.values()].sort((a, b) => a.filter - b.filter);
}

const fits = (shape: readonly number[], wanted: readonly number[]): boolean =>
  shape.length === wanted.length && wanted.every((size, axis) => shape[axis] === size);
