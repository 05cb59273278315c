// A layer's feature images side by side, alike ones as neighbours: cells of a grid.  Pure functions on records.

import { text, whole } from "../api/plain";
import type { FrameRecord } from "../api/types";
import type { Tile } from "./gallery";

export interface Arrangement {
  epoch: number;
  columns: number;
  rows: number;
  /** Filter → its cell, row · columns + column. */
  cells: ReadonlyMap<number, number>;
  /** Filter → the epoch whose image of it was arranged; −1 = not known. */
  made: ReadonlyMap<number, number>;
  note: string;
}

/** Cells beyond which a grid is no honest one: they would be drawn empty for ever. */
const MOST_CELLS = 65_536;

/** The grid of a record; null where it is none: a cell that is taken twice, or lies outside. */
export function arrangementOf(record: FrameRecord): Arrangement | null {
  const { filters, cells, made } = record.arrays;
  if (record.kind !== "arrangement" || !(filters?.values instanceof Int32Array) || !(cells?.values instanceof Int32Array)) return null;
  const [columns, rows] = [whole(record.fields.columns), whole(record.fields.rows)];
  const shown = filters.values.length;
  if (!shown || cells.values.length !== shown || columns < 1 || rows < 1 || columns * rows > MOST_CELLS) return null;
  const taken = new Set<number>();
  const places = new Map<number, number>();
  const epochs = new Map<number, number>();
  for (let i = 0; i < shown; i++) {
    const [filter, cell] = [filters.values[i]!, cells.values[i]!];
    if (filter < 0 || cell < 0 || cell >= columns * rows || taken.has(cell) || places.has(filter)) return null;
    taken.add(cell);
    places.set(filter, cell);
    epochs.set(filter, made?.values instanceof Int32Array && made.values.length === shown ? made.values[i]! : -1);
  }
  return { epoch: record.epoch, columns, rows, cells: places, made: epochs, note: text(record.fields.note) };
}

/** Tiles in their cells, null where a cell is empty, cut to the rows and columns that are used; and those that have no cell. */
export function placed(arrangement: Arrangement, tiles: readonly Tile[]): { columns: number; cells: (Tile | null)[]; rest: Tile[] } {
  const has = (tile: Tile) => tile.reached && arrangement.cells.has(tile.filter);
  const [there, rest] = [tiles.filter(has), tiles.filter((tile) => !has(tile))];
  const at = there.map((tile) => {
    const cell = arrangement.cells.get(tile.filter)!;
    return { tile, row: Math.floor(cell / arrangement.columns), column: cell % arrangement.columns };
  });
  const edge = (values: number[]): [first: number, count: number] => {
    const first = values.reduce((a, b) => Math.min(a, b), Infinity);
    return [first, values.reduce((a, b) => Math.max(a, b), -1) + 1 - first];
  };
  if (!at.length) return { columns: 1, cells: [], rest };
  const [top, rows] = edge(at.map(({ row }) => row));
  const [left, columns] = edge(at.map(({ column }) => column));
  const cells: (Tile | null)[] = Array.from({ length: rows * columns }, () => null);
  for (const { tile, row, column } of at) cells[(row - top) * columns + column - left] = tile;
  return { columns, cells, rest };
}

/** How many of the tiles show another image than the one that was arranged. */
export const refreshedSince = (arrangement: Arrangement, tiles: readonly Tile[]): number =>
  tiles.filter((tile) => {
    const made = arrangement.made.get(tile.filter) ?? -1;
    return made >= 0 && tile.reached && tile.epoch !== made;
  }).length;
