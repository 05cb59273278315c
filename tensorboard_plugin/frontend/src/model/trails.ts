// The paths of some samples through a layer's embedding, epoch by epoch (row E13).  Pure functions.

import type { Frame } from "../api/types";

/** The plugin answers for so many at a time. */
export const MOST_TRAILS = 200;
/** Of more, the mean path of each class is drawn, as wide as it has samples; the single ones stay behind it. */
export const BUNDLED = 30;

export interface Trails {
  samples: Int32Array;
  /** Rising. */
  epochs: Int32Array;
  /** epochs × samples × 2; NaN where an embedding could not be read. */
  points: Float32Array;
}

/** Lines (x, y alternating) from the past to now. */
export interface Trail {
  key: number;
  /** How many samples it stands for. */
  count: number;
  path: Float32Array;
}

/** What the plugin's answer holds; null where it is not what it should be. */
export function trailsOf(frame: Frame): Trails | null {
  const record = frame.records.find((one) => one.kind === "trails");
  const { samples, epochs, points } = record?.arrays ?? {};
  if (!(samples?.values instanceof Int32Array && epochs?.values instanceof Int32Array && points?.values instanceof Float32Array)) return null;
  if (points.values.length !== 2 * samples.values.length * epochs.values.length) return null;
  if (epochs.values.some((epoch, i, all) => i > 0 && epoch <= all[i - 1]!)) return null;
  return { samples: samples.values, epochs: epochs.values, points: points.values };
}

/** At most `MOST_TRAILS` of a selection, spread evenly over it, rising. */
export function tracked(selected: readonly number[]): number[] {
  const stride = Math.max(1, selected.length / MOST_TRAILS);
  const few = Array.from({ length: Math.min(selected.length, MOST_TRAILS) }, (_, i) => selected[Math.floor(i * stride)]!);
  return few.sort((a, b) => a - b);
}

/**
 * One path a sample, of the epochs before `epoch`; it ends where the sample is `now`.  Epochs that could not be read are
 * left out.  `keyOf`: the category of a sample.
 */
export function pathsOf({ samples, epochs, points }: Trails, epoch: number, now: Float32Array, keyOf: (sample: number) => number): Trail[] {
  const past = epochs.filter((one) => one < epoch).length;
  const size = samples.length;
  const found: Trail[] = [];
  samples.forEach((sample, i) => {
    const path: number[] = [];
    for (let e = 0; e < past; e++) push(path, points[2 * (e * size + i)]!, points[2 * (e * size + i) + 1]!);
    push(path, now[2 * sample] ?? NaN, now[2 * sample + 1] ?? NaN);
    if (path.length >= 4) found.push({ key: keyOf(sample), count: 1, path: Float32Array.from(path) });
  });
  return found;
}

/** The mean path of the samples of each category, over those that can be read at an epoch; the most numerous first. */
export function meanPaths({ samples, epochs, points }: Trails, epoch: number, now: Float32Array, keyOf: (sample: number) => number): Trail[] {
  const past = epochs.filter((one) => one < epoch).length;
  const size = samples.length;
  const members = new Map<number, number[]>();
  samples.forEach((sample, i) => {
    const key = keyOf(sample);
    members.set(key, [...(members.get(key) ?? []), i]);
  });
  const found: Trail[] = [];
  for (const [key, own] of members) {
    const path: number[] = [];
    for (let e = 0; e < past; e++) push(path, ...mean(own.map((i) => [points[2 * (e * size + i)]!, points[2 * (e * size + i) + 1]!])));
    push(path, ...mean(own.map((i) => [now[2 * samples[i]!] ?? NaN, now[2 * samples[i]! + 1] ?? NaN])));
    if (path.length >= 4) found.push({ key, count: own.length, path: Float32Array.from(path) });
  }
  return found.sort((a, b) => b.count - a.count || a.key - b.key);
}

function push(path: number[], x: number, y: number): void {
  if (Number.isFinite(x) && Number.isFinite(y)) path.push(x, y);
}

function mean(places: [number, number][]): [number, number] {
  const known = places.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
  const total = known.reduce(([a, b], [x, y]) => [a + x, b + y], [0, 0]);
  return [total[0]! / known.length, total[1]! / known.length];
}
