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
  probe_accuracy: "Probe",
  silhouette: "Silhouette",
  change: "Change",
  dead: "Dead",
};

/** The number behind a metric: the kind of record, and its name there. */
const SOURCES: Record<Metric, [kind: string, name: string]> = {
  knn_accuracy: ["separation", "knn_accuracy"],
  probe_accuracy: ["separation", "probe_accuracy"],
  silhouette: ["separation", "silhouette"],
  change: ["separation", "cka_to_last"],
  dead: ["health", "dead_count"],
};

/** The kind of record that a metric is of. */
export const metricKind = (metric: Metric): string => SOURCES[metric][0];

/** The value of a metric of a layer at an epoch; dead filters as a share of the layer's, change as what is missing of an alignment of 1. */
export function metricAt(numbers: NumberTable, metric: Metric, layer: string, epoch: number): number | null {
  const [kind, name] = SOURCES[metric];
  const value = numbers.at(kind, layer, name, epoch);
  if (metric === "change") return value === null ? null : 1 - value;
  if (metric !== "dead") return value;
  const filters = numbers.at("health", layer, "filters", epoch);
  return value === null || !filters ? null : value / filters;
}

export function metricEpochs(numbers: NumberTable, metric: Metric, layers: string[]): number[] {
  const all = new Set<number>();
  for (const layer of layers) {
    const series = numbers.series(SOURCES[metric][0], layer, SOURCES[metric][1]);
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
  const [low, high] = (metric === "dead" || metric === "change" ? null : rangeOf(cells.flat())) ?? [0, Math.max(Math.ceil(extreme * 10) / 10, 0.1)];
  return { epochs, layers, cells, low, high, colour: (value) => sequential((value - low) / (high - low)) };
}
