// What is known of one filter, in sentences for its card.  Pure functions.

import { isDouble, isSum, type FilterRow } from "./filters";
import { percent, short } from "./format";

/** A piece of a sentence: words, or a filter to go to. */
export type Piece = string | { filter: number };

const signed = (value: number): string => short(Math.abs(value));

/** 0.5 · f3 − 2 · f7, with every filter to go to. */
function weighted(terms: { filter: number; weight: number }[]): Piece[] {
  return terms.flatMap(({ filter, weight }, i): Piece[] => {
    const sign = weight < 0 ? (i ? " − " : "−") : i ? " + " : "";
    return [`${sign}${signed(weight)} · `, { filter }];
  });
}

const leaves = (share: number): string => (Number.isFinite(share) ? `, leaves ${percent(share, share < 0.0995 ? 1 : 0)}` : "");

const BY: Record<string, string> = { weights: "by the weights", activations: "by activations over the probe", both: "by weights and activations" };

/** Of whom a filter says the same, or of what sum; [] where it is like no other. */
export function doubleOf(row: FilterRow): Piece[] {
  if (isDouble(row)) {
    const offset = Number.isFinite(row.offset) && Math.abs(row.offset) > 1e-3 * Math.abs(row.maximum || 1) ? ` ${row.offset < 0 ? "−" : "+"} ${signed(row.offset)}` : "";
    return ["A double: ", ...weighted([{ filter: row.keep, weight: row.factor }]), `${offset}${leaves(row.residual)}${BY[row.by] ? `; ${BY[row.by]}` : ""}`];
  }
  if (isSum(row)) return ["A sum of others: ", ...weighted(row.terms), leaves(row.unexplained)];
  return [];
}

/** The others that a filter stands for; [] where it stands for itself alone. */
export function standsFor(row: FilterRow, rows: readonly FilterRow[]): Piece[] {
  const others = rows.filter((other) => other.index !== row.index && row.group >= 0 && other.group === row.group && other.keep === row.index);
  if (!others.length) return [];
  return ["Would stay for ", ...listed(others.slice(0, 12)), others.length > 12 ? ` and ${others.length - 12} more` : ""];
}

const listed = (rows: readonly FilterRow[]): Piece[] => rows.flatMap((other, i): Piece[] => [i ? ", " : "", { filter: other.index }]);

/** Filters of the same group where it is not known which of them stays. */
export function answersLike(row: FilterRow, rows: readonly FilterRow[]): Piece[] {
  if (row.group < 0) return [];
  const others = rows.filter((other) => other.group === row.group && other.index !== row.index);
  return others.length && [row, ...others].every((one) => one.keep === one.index) ? ["Answers like ", ...listed(others.slice(0, 12))] : [];
}

/** How sure the cause of a death is. */
export const certainty = (row: FilterRow): string =>
  !row.dead || !row.cause || row.cause === "unexplained" ? "" : row.proven ? "proven: whatever comes within the bounds of its inputs" : "as the probe shows";
