// A histogram as an outline.

import { shareIn, type Row } from "../model/histograms";

/**
 * The share that is drawn at full height: what the bins beside zero hold at most, in three of four rows.  Higher bins are cut off
 * there, or the many zeros after a ReLU, or one row that is all in one bin, would leave no height for anything else.
 */
export function fullShare(rows: Row[]): number {
  const peaks = rows.map((row) => {
    let peak = 0;
    for (let bin = 0; bin < row.counts.length; bin++) {
      if (row.edges[bin]! > 0 || row.edges[bin + 1]! <= 0) peak = Math.max(peak, shareIn(row, bin));
    }
    return peak;
  });
  const beside = peaks.filter((peak) => peak > 0).sort((a, b) => a - b);
  return beside[Math.ceil(0.75 * (beside.length - 1))] ?? 1;
}

/** Height of a share, 0…1: its square root, which keeps the faint in sight; 1 from `full` on. */
export const lift = (share: number, full: number): number => Math.min(1, Math.sqrt(Math.max(0, share) / full));

/** SVG paths of a row's outline and of the area under it: steps of the bins' own width, from `base` upwards. */
export function ridge(row: Row, x: (value: number) => number, base: number, height: number, full: number): { line: string; area: string } {
  let first = 0, end = row.counts.length;
  while (first < end && !(row.counts[first]! > 0)) first++;
  while (end > first && !(row.counts[end - 1]! > 0)) end--;
  if (first === end) return { line: "", area: "" };
  let line = `M${x(row.edges[first]!).toFixed(1)},${base.toFixed(1)}`;
  for (let bin = first; bin < end; bin++) {
    const y = (base - height * lift(shareIn(row, bin), full)).toFixed(1);
    line += `V${y}H${x(row.edges[bin + 1]!).toFixed(1)}`;
  }
  line += `V${base.toFixed(1)}`;
  return { line, area: `${line}Z` };
}
