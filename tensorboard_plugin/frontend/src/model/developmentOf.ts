// One number of every filter over the epochs, with when each died and came back.  Pure functions on a "development" record.

import type { Frame } from "../api/types";
import { diverging, sequential, type Rgb } from "../theme/palette";
import type { FilterRow } from "./filters";
import { percent, short } from "./format";
import type { Developed, DevelopmentOrder } from "./settings";

/** The array of a health record behind a number, what it is called, and what it means. */
export const NUMBERS: Record<Developed, [field: string, name: string, meaning: string]> = {
  active: ["active_fraction", "activity", "share of samples × positions with a value above zero"],
  energy: ["energy", "energy", "sum of squared weights"],
  maximum: ["max_activation", "largest activation", "largest activation over the probe"],
  mean: ["mean_activation", "mean activation", "mean activation over the probe"],
  negative: ["negative_fraction", "negative weights", "share of weights below zero"],
  bias: ["bias", "bias", "bias"],
  scale: ["scale", "scale γ", "by which the batch normalisation that follows multiplies"],
  shift: ["shift", "shift β", "which the batch normalisation that follows adds"],
  responsive: ["responsive_fraction", "responsive", "share of samples × positions at which the activation passes a gradient on"],
  roughness: ["roughness", "roughness", "roughness of the kernels in space: 1 = noise, 0 = smooth"],
};

export interface Evolution {
  epochs: number[];
  /** The filters that the columns are of. */
  filters: number[];
  /** epochs × filters; NaN = not known. */
  values: Float32Array;
  /** epochs × filters: 1 = dead, 0 = alive; NaN = not known. */
  dead: Float32Array;
  /** Of so many epochs there is a record. */
  recorded: number;
}

/** What the plugin answered, if its arrays fit each other. */
export function evolutionOf(frame: Frame, field: string): Evolution | null {
  const record = frame.records.find((one) => one.kind === "development");
  const epochs = record?.arrays.epochs?.values;
  const [values, dead] = [record?.arrays[field], record?.arrays.dead];
  const [rows = 0, columns = 0] = values?.shape ?? [];
  if (!record || !(epochs instanceof Int32Array) || epochs.length !== rows || !(values?.values instanceof Float32Array)) return null;
  if (values.shape.length !== 2 || !(dead?.values instanceof Float32Array) || dead.values.length !== rows * columns) return null;
  const named = record.arrays.filters?.values;
  return {
    epochs: [...epochs],
    filters: named instanceof Int32Array && named.length === columns ? [...named] : Array.from({ length: columns }, (_, i) => i),
    values: values.values, dead: dead.values,
    recorded: typeof record.fields.recorded === "number" ? record.fields.recorded : rows,
  };
}

export const valueOf = (of: Evolution, epoch: number, column: number): number => of.values[epoch * of.filters.length + column] ?? NaN;
export const isDead = (of: Evolution, epoch: number, column: number): boolean => of.dead[epoch * of.filters.length + column] === 1;

/** Something that happened to a filter, and at which of the epochs. */
export interface Turn {
  at: number;
  kind: "died" | "revived" | "awoke";
}

/** When a filter died, came back, or was alive for the first time; a gap in what is known is nothing. */
export function turns(of: Evolution, column: number): Turn[] {
  const found: Turn[] = [];
  let [before, ever] = [NaN, false];
  for (let at = 0; at < of.epochs.length; at++) {
    const now = of.dead[at * of.filters.length + column]!;
    if (Number.isNaN(now)) continue;
    if (before === 0 && now === 1) found.push({ at, kind: "died" });
    if (before === 1 && now === 0) found.push({ at, kind: ever ? "revived" : "awoke" });
    ever ||= now === 0;
    before = now;
  }
  return found;
}

/** The first of the epochs since which a filter has been dead without a break; null where it is alive there. */
export function deadSince(of: Evolution, at: number, column: number): number | null {
  if (!isDead(of, at, column)) return null;
  let first = at;
  while (first > 0 && isDead(of, first - 1, column)) first--;
  return first;
}

