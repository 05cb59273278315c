// Separation as curves: of one layer over epochs, and of one epoch over layers.  Pure functions.

import { count, percent } from "./format";
import type { NumberTable, Series } from "./numbers";

export const MEASURES = ["knn_accuracy", "probe_accuracy", "silhouette"] as const;
export type Measure = (typeof MEASURES)[number];

export const MEASURE_NAMES: Record<Measure, string> = { knn_accuracy: "kNN", probe_accuracy: "linear probe", silhouette: "silhouette" };

export interface Point {
  x: number;
  value: number;
  /** Standard deviation; 0 where it is not known. */
  deviation: number;
}

export interface Line {
  measure: Measure;
  points: Point[];
}

const finite = (value: number | null | undefined): value is number => typeof value === "number" && Number.isFinite(value);

/** A layer's measures over epochs; those that were never known are left out. */
export function overEpochs(numbers: NumberTable, layer: string): Line[] {
  return MEASURES.map((measure): Line => {
    const series: Series = numbers.series("separation", layer, measure);
    const points = series.epochs.flatMap((epoch, i): Point[] => {
      const value = series.values[i];
      if (!finite(value)) return [];
      const deviation = measure === "probe_accuracy" ? numbers.at("separation", layer, "probe_deviation", epoch) : 0;
      return [{ x: epoch, value, deviation: finite(deviation) ? deviation : 0 }];
    });
    return { measure, points };
  }).filter((line) => line.points.length);
}

/** The layers' measures at an epoch: x is the layer's place in `layers`. */
export function overLayers(numbers: NumberTable, layers: string[], epoch: number): Line[] {
  return MEASURES.map((measure): Line => ({
    measure,
    points: layers.flatMap((layer, x): Point[] => {
      const value = numbers.at("separation", layer, measure, epoch);
      const deviation = measure === "probe_accuracy" ? numbers.at("separation", layer, "probe_deviation", epoch) : 0;
      return finite(value) ? [{ x, value, deviation: finite(deviation) ? deviation : 0 }] : [];
    }),
  })).filter((line) => line.points.length);
}

/** What of a layer's measures at an epoch was not taken over everything, in words. */
export function shortcuts(numbers: NumberTable, layer: string, epoch: number): string[] {
  const at = (name: string): number => numbers.at("separation", layer, name, epoch) ?? 0;
  return [
    numbers.at("separation", layer, "exact_neighbors", epoch) === 0 ? "neighbours found by approximate search" : "",
    at("probed") > 0 ? `the linear probe saw ${count(at("probed"))} samples` : "",
    at("judged") > 0 ? `silhouette over ${count(at("judged"))} samples` : "",
    at("distance_error") > 0 ? `distances within ${percent(at("distance_error"), 1)}` : "",
  ].filter(Boolean);
}

/** Accuracy of always naming the most frequent class of the labelled samples; null where nothing can be guessed. */
export function chanceLevel(labels: readonly number[]): number | null {
  const counts = new Map<number, number>();
  let all = 0;
  for (const label of labels) {
    if (label < 0) continue;
    counts.set(label, (counts.get(label) ?? 0) + 1);
    all++;
  }
  return counts.size > 1 ? Math.max(...counts.values()) / all : null;
}

/** Lowest and highest value with their deviations, rounded outwards to a tenth; at most `within`. */
export function span(lines: readonly Line[], besides: readonly (number | null)[], within: [number, number]): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  const take = (value: number) => ([low, high] = [Math.min(low, value), Math.max(high, value)]);
  for (const { points } of lines) for (const { value, deviation } of points) take(value - deviation), take(value + deviation);
  if (low > high) return within;
  // A little room below, or the line would lie on the edge.
  for (const value of besides) if (value !== null) take(value - 0.01), take(value);
  [low, high] = [Math.max(within[0], Math.floor(low * 10 + 1e-9) / 10), Math.min(within[1], Math.ceil(high * 10 - 1e-9) / 10)];
  return high - low < 0.1 ? [Math.max(within[0], high - 0.1), Math.max(high, within[0] + 0.1)] : [low, high];
}

/** Heights for labels that would like to stand at `wanted`: in the same order, `gap` apart, within bounds where there is room. */
export function apart(wanted: readonly number[], gap: number, low: number, high: number): number[] {
  const order = wanted.map((_, i) => i).sort((a, b) => wanted[a]! - wanted[b]!);
  const placed = wanted.slice();
  let floor = low;
  for (const i of order) floor = (placed[i] = Math.max(wanted[i]!, floor)) + gap;
  let ceiling = high;
  for (const i of order.reverse()) ceiling = (placed[i] = Math.min(placed[i]!, ceiling)) - gap;
  return placed;
}
