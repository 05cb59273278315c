// Samples by the largest number of their feature tensor (row E10): groups to be seen where there are no labels.  Pure functions.

import type { FrameRecord } from "../api/types";
import { EIGHT_HUES, neutral, type Rgb } from "../theme/palette";

export interface Largest {
  /** The filter or unit of every sample; `OTHERS` where it is none of the most frequent. */
  keys: Int32Array;
  /** The most frequent ones, and which hue each has. */
  hues: ReadonlyMap<number, number>;
  /** How many different ones there are beyond those. */
  others: number;
  /** "filter" where a filter has a whole map of numbers, else "unit". */
  unit: "filter" | "unit";
}

export const OTHERS = -1;
const MOST = 8;

/**
 * The filter (`largest` modulo `filters`: it counts along the last axis) in which each sample's largest number lies.
 * Null where it was not recorded, or `filters` is not known.
 */
export function largestOf(record: FrameRecord | null, layer: { filters: number; shape: readonly unknown[] } | null): Largest | null {
  const values = record?.arrays.largest?.values;
  if (!(values instanceof Int32Array) || !layer || layer.filters < 1) return null;
  const own = values.map((index) => (index < 0 ? OTHERS : index % layer.filters));
  const counts = new Map<number, number>();
  for (const key of own) if (key >= 0) counts.set(key, (counts.get(key) ?? 0) + 1);
  const frequent = [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, MOST).map(([key]) => key);
  const hues = spread(frequent);
  return {
    keys: own.map((key) => (hues.has(key) ? key : OTHERS)), hues, others: counts.size - hues.size,
    unit: layer.shape.length > 1 ? "filter" : "unit",
  };
}

/** A hue of its own for each: the one that its number asks for, or the next that is free.  So most keep theirs from epoch to epoch. */
function spread(keys: readonly number[]): Map<number, number> {
  const taken = new Map<number, number>();
  const hues = new Map<number, number>();
  for (const key of keys) {
    let hue = key % MOST;
    while (taken.has(hue)) hue = (hue + 1) % MOST;
    taken.set(hue, key);
    hues.set(key, hue);
  }
  return hues;
}

export const largestName = ({ unit, others }: Largest, key: number): string => (key < 0 ? (others > 0 ? `${others} others` : "not known") : `${unit} ${key}`);

export function largestHue({ hues }: Largest, key: number, dark: boolean): Rgb {
  const hue = hues.get(key);
  return hue === undefined ? neutral(dark) : EIGHT_HUES[hue]!;
}
