// Each filter's largest activation on some inputs, stacked.  Pure functions on a record of histograms.

import type { FrameRecord } from "../api/types";
import { categoryColours, mix, neutral, type Rgb } from "../theme/palette";
import { byValue } from "./arrange";
import { percent, plural, ratio } from "./format";
import type { MaximaOrder } from "./settings";

export interface Maxima {
  filters: number;
  /** Samples of the probe, by class, then by number. */
  inputs: number[];
  /** inputs × filters, row by row, in the order of `inputs`; 0 where it was not finite. */
  values: Float32Array;
  /** Of each filter: the sum of what is above zero, and of what is below. */
  above: Float64Array;
  below: Float64Array;
  highest: Float64Array;
}

export interface Verdict {
  fine: boolean;
  text: string;
  /** What it rests on, each with its meaning. */
  numbers: { name: string; value: string; title: string }[];
}

/** Fewest inputs on which filters may be ranked. */
const FEWEST = 20;
const SAME_ORDER = 0.9;
const SAME_SILENCE = 0.95;

/** The maxima of a record, or null where it has none that fit each other. */
export function maximaOf({ arrays }: FrameRecord, labels: readonly number[]): Maxima | null {
  const { inputs, maxima } = arrays;
  if (!(inputs?.values instanceof Int32Array) || !(maxima?.values instanceof Float32Array) || maxima.shape.length !== 2) return null;
  const [rows = 0, filters = 0] = maxima.shape;
  if (rows !== inputs.values.length || !rows || !filters) return null;
  const samples = inputs.values;
  const largest = maxima.values;
  const label = (i: number) => labels[samples[i]!] ?? -1;
  const order = Array.from({ length: rows }, (_, i) => i).sort((a, b) => label(a) - label(b) || samples[a]! - samples[b]!);
  const found: Maxima = {
    filters, inputs: order.map((i) => samples[i]!), values: new Float32Array(rows * filters),
    above: new Float64Array(filters), below: new Float64Array(filters), highest: new Float64Array(filters).fill(-Infinity),
  };
  order.forEach((from, to) => {
    for (let f = 0; f < filters; f++) {
      const raw = largest[from * filters + f]!;
      const value = Number.isFinite(raw) ? raw : 0;
      found.values[to * filters + f] = value;
      if (value > 0) found.above[f]! += value;
      else found.below[f]! += value;
      if (value > found.highest[f]!) found.highest[f] = value;
    }
  });
  return found;
}

export function orderMaxima(maxima: Maxima, by: MaximaOrder): number[] {
  if (by === "index") return Array.from({ length: maxima.filters }, (_, i) => i);
  return byValue(by === "highest" ? maxima.highest : maxima.above.map((sum, f) => sum + maxima.below[f]!));
}

/** How many of the inputs a filter answers to: those with a maximum above a tenth of its highest. */
export function answered(maxima: Maxima, filter: number): number {
  const least = Math.max(0, maxima.highest[filter]! / 10);
  return maxima.inputs.filter((_, i) => maxima.values[i * maxima.filters + filter]! > least).length;
}

/** A colour for every input: its class's hue, lighter and darker in turn, so that neighbours can be told apart. */
export function inputColours(inputs: number[], labels: readonly number[], classes: number, dark: boolean): Rgb[] {
  const hues = categoryColours(Math.max(classes, 1), dark);
  let turn = 0;
  return inputs.map((sample, i) => {
    const label = labels[sample] ?? -1;
    turn = i && label === (labels[inputs[i - 1]!] ?? -1) ? 1 - turn : 0;
    // Without hues it is the turn alone that tells neighbours apart, over the borders between classes too.
    if (label < 0 || !hues?.[label]) return mix(neutral(dark), dark ? [255, 255, 255] : [0, 0, 0], i % 2 ? 0.22 : 0);
    return turn ? mix(hues[label]!, dark ? [0, 0, 0] : [255, 255, 255], 0.38) : hues[label]!;
  });
}

/** Whether the filters may be ranked by what the probe's samples make of them, in plain words. */
export function verdict(record: FrameRecord, samples: number, filters: number, unit = "filter"): Verdict {
  const number = (name: string) => {
    const value = record.fields[name];
    return typeof value === "number" && Number.isFinite(value) ? value : null;
  };
  const [order, silent, evenness] = [number("order_agreement"), number("silent_agreement"), number("evenness")];
  const numbers = [
    { name: "same order", value: ratio(order), title: `Rank correlation (Spearman) of the ${unit}s' mean maxima on two halves of the probe; 1 = the same order` },
    { name: "silent alike", value: percent(silent), title: `Share of ${unit}s that are silent on both halves or on neither` },
    { name: "evenness", value: percent(evenness), title: `A typical ${unit}'s mean maximum, as a share of its largest: near 100 % it answers to every input alike, near 0 to few` },
  ];
  return { fine: filters < 2 || record.fields.enough_inputs === true, text: words(record.fields.enough_inputs === true, { order, silent, samples, filters, unit }), numbers };
}

function words(enough: boolean, of: { order: number | null; silent: number | null; samples: number; filters: number; unit: string }): string {
  const { order, silent, samples, filters, unit } = of;
  if (filters < 2) return `One ${unit} alone: there is nothing to rank.`;
  if (samples < FEWEST) return `${plural(samples, "sample")} in the probe, at least ${FEWEST} are needed: do not rank the ${unit}s by this.`;
  if (enough) return `${plural(samples, "sample")} are enough: either half of them puts the ${unit}s into the same order.`;
  if (order === null) return `Whether the samples are enough could not be told: all ${unit}s are alike, or silent.`;
  if (order < SAME_ORDER) return `The order of the ${unit}s changes when the samples are halved: do not rank them by this.`;
  if (silent !== null && silent < SAME_SILENCE) return `Which ${unit}s are silent changes when the samples are halved: more samples would show more of them at work.`;
  return `The recording says that the samples are not enough: do not rank the ${unit}s by this.`;
}
