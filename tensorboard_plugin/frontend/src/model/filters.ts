// A layer's filters as rows of a table.  Pure functions on a health record.

import type { FrameRecord } from "../api/types";

export interface FilterRow {
  index: number;
  energy: number;
  negative: number;
  bias: number;
  active: number;
  maximum: number;
  minimum: number;
  mean: number;
  dead: boolean;
  cause: string;
  /** Redundant group; −1 = alone. */
  group: number;
}

export type FilterKey = keyof FilterRow;

/** One row a filter; numbers that were not recorded are NaN. */
export function filterRows(record: FrameRecord): FilterRow[] {
  const column = (name: string) => record.arrays[name]?.values;
  const at = (name: string, i: number): number => {
    const value = column(name)?.[i];
    return value === undefined ? NaN : Number(value);
  };
  const cause = record.arrays.cause;
  return Array.from({ length: column("energy")?.length ?? 0 }, (_, index) => ({
    index,
    energy: at("energy", index),
    negative: at("negative_fraction", index),
    bias: at("bias", index),
    active: at("active_fraction", index),
    maximum: at("max_activation", index),
    minimum: at("min_activation", index),
    mean: at("mean_activation", index),
    dead: at("dead", index) === 1,
    cause: cause?.table?.[Number(cause.values[index])] ?? "",
    group: Number.isNaN(at("group", index)) ? -1 : at("group", index),
  }));
}

/** Rows by one column; what is not known goes last whichever way, ties by index. */
export function sortRows(rows: FilterRow[], key: FilterKey, descending: boolean): FilterRow[] {
  const sign = descending ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [x, y] = [a[key], b[key]];
    const [emptyX, emptyY] = [isEmpty(x), isEmpty(y)];
    if (emptyX || emptyY) return Number(emptyX) - Number(emptyY) || a.index - b.index;
    const order = typeof x === "string" ? x.localeCompare(y as string) : Number(x) - Number(y);
    return sign * order || a.index - b.index;
  });
}

function isEmpty(value: FilterRow[FilterKey]): boolean {
  return typeof value === "number" ? !Number.isFinite(value) : value === "";
}

/** Members of each redundant group, by group. */
export function groups(rows: FilterRow[]): Map<number, FilterRow[]> {
  const found = new Map<number, FilterRow[]>();
  for (const row of rows) if (row.group >= 0) found.set(row.group, [...(found.get(row.group) ?? []), row]);
  return found;
}

/** Dead filters by cause, most frequent first. */
export function causes(rows: FilterRow[]): [cause: string, count: number][] {
  const counts = new Map<string, number>();
  for (const row of rows) if (row.dead) counts.set(row.cause || "unexplained", (counts.get(row.cause || "unexplained") ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]);
}
