// A layer's filters as rows of a table.  Pure functions on a health record and the similarity record beside it.

import type { FrameRecord } from "../api/types";

/** A filter in a weighted sum. */
export interface Term {
  filter: number;
  weight: number;
}

export interface FilterRow {
  index: number;
  energy: number;
  negative: number;
  bias: number;
  /** Of the batch normalisation that follows. */
  scale: number;
  shift: number;
  active: number;
  /** Share of samples × positions at which the activation passes a gradient on. */
  responsive: number;
  maximum: number;
  minimum: number;
  mean: number;
  roughness: number;
  dead: boolean;
  cause: string;
  /** Whether the cause holds for whatever may come, not on the probe alone. */
  proven: boolean;
  everAlive: boolean;
  /** Redundant group; −1 = alone. */
  group: number;
  /** The filter of the group that would stay; itself where it is alone. */
  keep: number;
  /** activation ≈ factor · that of `keep` + offset, which leaves `residual` of its deviation. */
  factor: number;
  offset: number;
  residual: number;
  /** What says so: "weights", "activations" or "both". */
  by: string;
  /** The filter that answers most alike, and the correlation with it. */
  nearest: number;
  likeness: number;
  /** The few others whose weighted sum comes closest, and what of the deviation that leaves. */
  terms: Term[];
  unexplained: number;
  /** Whether filters that stay reproduce it. */
  removable: boolean;
}

/** What rows are sorted by. */
export type FilterKey = Exclude<keyof FilterRow, "terms">;

/** One row a filter; numbers that were not recorded are NaN.  Without `similarity` groups are as the health record has them. */
export function filterRows(record: FrameRecord, similarity: FrameRecord | null = null): FilterRow[] {
  const count = record.arrays.energy?.values.length ?? 0;
  const alike = similarity?.arrays.group?.values.length === count ? similarity : null;
  const number = (of: FrameRecord | null, name: string, i: number, otherwise = NaN): number => {
    const value = of?.arrays[name]?.values[i];
    return value === undefined ? otherwise : Number(value);
  };
  const word = (of: FrameRecord | null, name: string, i: number): string => {
    const array = of?.arrays[name];
    return array?.table?.[Number(array.values[i])] ?? "";
  };
  const other = (name: string, i: number, otherwise: number): number => {
    const found = number(alike, name, i, otherwise);
    return found >= 0 && found < count ? found : otherwise;
  };
  return Array.from({ length: count }, (_, index) => ({
    index,
    energy: number(record, "energy", index),
    negative: number(record, "negative_fraction", index),
    bias: number(record, "bias", index),
    scale: number(record, "scale", index),
    shift: number(record, "shift", index),
    active: number(record, "active_fraction", index),
    responsive: number(record, "responsive_fraction", index),
    maximum: number(record, "max_activation", index),
    minimum: number(record, "min_activation", index),
    mean: number(record, "mean_activation", index),
    roughness: number(record, "roughness", index),
    dead: number(record, "dead", index) === 1,
    cause: word(record, "cause", index),
    proven: number(record, "proven", index) === 1,
    everAlive: number(record, "ever_alive", index, 1) === 1,
    group: number(alike ?? record, "group", index, -1),
    keep: other("keep", index, index),
    factor: number(alike, "factor", index),
    offset: number(alike, "offset", index),
    residual: number(alike, "residual", index),
    by: word(alike, "by", index),
    nearest: other("nearest", index, -1),
    likeness: number(alike, "correlation", index),
    terms: alike ? termsOf(alike, index, count) : [],
    unexplained: number(alike, "unexplained", index),
    removable: number(alike, "removable", index) === 1,
  }));
}

function termsOf(similarity: FrameRecord, index: number, count: number): Term[] {
  const { terms, coefficients } = similarity.arrays;
  const few = terms?.shape.length === 2 ? (terms.shape[1] ?? 0) : 0;
  const found: Term[] = [];
  for (let i = 0; i < few; i++) {
    const filter = Number(terms!.values[index * few + i]);
    const weight = Number(coefficients?.values[index * few + i]);
    if (filter >= 0 && filter < count && Number.isFinite(weight)) found.push({ filter, weight });
  }
  return found;
}

/** Rows by one column; what is not known goes last whichever way, ties by index. */
export function sortRows(rows: FilterRow[], key: FilterKey, descending: boolean): FilterRow[] {
  const sign = descending ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [x, y] = key === "cause" ? [rank(a), rank(b)] : [a[key], b[key]];
    const [emptyX, emptyY] = [isEmpty(x, key), isEmpty(y, key)];
    if (emptyX || emptyY) return Number(emptyX) - Number(emptyY) || a.index - b.index;
    const order = typeof x === "string" ? x.localeCompare(y as string) : Number(x) - Number(y);
    return sign * order || a.index - b.index;
  });
}

/** States in words, the dead first. */
const rank = (row: FilterRow): string => (stateOf(row) ? `${row.dead ? 0 : 1}${stateOf(row)}` : "");

function isEmpty(value: FilterRow[FilterKey], key: FilterKey): boolean {
  if (typeof value === "number") return !Number.isFinite(value) || (value < 0 && (key === "group" || key === "nearest"));
  return value === "";
}

/** Members of each redundant group, by group. */
export function groups(rows: FilterRow[]): Map<number, FilterRow[]> {
  const found = new Map<number, FilterRow[]>();
  for (const row of rows) {
    if (row.group < 0) continue;
    const members = found.get(row.group);
    if (members) members.push(row);
    else found.set(row.group, [row]);
  }
  return found;
}

/** Pairs of filters that belong together: each double and the one that stays; where none is said to stay, one after the other. */
export function joined(rows: FilterRow[]): [number, number][] {
  return [...groups(rows).values()].flatMap((members) => {
    const stays = members.find((row) => row.keep === row.index && members.some((other) => other !== row && other.keep === row.index));
    if (stays) return members.filter((row) => row !== stays).map((row): [number, number] => [row.index, stays.index]);
    return members.slice(1).map((row, i): [number, number] => [members[i]!.index, row.index]);
  });
}

/** Whether a weighted sum of others reproduces a filter. */
export const isSum = (row: FilterRow): boolean => row.removable && row.keep === row.index && row.terms.length > 0;

/** Whether a filter is a multiple of one that stays. */
export const isDouble = (row: FilterRow): boolean => row.group >= 0 && row.keep !== row.index;

/** Dead filters by cause, most frequent first. */
export function causes(rows: FilterRow[]): [cause: string, count: number][] {
  const counts = new Map<string, number>();
  for (const row of rows) if (row.dead) counts.set(row.cause || "unexplained", (counts.get(row.cause || "unexplained") ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]);
}

/** What is to be said of a filter in two or three words; "" where it does its work. */
export function stateOf(row: FilterRow): string {
  if (row.dead) return row.cause || "dead";
  if (isDouble(row)) return `double of ${row.keep}`;
  if (isSum(row)) return `sum of ${row.terms.map((term) => term.filter).join(", ")}`;
  return "";
}
