// The samples of an embedding on a regular grid (record "grid"), and anywhere between their places and their cells.

import type { FrameRecord } from "../api/types";
import { numberOr, whole } from "../api/plain";

export interface Grid {
  /** Cell of each sample: column c % columns, row c / columns, row 0 at the bottom. */
  cells: Int32Array;
  columns: number;
  rows: number;
  /** Centre of cell 0, in the embedding's plane. */
  left: number;
  bottom: number;
  /** Distance between the centres of neighbouring cells. */
  cell: number;
}

/** A record's grid; null where it is none, or says nothing of where its cells are. */
export function gridOf(record: FrameRecord | null): Grid | null {
  const cells = record?.kind === "grid" ? record.arrays.cells?.values : undefined;
  if (!record || !(cells instanceof Int32Array)) return null;
  const grid = {
    cells,
    columns: whole(record.fields.columns),
    rows: whole(record.fields.rows),
    left: numberOr(record.fields.left, NaN),
    bottom: numberOr(record.fields.bottom, NaN),
    cell: numberOr(record.fields.cell, NaN),
  };
  return grid.columns > 0 && grid.rows > 0 && Number.isFinite(grid.left + grid.bottom + grid.cell) ? grid : null;
}

/**
 * Points (x, y alternating) on the straight lines from their places (t = 0) to the centres of their cells (t = 1).
 * A sample that has no cell stays where it is.
 */
export function mapped(points: Float32Array, grid: Grid, t: number): Float32Array {
  const { cells, columns, rows, left, bottom, cell } = grid;
  const there = points.slice();
  const count = Math.min(points.length >> 1, cells.length);
  for (let i = 0; i < count; i++) {
    const at = cells[i]!;
    if (at < 0 || at >= columns * rows) continue;
    there[2 * i] = (1 - t) * points[2 * i]! + t * (left + (at % columns) * cell);
    there[2 * i + 1] = (1 - t) * points[2 * i + 1]! + t * (bottom + Math.floor(at / columns) * cell);
  }
  return there;
}
