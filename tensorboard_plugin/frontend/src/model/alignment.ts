// Linear CKA between layers: the matrix as recorded, and in words which neighbouring layers do the same.  Pure functions.

import type { Alert, FrameRecord } from "../api/types";

/** From here on two layers are said to be nearly the same. */
export const SAME = 0.98;
const MOST_LAYERS = 2000;

export interface Alignment {
  layers: string[];
  /** Row by row, NaN where it is not known. */
  matrix: ArrayLike<number>;
  /** With the same layer at `last`; NaN where it is not known. */
  toLast: ArrayLike<number>;
  /** The epoch before; null = the first record. */
  last: number | null;
  /** Samples that were compared. */
  samples: number | null;
}

/** What a record says; null where its arrays do not fit each other. */
export function alignmentOf(record: FrameRecord): Alignment | null {
  const { layers, matrix, to_last: toLast } = record.arrays;
  const names: string[] = [];
  if (layers?.table) for (const index of layers.values) names.push(layers.table[Number(index)] ?? "");
  if (!names.length || names.length > MOST_LAYERS || matrix?.shape.length !== 2) return null;
  if (matrix.shape[0] !== names.length || matrix.shape[1] !== names.length) return null;
  if (!(matrix.values instanceof Float32Array)) return null;
  const { last, samples } = record.fields;
  return {
    layers: names, matrix: matrix.values,
    toLast: toLast?.values instanceof Float32Array && toLast.values.length === names.length ? toLast.values : new Float32Array(names.length).fill(NaN),
    last: typeof last === "number" && last >= 0 ? last : null, samples: typeof samples === "number" ? samples : null,
  };
}

export const between = ({ layers, matrix }: Alignment, a: number, b: number): number => Number(matrix[a * layers.length + b]);

export interface Run {
  first: number;
  /** Inclusive. */
  last: number;
  /** The least CKA of any two of its layers. */
  least: number;
}

/** Longest runs of neighbouring layers of which any two are nearly the same: greedily from the first on, at least two long. */
export function sameRuns(alignment: Alignment, same = SAME): Run[] {
  const count = alignment.layers.length;
  const runs: Run[] = [];
  for (let first = 0; first < count - 1; ) {
    let [last, least] = [first, 1];
    while (last + 1 < count) {
      let next = least;
      for (let i = first; i <= last; i++) {
        const value = between(alignment, i, last + 1);
        next = value >= same ? Math.min(next, value) : NaN;
      }
      if (!(next >= same)) break;
      [last, least] = [last + 1, next];
    }
    if (last > first) runs.push({ first, last, least });
    first = last > first ? last + 1 : first + 1;
  }
  return runs;
}

/** The lowest known value outside the diagonal; 0 where there is none. */
export function lowest(alignment: Alignment): number {
  let low = Infinity;
  const count = alignment.layers.length;
  for (let i = 0; i < count; i++) for (let j = 0; j < i; j++) if (between(alignment, i, j) < low) low = between(alignment, i, j);
  return Number.isFinite(low) ? low : 0;
}

/** Layers of which nothing is known: their output is constant. */
export const constant = (alignment: Alignment): string[] =>
  alignment.layers.filter((_, i) => alignment.layers.length > 1 && alignment.layers.every((_, j) => j === i || !Number.isFinite(between(alignment, i, j))));

/** The open alert that calls a layer of a run redundant; null where none does. */
export const redundantAlert = (alerts: readonly Alert[], layers: readonly string[]): Alert | null =>
  alerts.find((alert) => alert.resolved < 0 && /redundant.layer/i.test(alert.kind) && layers.includes(alert.layer)) ?? null;
