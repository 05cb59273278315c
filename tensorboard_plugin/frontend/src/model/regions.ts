// Estimated decision regions in the plane: the nearest samples vote with their predicted classes, a Gaussian smooths
// the votes.  Cell by cell what `featwatch.analysis.regions` gives.

import { Nearest } from "./nearest";

export { outline } from "./outline";

export interface Extent {
  x0: number;
  y0: number;
  x1: number;
  y1: number;
}

export interface RegionOptions {
  /** How many of the nearest samples vote at each cell. */
  neighbors?: number;
  /** Cells along the longer side. */
  resolution?: number;
  /** Standard deviation of the Gaussian, as a share of the longer side. */
  smoothing?: number;
  /** What is covered; otherwise the points and a margin around them. */
  extent?: Extent | null;
}

/** A raster over the plane. */
export interface Regions {
  columns: number;
  rows: number;
  /** Centre of cell 0; row 0 is at the bottom. */
  left: number;
  bottom: number;
  /** Side of a cell. */
  step: number;
  /** The class of each cell, row by row. */
  cells: Int16Array;
  /** How far it is ahead of the next class, as a share of the votes, 0 to 1. */
  margin: Float32Array;
}

const MARGIN = 0.04;
const FINEST = 2048;
/** Classes beyond do not fit into the cells. */
const MOST = 1 << 15;
/** Weights are whole numbers of this one's inverse: sums are exact, in whatever order, here and in Python. */
const UNIT = 2 ** 20;

/**
 * The region of every class (row E5).  `points`: x, y alternating.  `classes`: the predicted class of each; samples without
 * one (−1), or that are nowhere, do not vote.  Of equally near samples that with the smaller index votes, of classes
 * with equally many votes the smaller one wins.  Null where no sample votes.
 */
export function regions(points: Float32Array, classes: Int32Array, options: RegionOptions = {}): Regions | null {
  const { neighbors = 3, resolution = 160, smoothing = 0.0125 } = options;
  const voters = votersAmong(points, classes);
  if (!voters.length) return null;
  const raster = rasterOver(options.extent ?? extentOf(points, voters), Math.max(1, Math.min(Math.round(resolution) || 1, FINEST)));
  const k = Math.max(1, Math.min(neighbors, voters.length));
  const votes = votesOf(new Nearest(points, voters, k), raster, classes, k);
  const { cells, margin } = smoothed(votes, raster, k, kernel(smoothing * Math.max(raster.columns, raster.rows)));
  return { ...raster, cells, margin };
}

/** The samples that vote: they are somewhere, and have a class. */
function votersAmong(points: Float32Array, classes: Int32Array): Int32Array {
  const voters = new Int32Array(Math.min(points.length >> 1, classes.length));
  let count = 0;
  for (let i = 0; i < voters.length; i++) {
    if (classes[i]! >= 0 && classes[i]! < MOST && Number.isFinite(points[2 * i]! + points[2 * i + 1]!)) voters[count++] = i;
  }
  return voters.subarray(0, count);
}

type Raster = Pick<Regions, "columns" | "rows" | "left" | "bottom" | "step">;

/** Square cells, `resolution` along the longer side, centred on the extent. */
function rasterOver({ x0, y0, x1, y1 }: Extent, resolution: number): Raster {
  const longer = Math.max(x1 - x0, y1 - y0) || 1;
  const step = longer / resolution;
  const along = (side: number) => Math.max(1, Math.ceil(side / step - 1e-9));
  const [columns, rows] = [along(x1 - x0), along(y1 - y0)];
  return { columns, rows, left: (x0 + x1) / 2 - ((columns - 1) / 2) * step, bottom: (y0 + y1) / 2 - ((rows - 1) / 2) * step, step };
}

function extentOf(points: Float32Array, chosen: Int32Array): Extent {
  let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const i of chosen) {
    const [x, y] = [points[2 * i]!, points[2 * i + 1]!];
    if (x < x0) x0 = x;
    if (x > x1) x1 = x;
    if (y < y0) y0 = y;
    if (y > y1) y1 = y;
  }
  const pad = (Math.max(x1 - x0, y1 - y0) || 1) * MARGIN;
  return { x0: x0 - pad, y0: y0 - pad, x1: x1 + pad, y1: y1 + pad };
}

/** The classes of the k nearest samples of every cell: cells × k. */
function votesOf(nearest: Nearest, { columns, rows, left, bottom, step }: Raster, classes: Int32Array, k: number): Int16Array {
  const votes = new Int16Array(columns * rows * k);
  let reach = Infinity;
  for (let row = 0, at = 0; row < rows; row++) {
    for (let turn = 0; turn < columns; turn++, at += k) {
      // There and back again: the cell before is next to this one, so its neighbours are near, and bound the search.
      const column = row % 2 ? columns - 1 - turn : turn;
      reach = nearest.find(left + column * step, bottom + row * step, (reach + step) * (1 + 1e-9));
      for (let i = 0, cell = (row * columns + column) * k; i < k; i++) votes[cell + i] = classes[nearest.found[i]!]!;
    }
  }
  return votes;
}

