// What a selection is made of, against the whole probe: bars of categories, histograms of numbers.  Pure functions.

import { columnNames, columnOf, type Column } from "./columns";
import { short } from "./format";
import { categoryCount, className, hues, type SampleColumns } from "./samples";
import type { ProbeInfo } from "../api/types";
import type { Rgb } from "../theme/palette";

/** A bar: how many of the selection and of the whole probe are in it. */
export interface Row {
  name: string;
  /** The categories or bins it stands for; "others" stands for many. */
  keys: ReadonlySet<number>;
  count: number;
  all: number;
  colour: Rgb | null;
}

export interface Distribution {
  name: string;
  shape: "bars" | "histogram";
  /** The category or bin of every sample of the probe; negative = not known. */
  keys: Int32Array;
  rows: Row[];
  /** Samples of the selection and of the probe of which it is known. */
  known: number;
  allKnown: number;
  /** What the ends of a histogram stand for. */
  ends: [string, string] | null;
}

/** Of more categories only the most frequent are listed, the rest as one. */
const MOST = 8;
/** So many are listed all, in their own order, so that two selections can be compared at a glance. */
const FEW = 10;
const BINS = 12;
const CERTAINTY_BINS = 10;

/** The bin (0 … bins − 1) of every number between `low` and `high`; −1 where it is not a number. */
export function binned(values: ArrayLike<number>, low: number, high: number, bins: number): Int32Array {
  const width = (high - low) / bins;
  return Int32Array.from({ length: values.length }, (_, i) => {
    const value = values[i]!;
    if (!Number.isFinite(value)) return -1;
    return width > 0 ? Math.min(bins - 1, Math.max(0, Math.floor((value - low) / width))) : 0;
  });
}

/** How often each key 0 … size − 1 occurs among the samples, or among all. */
export function counted(keys: Int32Array, size: number, samples?: readonly number[]): Int32Array {
  const counts = new Int32Array(size);
  if (samples) for (const sample of samples) count(keys[sample]);
  else for (const key of keys) count(key);
  return counts;
  function count(key: number | undefined): void {
    if (key !== undefined && key >= 0 && key < size) counts[key]!++;
  }
}

interface Categories {
  name: string;
  keys: Int32Array;
  size: number;
  called: (key: number) => string;
  colour?: (key: number) => Rgb;
}

/** Bars of categories: all where they are few, else the most frequent of the selection and the rest as one. */
export function bars({ name, keys, size, called, colour }: Categories, samples: readonly number[]): Distribution {
  const [here, all] = [counted(keys, size, samples), counted(keys, size)];
  const occurring = [...all.keys()].filter((key) => all[key]! > 0);
  const few = occurring.length <= FEW;
  const order = few ? occurring : occurring.sort((a, b) => here[b]! - here[a]! || all[b]! - all[a]! || a - b);
  const row = (group: number[], called: string): Row => ({
    name: called, keys: new Set(group), count: sum(group.map((key) => here[key]!)), all: sum(group.map((key) => all[key]!)),
    colour: group.length === 1 ? (colour?.(group[0]!) ?? null) : null,
  });
  const shown = few ? order : order.slice(0, MOST);
  const rest = order.slice(shown.length);
  const rows = [...shown.map((key) => row([key], called(key))), ...(rest.length ? [row(rest, `${rest.length} others`)] : [])];
  return { name, shape: "bars", keys, rows, known: sum(here), allKnown: sum(all), ends: null };
}

/** A histogram of numbers between two ends. */
export function histogram(name: string, values: ArrayLike<number>, low: number, high: number, bins: number, samples: readonly number[]): Distribution {
  const keys = binned(values, low, high, bins);
  const [here, all] = [counted(keys, bins, samples), counted(keys, bins)];
  const edge = (i: number) => short(low + ((high - low) * i) / bins);
  const rows = Array.from({ length: bins }, (_, i): Row => ({ name: `${edge(i)} to ${edge(i + 1)}`, keys: new Set([i]), count: here[i]!, all: all[i]!, colour: null }));
  return { name, shape: "histogram", keys, rows, known: sum(here), allKnown: sum(all), ends: [short(low), short(high)] };
}

/** True classes, predictions, certainty, and every attribute and target of the probe, of the selected samples. */
export function distributions(columns: SampleColumns, probe: ProbeInfo | null, samples: readonly number[], dark: boolean): Distribution[] {
  const size = categoryCount(columns, "true");
  const colour = hues(columns, { colourBy: "true", isolated: new Set(), dark });
  const called = (key: number) => className(columns, key);
  const found: Distribution[] = [];
  if (columns.labels) found.push(bars({ name: "True class", keys: columns.labels, size, called, colour }, samples));
  if (columns.predicted) found.push(bars({ name: "Predicted", keys: columns.predicted, size, called, colour }, samples));
  if (columns.certainty) found.push(histogram("Certainty", columns.certainty, 0, 1, CERTAINTY_BINS, samples));
  for (const name of columnNames(probe)) {
    const column = columnOf(probe, name);
    if (column) found.push(ofColumn(column, samples));
  }
  return found;
}

function ofColumn(column: Column, samples: readonly number[]): Distribution {
  if (column.kind === "numeric") return histogram(column.name, column.values, column.low, column.high, BINS, samples);
  return bars({ name: column.name, keys: column.keys, size: column.names.length, called: (key) => column.names[key] ?? "" }, samples);
}

/** The samples of a selection that a bar stands for. */
export const narrowed = ({ keys }: Distribution, row: Row, samples: readonly number[]): number[] => samples.filter((sample) => row.keys.has(keys[sample]!));

const sum = (values: Iterable<number>): number => {
  let total = 0;
  for (const value of values) total += value;
  return total;
};
