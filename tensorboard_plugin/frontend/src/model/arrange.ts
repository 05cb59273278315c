// The order of a layer's filters: by a number, or so that those whose histograms are alike stand together.  Pure functions.

import type { Histograms } from "./histograms";

/** Filters that are shown as one line, the first of them in full. */
export interface Group {
  /** Nearest to the group's middle. */
  leader: number;
  /** All of them, the leader first. */
  members: number[];
}

/** Above so many filters alike ones are shown as one. */
export const GROUPED_FROM = 512;
const GROUPS = 48;
const ROUNDS = 6;

/** Indices by value, largest first; what is not known last, ties by index. */
export function byValue(values: ArrayLike<number>): number[] {
  return Array.from({ length: values.length }, (_, i) => i).sort((a, b) => {
    const [x, y] = [values[a]!, values[b]!];
    const [emptyX, emptyY] = [Number.isNaN(x), Number.isNaN(y)];
    return Number(emptyX) - Number(emptyY) || (emptyX ? 0 : y - x) || a - b;
  });
}

/**
 * Where the filters' distributions lie: (filters × bins) cumulated shares.  The sum of absolute differences of two rows is the
 * earth mover's distance of two histograms, in bins (Rubner, Tomasi, Guibas 2000).
 */
export function cumulated(of: Histograms): Float32Array {
  const rows = new Float32Array(of.filters * of.bins);
  for (let f = 0; f < of.filters; f++) {
    let sum = 0;
    for (let b = 0; b < of.bins; b++) {
      sum += Math.max(0, of.counts[f * of.bins + b]!);
      rows[f * of.bins + b] = of.total[f]! > 0 ? sum / of.total[f]! : 0;
    }
  }
  return rows;
}

/** An order of some rows in which neighbours are alike: from the row that is lowest on the whole, always on to the nearest. */
export function chain(rows: Float32Array, width: number, which: number[]): number[] {
  if (which.length < 3) return [...which];
  const sum = (row: number) => rows.subarray(row * width, (row + 1) * width).reduce((total, value) => total + value, 0);
  const left = [...which];
  // The largest cumulated sum lies lowest: silent filters come first.
  let at = left.reduce((best, row, i) => (sum(row) > sum(left[best]!) + 1e-9 ? i : best), 0);
  const order: number[] = [];
  for (;;) {
    const row = left[at]!;
    order.push(row);
    left[at] = left.at(-1)!;
    left.pop();
    if (!left.length) return order;
    let nearest = Infinity;
    for (let i = 0; i < left.length; i++) {
      const d = distance(rows, width, row, rows, left[i]!, nearest);
      if (d < nearest || (d === nearest && left[i]! < left[at]!)) [nearest, at] = [d, i];
    }
  }
}

/** Groups of alike rows, groups and members in the order of `chain`; as many as there are rows where those are few. */
export function groupsOf(rows: Float32Array, width: number, count: number, most = GROUPS): Group[] {
  const seeds = spread(rows, width, count, Math.min(most, count));
  let centres = Float32Array.from(seeds.flatMap((row) => [...rows.subarray(row * width, (row + 1) * width)]));
  let home = new Int32Array(count);
  for (let round = 0; round < ROUNDS; round++) {
    const next = nearestCentres(rows, width, count, centres);
    const same = round > 0 && next.every((centre, row) => centre === home[row]);
    home = next;
    if (same) break;
    centres = means(rows, width, home, centres);
  }
  const members = new Map<number, number[]>();
  home.forEach((centre, row) => members.set(centre, [...(members.get(centre) ?? []), row]));
  return chain(centres, width, [...members.keys()]).map((centre) => {
    const all = members.get(centre)!;
    const away = all.map((row) => distance(centres, width, centre, rows, row));
    const leader = all[away.indexOf(Math.min(...away))]!;
    return { leader, members: [leader, ...chain(rows, width, all).filter((row) => row !== leader)] };
  });
}

/** Rows to start from: one of every so many from the lowest to the highest, so that groups are about equally large. */
function spread(rows: Float32Array, width: number, count: number, wanted: number): number[] {
  const height = Float64Array.from({ length: count }, (_, row) => {
    let sum = 0;
    for (let b = 0; b < width; b++) sum += rows[row * width + b]!;
    return sum;
  });
  const order = Array.from({ length: count }, (_, row) => row).sort((a, b) => height[b]! - height[a]! || a - b);
  return Array.from({ length: wanted }, (_, i) => order[Math.floor(((i + 0.5) * count) / wanted)]!);
}

function nearestCentres(rows: Float32Array, width: number, count: number, centres: Float32Array): Int32Array<ArrayBuffer> {
  return new Int32Array(count).map((_, row) => {
    let [best, nearest] = [0, Infinity];
    for (let c = 0; c < centres.length / width; c++) {
      const d = distance(centres, width, c, rows, row, nearest);
      if (d < nearest) [best, nearest] = [c, d];
    }
    return best;
  });
}

function means(rows: Float32Array, width: number, home: Int32Array, before: Float32Array): Float32Array<ArrayBuffer> {
  const centres = new Float32Array(before.length);
  const sizes = new Float64Array(before.length / width);
  home.forEach((centre, row) => {
    sizes[centre]!++;
    for (let b = 0; b < width; b++) centres[centre * width + b]! += rows[row * width + b]!;
  });
  return centres.map((value, i) => (sizes[Math.floor(i / width)]! ? value / sizes[Math.floor(i / width)]! : before[i]!));
}

/** Sum of absolute differences; may stop early once it is beyond `enough`. */
function distance(a: Float32Array, width: number, i: number, b: Float32Array, j: number, enough = Infinity): number {
  let sum = 0;
  for (let k = 0, p = i * width, q = j * width; k < width && sum <= enough; k++) sum += Math.abs(a[p + k]! - b[q + k]!);
  return sum;
}
