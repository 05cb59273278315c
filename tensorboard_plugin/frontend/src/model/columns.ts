// The user's attributes and a regression's targets as columns to colour samples by.  Pure functions on a probe.

import type { Plain, ProbeInfo } from "../api/types";

/** A column of numbers, shown on a scale, or of a few values, shown in hues. */
export type Column =
  | { name: string; kind: "numeric"; values: Float64Array; low: number; high: number }
  | { name: string; kind: "category"; keys: Int32Array; names: string[] };

/** Numbers of so few different values are told apart by hue. */
const FEW = 8;
/** Texts of more different values say nothing as colours. */
const MOST = 200;

const isKnown = (value: Plain | undefined): value is string | number | boolean =>
  value !== null && value !== undefined && !(typeof value === "number" && !Number.isFinite(value));

/** The names of what can be coloured by: attributes first, then targets. */
export function columnNames(probe: ProbeInfo | null): string[] {
  if (!probe) return [];
  return [...new Set([...Object.keys(probe.attributes), ...targetNames(probe)])].filter((name) => columnOf(probe, name) !== null);
}

const widest = (probe: ProbeInfo): number => Math.max(0, ...(probe.targets ?? []).slice(0, 1000).map((row) => row.length));

/** "target", or "target 0", "target 1", … */
export function targetNames(probe: ProbeInfo): string[] {
  const width = widest(probe);
  return Array.from({ length: width }, (_, i) => (width === 1 ? "target" : `target ${i}`));
}

/** The values of a column, one a sample. */
export function valuesOf(probe: ProbeInfo, name: string): Plain[] | null {
  if (Object.hasOwn(probe.attributes, name)) return probe.attributes[name]!;
  const at = targetNames(probe).indexOf(name);
  return at < 0 ? null : (probe.targets ?? []).map((row) => row[at] ?? null);
}

/** A column ready to be shown; null where there is none of that name or it says nothing. */
export function columnOf(probe: ProbeInfo | null, name: string | null): Column | null {
  const values = probe && name !== null ? valuesOf(probe, name) : null;
  if (!probe || name === null || !values) return null;
  const known = values.slice(0, probe.count).filter(isKnown);
  const different = [...new Set(known)];
  if (!different.length) return null;
  if (different.length > FEW && different.every((value) => typeof value === "number")) return numeric(name, values, probe.count);
  if (different.length > MOST) return null;
  const order = different.every((value) => typeof value === "number")
    ? (different as number[]).sort((a, b) => a - b)
    : different.sort((a, b) => String(a).localeCompare(String(b), undefined, { numeric: true }));
  const index = new Map(order.map((value, i) => [value, i]));
  const keys = Int32Array.from({ length: probe.count }, (_, i) => {
    const value = values[i];
    return isKnown(value) ? (index.get(value) ?? -1) : -1;
  });
  return { name, kind: "category", keys, names: order.map((value) => (typeof value === "boolean" ? (value ? "yes" : "no") : String(value))) };
}

function numeric(name: string, values: Plain[], count: number): Column {
  const numbers = Float64Array.from({ length: count }, (_, i) => (typeof values[i] === "number" ? (values[i] as number) : NaN));
  let [low, high] = [Infinity, -Infinity];
  for (const value of numbers) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return { name, kind: "numeric", values: numbers, low, high };
}

/** What a sample's column says, in a word. */
export function saidOf(value: Plain | undefined): string {
  if (!isKnown(value)) return "–";
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "number" ? String(Number(value.toPrecision(6))) : value;
}
