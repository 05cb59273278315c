// A gallery's items in rows, and where the arrow keys go from one to the next.  Pure.

/** A row of items, some of its places possibly empty; or a line of words. */
export interface Row<T> {
  items: (T | null)[];
  text: string;
}

export const COLUMNS_AT_MOST = 512;

/** So many to a row. */
export function inRows<T>(items: readonly (T | null)[], columns: number): Row<T>[] {
  const wide = Math.max(1, Math.min(columns, COLUMNS_AT_MOST));
  return Array.from({ length: Math.ceil(items.length / wide) }, (_, row) => ({ items: items.slice(row * wide, (row + 1) * wide), text: "" }));
}

/** A grid's rows, and below them, after a line of words, the items that have no place in it. */
export function gridRows<T>(cells: readonly (T | null)[], columns: number, rest: readonly T[], wide: number, words: string): Row<T>[] {
  const grid = inRows(cells, columns);
  return rest.length ? [...grid, { items: [], text: words }, ...inRows<T>(rest, wide)] : grid;
}

type Key = "ArrowLeft" | "ArrowRight" | "ArrowUp" | "ArrowDown";
export const isArrow = (key: string): key is Key => /^Arrow(Left|Right|Up|Down)$/.test(key);

/** What an arrow leads to from an item; null where there is nothing further that way.  Empty places are passed over. */
export function neighbour<T>(rows: readonly Row<T>[], from: (item: T) => boolean, key: Key): T | null {
  const row = rows.findIndex(({ items }) => items.some((item) => item !== null && from(item)));
  if (row < 0) return null;
  const column = rows[row]!.items.findIndex((item) => item !== null && from(item));
  if (key === "ArrowLeft" || key === "ArrowRight") {
    const all = rows.flatMap(({ items }) => items.filter((item) => item !== null));
    return all[all.findIndex(from) + (key === "ArrowLeft" ? -1 : 1)] ?? null;
  }
  const step = key === "ArrowUp" ? -1 : 1;
  for (let next = row + step; next >= 0 && next < rows.length; next += step) {
    const near = nearestTo(rows[next]!.items, column);
    if (near !== null) return near;
  }
  return null;
}

function nearestTo<T>(items: readonly (T | null)[], column: number): T | null {
  let [best, least]: [T | null, number] = [null, Infinity];
  items.forEach((item, at) => {
    if (item !== null && Math.abs(at - column) < least) [best, least] = [item, Math.abs(at - column)];
  });
  return best;
}