/** A Gaussian's weights at 0, 1, … cells, in whole units, cut at four standard deviations as SciPy does. */
function kernel(sigma: number): Float64Array {
  const radius = Math.trunc(4 * sigma + 0.5);
  const weights = Float64Array.from({ length: radius + 1 }, (_, i) => (i ? Math.exp((-0.5 * i * i) / (sigma * sigma)) : 1));
  const total = weights.reduce((sum, weight, i) => sum + (i ? 2 * weight : weight), 0);
  return weights.map((weight) => Math.round((weight / total) * UNIT));
}

/**
 * How much of a cell at `from` arrives at from − radius … from + radius, size × (2 · radius + 1); beyond the raster's ends
 * the last cell goes on.
 */
function spreading(weights: Float64Array, size: number): Float64Array {
  const radius = weights.length - 1;
  const tails = new Float64Array(radius + 2);
  for (let i = radius; i >= 0; i--) tails[i] = tails[i + 1]! + weights[i]!;
  const table = new Float64Array(size * (2 * radius + 1));
  for (let from = 0; from < size; from++) {
    for (let to = Math.max(0, from - radius); to <= Math.min(size - 1, from + radius); to++) {
      const away = Math.abs(to - from);
      const beyond = (from === 0 ? tails[away + 1]! : 0) + (from === size - 1 ? tails[away + 1]! : 0);
      table[from * (2 * radius + 1) + to - from + radius] = weights[away]! + beyond;
    }
  }
  return table;
}

/** The class with the largest smoothed share of the votes in every cell, and its lead. */
function smoothed(votes: Int16Array, { columns, rows }: Raster, k: number, weights: Float64Array): Pick<Regions, "cells" | "margin"> {
  const count = columns * rows;
  const radius = weights.length - 1;
  const [sideways, upwards] = [spreading(weights, columns), spreading(weights, rows)];
  const cells = new Int16Array(count).fill(-1);
  const [best, second] = [new Float64Array(count), new Float64Array(count)];
  const [across, share] = [new Float64Array(columns), new Float64Array(count)];
  const [first, last] = [new Int32Array(rows), new Int32Array(rows)];
  for (const [key, places] of byClass(votes)) {
    first.fill(columns);
    last.fill(-1);
    for (let at = 0; at < places.length; ) {
      // One row of votes is spread sideways, then upwards and downwards.
      const row = Math.floor(places[at]! / k / columns);
      let [from, to] = [columns, -1];
      for (; at < places.length && Math.floor(places[at]! / k / columns) === row; at++) {
        const column = Math.floor(places[at]! / k) - row * columns;
        const [low, high] = [Math.max(0, column - radius), Math.min(columns - 1, column + radius)];
        const offset = column * (2 * radius + 1) - column + radius;
        for (let x = low; x <= high; x++) across[x] = across[x]! + sideways[offset + x]!;
        from = Math.min(from, low);
        to = Math.max(to, high);
      }
      for (let y = Math.max(0, row - radius); y <= Math.min(rows - 1, row + radius); y++) {
        const weight = upwards[row * (2 * radius + 1) + y - row + radius]!;
        for (let x = from, cell = y * columns + from; x <= to; x++, cell++) share[cell] = share[cell]! + weight * across[x]!;
        first[y] = Math.min(first[y]!, from);
        last[y] = Math.max(last[y]!, to);
      }
      across.fill(0, from, to + 1);
    }
    for (let y = 0; y < rows; y++) {
      for (let cell = y * columns + first[y]!; cell <= y * columns + last[y]!; cell++) {
        const value = share[cell]!;
        share[cell] = 0;
        if (value > best[cell]!) {
          second[cell] = best[cell]!;
          best[cell] = value;
          cells[cell] = key;
        } else if (value > second[cell]!) second[cell] = value;
      }
    }
  }
  const whole = k * UNIT * UNIT;
  const margin = new Float32Array(count);
  for (let cell = 0; cell < count; cell++) margin[cell] = (best[cell]! - second[cell]!) / whole;
  return { cells, margin };
}

/** Where each class stands in the votes, classes ascending. */
function byClass(votes: Int16Array): [number, Int32Array][] {
  const counts = new Int32Array(MOST);
  for (let at = 0; at < votes.length; at++) counts[votes[at]!]!++;
  const places = new Map<number, Int32Array>();
  counts.forEach((count, key) => count && places.set(key, new Int32Array(count)));
  counts.fill(0);
  for (let at = 0; at < votes.length; at++) places.get(votes[at]!)![counts[votes[at]!]!++] = at;
  return [...places];
}
