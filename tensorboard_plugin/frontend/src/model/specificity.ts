// Which classes each filter answers to: its mean by class, as the record has it.  Pure functions.

import type { FrameRecord } from "../api/types";
import type { NumberTable } from "./numbers";

export interface ClassMeans {
  classes: number;
  filters: number;
  /** classes × filters; NaN where a class has no samples. */
  means: Float32Array;
  overall: Float32Array;
  samples: Int32Array;
  /** To how many classes a filter is specific: 1, 2; 0 = none or more; −1 = undefined. */
  modality: Int32Array;
  /** The classes that these are; −1 = none. */
  first: Int32Array;
  second: Int32Array;
  /** By how much a mean must exceed the overall one, relative to it. */
  margin: number;
  note: string;
}

/** The record's arrays, if they fit each other; null where they do not. */
export function specificityOf(record: FrameRecord): ClassMeans | null {
  const { means, overall, samples, modality, first, second } = record.arrays;
  const [classes = 0, filters = 0] = means?.shape ?? [];
  const whole = (array: typeof means): Int32Array | null => (array?.values instanceof Int32Array && array.values.length === filters ? array.values : null);
  const [modalities, firsts, seconds] = [whole(modality), whole(first), whole(second)];
  if (!(means?.values instanceof Float32Array) || means.values.length !== classes * filters) return null;
  if (!(overall?.values instanceof Float32Array) || overall.values.length !== filters || !modalities || !firsts || !seconds) return null;
  const { margin, note } = record.fields;
  return {
    classes, filters, means: means.values, overall: overall.values, modality: modalities, first: firsts, second: seconds,
    samples: samples?.values instanceof Int32Array ? samples.values : new Int32Array(classes),
    margin: typeof margin === "number" && margin > 0 ? margin : 0.4,
    note: typeof note === "string" ? note : "",
  };
}

/** A class's mean as a multiple of the filter's mean over all; NaN where that says nothing. */
export function multiple(of: ClassMeans, label: number, filter: number): number {
  const overall = of.overall[filter]!;
  return overall > 0 ? of.means[label * of.filters + filter]! / overall : NaN;
}

/** Classes of which any sample is labelled: those that a picture shows, at most so many, the most frequent first among too many. */
export function shownClasses(of: ClassMeans, most: number): number[] {
  const there = Array.from({ length: of.classes }, (_, label) => label).filter((label) => of.samples[label]! > 0 || of.samples.every((n) => n === 0));
  if (there.length <= most) return there;
  const wanted = new Map<number, number>();
  for (const label of of.first) if (label >= 0) wanted.set(label, (wanted.get(label) ?? 0) + 1);
  return [...there].sort((a, b) => (wanted.get(b) ?? 0) - (wanted.get(a) ?? 0) || a - b).slice(0, most).sort((a, b) => a - b);
}

/** Filters that are specific in the same way, one after the other in the order of a picture. */
export interface Section {
  modality: number;
  filters: number[];
}

const ORDER = [1, 2, 0, -1];

/** One class first, then two, none, undefined; within them by class, the most specific in front. */
export function sections(of: ClassMeans): Section[] {
  const strength = (filter: number) => (of.first[filter]! >= 0 ? multiple(of, of.first[filter]!, filter) || 0 : 0);
  const peak = Array.from({ length: of.filters }, (_, filter) => {
    if (of.modality[filter]! !== 0) return of.first[filter]!;
    let best = 0;
    for (let label = 1; label < of.classes; label++) {
      if (of.means[label * of.filters + filter]! > (of.means[best * of.filters + filter]! || -Infinity)) best = label;
    }
    return best;
  });
  return ORDER.map((modality) => ({
    modality,
    filters: Array.from({ length: of.filters }, (_, filter) => filter)
      .filter((filter) => (ORDER.includes(of.modality[filter]!) ? of.modality[filter] : 0) === modality)
      .sort((a, b) => peak[a]! - peak[b]! || of.second[a]! - of.second[b]! || strength(b) - strength(a) || a - b),
  })).filter(({ filters }) => filters.length);
}

/** What a filter answers to, in a few words. */
export function answersTo(of: ClassMeans, filter: number, name: (label: number) => string): string {
  const [first, second] = [of.first[filter]!, of.second[filter]!];
  switch (of.modality[filter]) {
    case 1: return `class ${name(first)}`;
    case 2: return `classes ${name(first)} and ${name(second)}`;
    case 0: return "no class in particular";
    default: return "undefined";
  }
}

/** Of the filters for which it is defined: those specific to one class, to two, and to none or more. */
export type Shares = [one: number, two: number, neither: number];

export interface ShareColumn {
  key: number;
  label: string;
  /** null where it is not known. */
  shares: Shares | null;
}

function sharesAt(numbers: NumberTable, layer: string, epoch: number): Shares | null {
  const found = ["unimodal_share", "bimodal_share", "nonspecific_share"].map((name) => numbers.at("specificity", layer, name, epoch));
  return found.every((share) => share !== null && Number.isFinite(share)) ? (found as Shares) : null;
}

export const sharesOver = (numbers: NumberTable, layer: string, epochs: number[]): ShareColumn[] =>
  epochs.map((epoch) => ({ key: epoch, label: String(epoch), shares: sharesAt(numbers, layer, epoch) }));

export const sharesAcross = (numbers: NumberTable, layers: string[], epoch: number): ShareColumn[] =>
  layers.map((layer, key) => ({ key, label: layer, shares: sharesAt(numbers, layer, epoch) }));
