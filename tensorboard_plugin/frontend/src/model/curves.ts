// The lines of the timeline: which of Keras' metrics to draw, and where.  Pure functions.

import type { NumberTable, Series } from "./numbers";

export interface Curve {
  name: string;
  series: Series;
  /** On 0…1 (accuracy), or on 0…largest (loss). */
  scale: "unit" | "own";
  /** Measured on held-out data: drawn stronger. */
  validation: boolean;
}

const BOOKKEEPING = new Set(["elapsed_seconds", "blocked_seconds", "learning_rate", "lr"]);

/** At most two accuracies and two losses, validation first; the probe's accuracy where there are none. */
export function curves(numbers: NumberTable): Curve[] {
  const names = numbers.names("epoch", "").filter((name) => !BOOKKEEPING.has(name));
  const pick = (pattern: RegExp, scale: Curve["scale"]): Curve[] => {
    const plain = names.find((name) => !name.startsWith("val_") && pattern.test(name));
    const held = names.find((name) => name === `val_${plain}`) ?? names.find((name) => name.startsWith("val_") && pattern.test(name));
    return [held, plain]
      .filter((name) => name !== undefined)
      .map((name) => ({ name, scale, validation: name.startsWith("val_"), series: numbers.series("epoch", "", name) }));
  };
  const found = [...pick(/acc(uracy)?$/, "unit"), ...pick(/^(val_)?loss$/, "own")];
  if (found.length) return found;
  // Keras' numbers stand at epochs: by step there is the probe's accuracy alone.
  const series = numbers.series("predictions", "", "accuracy");
  return series.epochs.length ? [{ name: "probe accuracy", scale: "unit", validation: true, series }] : [];
}

/** Finite points of a series as [epoch, value], thinned to about `limit` where there are far more than pixels. */
export function points({ epochs, values }: Series, limit = 1000): [number, number][] {
  const all: [number, number][] = [];
  epochs.forEach((epoch, i) => {
    const value = values[i];
    if (value !== null && value !== undefined && Number.isFinite(value)) all.push([epoch, value]);
  });
  if (all.length <= limit) return all;
  const stride = (all.length - 1) / (limit - 1);
  return Array.from({ length: limit }, (_, i) => all[Math.round(i * stride)]!);
}

/** An SVG path through points already in pixels. */
export function linePath(pixels: [number, number][]): string {
  return pixels.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`).join("");
}

/** The newest value at or before an epoch. */
export function valueAt({ epochs, values }: Series, epoch: number): number | null {
  let found: number | null = null;
  for (let i = 0; i < epochs.length && epochs[i]! <= epoch; i++) found = values[i] ?? found;
  return found;
}
