// The layer × epoch heat map: which number, on which scale.  Pure functions.

import { diverging, sequential, type Rgb } from "../theme/palette";
import type { NumberTable } from "./numbers";
import type { Metric } from "./settings";

export interface HeatMatrix {
  epochs: number[];
  layers: string[];
  /** rows × columns, null = not recorded. */
  cells: (number | null)[][];
  low: number;
  high: number;
  colour: (value: number) => Rgb;
}

export const METRIC_NAMES: Record<Metric, string> = {
  knn_accuracy: "kNN",
  silhouette: "Silhouette",
  dead: "Dead",
};

/** The value of a metric of a layer at an epoch; dead filters as a share of the layer's. */
export function metricAt(numbers: NumberTable, metric: Metric, layer: string, epoch: number): number | null {
  if (metric !== "dead") return numbers.at("separation", layer, metric, epoch);
  const dead = numbers.at("health", layer, "dead_count", epoch);
  const filters = numbers.at("health", layer, "filters", epoch);
  return dead === null || !filters ? null : dead / filters;
}

export function metricEpochs(numbers: NumberTable, metric: Metric, layers: string[]): number[] {
  const all = new Set<number>();
  for (const layer of layers) {
    const series = metric === "dead" ? numbers.series("health", layer, "dead_count") : numbers.series("separation", layer, metric);
    series.epochs.forEach((epoch, i) => series.values[i] !== null && all.add(epoch));
  }
  return [...all].sort((a, b) => a - b);
}

/** Metrics that were recorded for any layer. */
export function metricsRecorded(numbers: NumberTable, layers: string[], metrics: readonly Metric[]): Metric[] {
  return metrics.filter((metric) => metricEpochs(numbers, metric, layers).length > 0);
}

/** The lowest and highest known value, rounded outwards to steps of 0.05, at least 0.1 apart; null where none is known. */
export function rangeOf(values: (number | null)[]): [low: number, high: number] | null {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value === null || !Number.isFinite(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low > high) return null;
  const [bottom, top] = [Math.floor(low * 20 + 1e-9) / 20, Math.ceil(high * 20 - 1e-9) / 20];
  return top - bottom < 0.1 ? [Math.max(0, top - 0.1), Math.max(0.1, top)] : [bottom, top];
}

export function heatMatrix(numbers: NumberTable, metric: Metric, layers: string[]): HeatMatrix {
  const epochs = metricEpochs(numbers, metric, layers);
  const cells = layers.map((layer) => epochs.map((epoch) => metricAt(numbers, metric, layer, epoch)));
  let extreme = 0;
  for (const row of cells) for (const value of row) if (value !== null) extreme = Math.max(extreme, Math.abs(value));
  if (metric === "silhouette") {
    const bound = Math.max(Math.ceil(extreme * 10) / 10, 0.1);
    return { epochs, layers, cells, low: -bound, high: bound, colour: (value) => diverging(value / bound) };
  }
  // Easy data separate well in every layer: the scale spans what occurs, and its bar says so.
  const [low, high] = (metric === "dead" ? null : rangeOf(cells.flat())) ?? [0, Math.max(Math.ceil(extreme * 10) / 10, 0.1)];
  return { epochs, layers, cells, low, high, colour: (value) => sequential((value - low) / (high - low)) };
}
