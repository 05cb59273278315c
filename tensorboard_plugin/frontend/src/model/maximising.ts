// Samples of the probe, led a few steps towards what maximises a filter.  Pure functions on records; whatever a log holds, what
// comes out of here can be drawn.

import { numberOr, text, whole } from "../api/plain";
import type { FrameRecord } from "../api/types";
import { boxOf, type Box, type ImageSheet, type Tile } from "./gallery";
import { picturesOf } from "./pictures";

/** Of the range from the lowest to the highest value: what is above is kept. */
export const THRESHOLD = 0.9;

export interface Maximised {
  filter: number;
  /** Of the probe, from which it started. */
  sample: number;
  tile: Tile;
  thresholded: Tile;
  /** What entered the activation, of the sample and of the image; NaN = not known. */
  started: number;
  activation: number;
  /** What the unit sees of the sample, in the image's pixels: all that was changed; null where it is not known. */
  box: Box | null;
  /** Share of high spatial frequencies; NaN = not known. */
  noise: number;
}

export interface MaximisingSheet {
  epoch: number;
  rows: Maximised[];
  steps: number;
  naturalNoise: number;
  calibratedOn: number;
  note: string;
}

/** The images of a record; null where they cannot be drawn. */
export function maximisingOf(record: FrameRecord): MaximisingSheet | null {
  const { filters, samples, started, activation, noise, boxes } = record.arrays;
  if (record.kind !== "maximising" || !(filters?.values instanceof Int32Array) || !(samples?.values instanceof Int32Array)) return null;
  const count = filters.values.length;
  const tiles = samples.values.length === count && count ? picturesOf(record, count) : null;
  if (!tiles?.length) return null;
  const dark = thresholdedSheet(tiles[0]!.sheet);
  const number = (array: typeof started, i: number) => (array?.values instanceof Float32Array && array.values.length === count ? array.values[i]! : NaN);
  const bounds = boxes?.values instanceof Int32Array && boxes.values.length === 4 * count ? boxes.values : null;
  return {
    epoch: record.epoch, steps: whole(record.fields.steps), naturalNoise: numberOr(record.fields.natural_noise, NaN), calibratedOn: whole(record.fields.calibrated_on), note: text(record.fields.note),
    rows: tiles.map((tile, i) => ({
      filter: filters.values[i] as number, sample: samples.values[i] as number, tile, thresholded: { ...tile, sheet: dark },
      started: number(started, i), activation: number(activation, i), noise: number(noise, i), box: bounds && boxOf(bounds.subarray(4 * i, 4 * i + 4)),
    })),
  };
}

/** What of images is above 0.9 of the range: white there, black elsewhere, each channel by itself. */
function thresholdedSheet(sheet: ImageSheet): ImageSheet {
  return { ...sheet, pixels: sheet.pixels.map((pixel) => (pixel > THRESHOLD * 255 ? 255 : 0)) };
}
