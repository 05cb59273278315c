// Which rows of a grid are in sight, where one row may have a panel opened below it.  Pure.

export interface Grid {
  count: number;
  columns: number;
  rowHeight: number;
  /** The row with the panel, −1 = none, and the panel's height. */
  open: number;
  panel: number;
}

export interface Span {
  first: number;
  /** Exclusive. */
  last: number;
}

export const rowCount = ({ count, columns }: Grid): number => Math.ceil(count / Math.max(columns, 1));

export const totalHeight = (grid: Grid): number => rowCount(grid) * grid.rowHeight + (grid.open >= 0 ? grid.panel : 0);

/** Where a row begins, in pixels. */
export const offsetOf = (grid: Grid, row: number): number => row * grid.rowHeight + (grid.open >= 0 && row > grid.open ? grid.panel : 0);

/** Rows that `height` pixels from `top` on show, with `extra` on either side. */
export function visibleRows(grid: Grid, top: number, height: number, extra = 2): Span {
  const rows = rowCount(grid);
  const at = (y: number) => {
    const free = grid.open >= 0 && y > (grid.open + 1) * grid.rowHeight ? Math.max(y - grid.panel, (grid.open + 1) * grid.rowHeight - 1) : y;
    return Math.floor(free / grid.rowHeight);
  };
  return { first: Math.max(0, Math.min(at(top) - extra, rows)), last: Math.min(rows, at(top + height) + 1 + extra) };
}