export interface NumberScale {
  low: number;
  high: number;
  colour: (value: number) => Rgb;
  text: (value: number) => string;
  /** Whether colours go by ratio. */
  log: boolean;
}

const SHARES: readonly Developed[] = ["active", "negative", "responsive"];
const MOST_LOOKED_AT = 20_000;

/** One scale for all filters and epochs: shares from 0 to 1; else what occurs but for the outermost hundredths, about zero where signs differ. */
export function scaleOf(which: Developed, of: Evolution): NumberScale {
  const text = SHARES.includes(which) ? (value: number) => percent(value) : short;
  if (SHARES.includes(which)) return { low: 0, high: 1, colour: sequential, text, log: false };
  const stride = Math.max(1, Math.ceil(of.values.length / MOST_LOOKED_AT));
  const known: number[] = [];
  for (let i = 0; i < of.values.length; i += stride) if (Number.isFinite(of.values[i]) && of.dead[i] !== 1) known.push(of.values[i]!);
  if (!known.length) for (const value of of.values) if (Number.isFinite(value)) known.push(value);
  known.sort((a, b) => a - b);
  const at = (share: number) => known[Math.min(known.length - 1, Math.round(share * (known.length - 1)))] ?? 0;
  const [low, high] = [at(0.01), at(0.99)];
  if (low < 0) {
    const bound = Math.max(-low, high, 1e-9);
    return { low: -bound, high: bound, colour: (value) => diverging(value / bound), text, log: false };
  }
  const top = high > low ? high : low + 1e-9;
  if (which === "energy" && low > 0 && top / low > 50) {
    return { low, high: top, colour: (value) => sequential(Math.log(Math.max(value, low) / low) / Math.log(top / low)), text, log: true };
  }
  const bottom = low < 0.5 * top ? 0 : low;
  return { low: bottom, high: top, colour: (value) => sequential((value - bottom) / (top - bottom)), text, log: false };
}

/** Columns of an evolution in the order of the picture's rows; what is not known goes last, ties by number. */
export function orderColumns(of: Evolution, by: DevelopmentOrder, now: number, rows: readonly FilterRow[]): number[] {
  const all = of.filters.map((_, column) => column);
  const descending = (key: (column: number) => number) => {
    const keys = all.map(key);
    const rank = (column: number) => (Number.isFinite(keys[column]) ? keys[column]! : -Infinity);
    return [...all].sort((a, b) => (rank(b) === rank(a) ? 0 : rank(b) - rank(a)) || a - b);
  };
  if (by === "now") return descending((column) => valueOf(of, now, column));
  if (by === "change") {
    return descending((column) => {
      const first = of.epochs.findIndex((_, at) => Number.isFinite(valueOf(of, at, column)));
      const last = of.epochs.findLastIndex((_, at) => Number.isFinite(valueOf(of, at, column)));
      return first < 0 ? NaN : Math.abs(valueOf(of, last, column) - valueOf(of, first, column));
    });
  }
  if (by === "group") {
    const group = (column: number) => rows[of.filters[column]!]?.group ?? -1;
    const stays = (column: number) => (rows[of.filters[column]!]?.keep === of.filters[column] ? 0 : 1);
    const key = (column: number) => (group(column) < 0 ? Infinity : group(column));
    return [...all].sort((a, b) => (key(a) === key(b) ? 0 : key(a) - key(b)) || (key(a) < Infinity ? stays(a) - stays(b) : 0) || a - b);
  }
  return all;
}

/** Median of the living filters at each epoch, and half of what lies between the quartiles. */
export function medianOver(of: Evolution): { x: number; value: number; deviation: number }[] {
  return of.epochs.flatMap((epoch, at) => {
    const living = of.filters.map((_, column) => (isDead(of, at, column) ? NaN : valueOf(of, at, column))).filter(Number.isFinite).sort((a, b) => a - b);
    const quantile = (share: number) => living[Math.round(share * (living.length - 1))]!;
    return living.length ? [{ x: epoch, value: quantile(0.5), deviation: (quantile(0.75) - quantile(0.25)) / 2 }] : [];
  });
}
