// Groups of filters that act together, and where.  Pure functions on records; whatever a log holds, what comes out of here can be drawn.

import { list, numberOr, text, whole } from "../api/plain";
import type { FrameRecord } from "../api/types";
import type { Tile } from "./gallery";
import { identityColour } from "./identities";
import { picturesOf } from "./pictures";
import { EIGHT_HUES, type Rgb } from "../theme/palette";

export interface GroupSheet {
  /** Where on the axis they were recorded. */
  epoch: number;
  /** Indices into the probe. */
  samples: Int32Array;
  groups: number;
  rows: number;
  columns: number;
  /** (samples, groups, rows, columns); 255 = the largest of the group. */
  maps: Uint8Array;
  largest: Float32Array;
  filters: number;
  /** (groups, filters), of length 1 a group. */
  weights: Float32Array;
  /** Of the tensor's energy; NaN = not known. */
  share: Float32Array;
  unexplained: number;
  /** How alike each group's weights are to those of its place in the record before; NaN = there were none. */
  likeness: Float32Array;
  /** An image for each; null where there are none. */
  tiles: Tile[] | null;
  /** Rows and columns of the whole map. */
  fullSize: number[];
  note: string;
}

/** The groups of a record; null where they cannot be drawn. */
export function groupsOf(record: FrameRecord): GroupSheet | null {
  const { samples, maps, largest, weights, share, likeness } = record.arrays;
  if (record.kind !== "factors" || !(maps?.values instanceof Uint8Array) || maps.shape.length !== 4) return null;
  if (!(samples?.values instanceof Int32Array) || !(weights?.values instanceof Float32Array) || weights.shape.length !== 2) return null;
  const [shown = 0, groups = 0, rows = 0, columns = 0] = maps.shape;
  if (!(shown * groups * rows * columns) || samples.values.length !== shown || weights.shape[0] !== groups) return null;
  const numbers = (array: typeof share) => (array?.values instanceof Float32Array && array.values.length === groups ? array.values : new Float32Array(groups).fill(NaN));
  return {
    epoch: record.epoch, samples: samples.values, groups, rows, columns, maps: maps.values, largest: numbers(largest), filters: weights.shape[1]!, weights: weights.values,
    share: numbers(share), likeness: numbers(likeness), unexplained: numberOr(record.fields.unexplained, NaN), tiles: picturesOf(record, groups),
    fullSize: list(record.fields.full_size).map((n) => whole(n)).filter((n) => n > 0), note: text(record.fields.note),
  };
}

/** Where a group acts in a sample: bytes, row by row; both are places in the sheet. */
export function groupMap({ groups, rows, columns, maps }: GroupSheet, sample: number, group: number): Uint8Array {
  const size = rows * columns;
  const at = (sample * groups + group) * size;
  return maps.subarray(at, at + size);
}

export const weightsOf = ({ filters, weights }: GroupSheet, group: number): Float32Array => weights.subarray(group * filters, (group + 1) * filters);

/** The hue of a group, by its number: eight that anyone can tell apart, then as many as there may be. */
export const groupHue = (group: number, dark: boolean): Rgb => EIGHT_HUES[group] ?? identityColour(group, dark);

/** Whether the layer has no positions: a map is one number. */
export const isPoint = ({ rows, columns }: GroupSheet): boolean => rows * columns === 1;
