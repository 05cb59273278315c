// The lines between regions: marching squares between the centres of cells, chained, so that they can be dashed.

import type { Regions } from "./regions";

/**
 * Polylines (x, y alternating, in the plane) along which regions meet; one that is closed ends where it starts.
 * Between two unlike cells the line passes where their leads are in balance.  Where lines meet, they end.
 */
export function outline(regions: Regions): Float32Array[] {
  const { columns, rows, cells, margin, left, bottom, step } = regions;
  const count = columns * rows;
  // Nodes: crossings of sides between neighbours in a row, in a column, and meeting points in the middle of four cells.
  const links = new Int32Array(4 * count).fill(-1);
  const meetings: [number, number][] = [];
  const middles = new Map<number, [number, number]>();

  const place = (node: number): [number, number] => {
    const middle = middles.get(node);
    if (middle) return middle;
    const upwards = node >= count;
    const cell = upwards ? node - count : node;
    const other = cell + (upwards ? columns : 1);
    const both = margin[cell]! + margin[other]!;
    const along = both > 0 ? margin[cell]! / both : 0.5;
    const [column, row] = [cell % columns, Math.floor(cell / columns)];
    return [left + (column + (upwards ? 0 : along)) * step, bottom + (row + (upwards ? along : 0)) * step];
  };
  const link = (node: number, other: number): void => {
    links[2 * node + (links[2 * node]! < 0 ? 0 : 1)] = other;
  };
  const unlink = (node: number, other: number): void => {
    if (links[2 * node] === other) links[2 * node] = links[2 * node + 1]!;
    links[2 * node + 1] = -1;
  };

  for (let row = 0; row + 1 < rows; row++) {
    for (let column = 0; column + 1 < columns; column++) {
      const a = row * columns + column;
      const [b, c, d] = [a + 1, a + columns, a + columns + 1];
      const crossed: number[] = [];
      if (cells[a] !== cells[b]) crossed.push(a);
      if (cells[c] !== cells[d]) crossed.push(c);
      if (cells[a] !== cells[c]) crossed.push(count + a);
      if (cells[b] !== cells[d]) crossed.push(count + b);
      if (crossed.length === 2) {
        link(crossed[0]!, crossed[1]!);
        link(crossed[1]!, crossed[0]!);
      } else if (crossed.length > 2) {
        const meeting = 2 * count + a;
        const places = crossed.map(place);
        const mean = (axis: 0 | 1) => places.reduce((sum, at) => sum + at[axis], 0) / places.length;
        middles.set(meeting, [mean(0), mean(1)]);
        for (const node of crossed) {
          link(node, meeting);
          meetings.push([meeting, node]);
        }
      }
    }
  }

  const lines: Float32Array[] = [];
  const walk = (start: number, next: number): void => {
    const path = [...place(start)];
    for (let [before, node] = [start, next]; ; ) {
      path.push(...place(node));
      if (middles.has(node)) break;
      unlink(node, before);
      const ahead = links[2 * node]!;
      if (ahead < 0) break;
      links[2 * node] = -1;
      [before, node] = [node, ahead];
    }
    lines.push(Float32Array.from(path));
  };
  const isLinked = (node: number, to: number) => links[2 * node] === to || links[2 * node + 1] === to;
  for (const [meeting, node] of meetings) if (isLinked(node, meeting)) walk(meeting, node);
  // First those that end at the raster's edge, then closed ones.
  for (const wanted of [1, 2]) {
    for (let node = 0; node < 2 * count; node++) {
      const next = links[2 * node]!;
      if (next < 0 || (wanted === 1) !== links[2 * node + 1]! < 0) continue;
      unlink(node, next);
      walk(node, next);
    }
  }
  return lines;
}
