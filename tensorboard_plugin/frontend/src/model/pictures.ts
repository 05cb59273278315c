// Records that hold an image for each of some things, as the gallery's pictures draw them.  Pure functions.

import type { FrameRecord } from "../api/types";
import { imageSheet, tilesOf, type Tile } from "./gallery";

/** A record's images in their order, one for each of `count` things; null where it has none, or they are not as they should be. */
export function picturesOf(record: FrameRecord, count: number): Tile[] | null {
  const places = { values: Int32Array.from({ length: count }, (_, place) => place), shape: [count], table: null };
  const sheet = imageSheet({ ...record, arrays: { ...record.arrays, filters: places } });
  return sheet && tilesOf(sheet);
}

/** The filters of a row of weights that count, the heaviest first, at most `most`: those from a hundredth of the heaviest on. */
export function heaviest(weights: ArrayLike<number>, most: number): { filter: number; weight: number }[] {
  const order = Array.from(weights, (weight, filter) => ({ filter, weight }))
    .filter(({ weight }) => weight > 0 && Number.isFinite(weight))
    .sort((a, b) => b.weight - a.weight || a.filter - b.filter)
    .slice(0, most);
  return order.filter(({ weight }) => weight >= 0.01 * order[0]!.weight);
}
