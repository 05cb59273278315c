// A histogram as an outline.

import { shareIn, tone, type Row } from "../model/histograms";

/** SVG paths of a row's outline and of the area under it: steps of the bins' own width, as high as their tones, from `base` upwards. */
export function ridge(row: Row, x: (value: number) => number, base: number, height: number): { line: string; area: string } {
  let [line, first, last] = ["", NaN, NaN];
  for (let bin = 0; bin < row.counts.length; bin++) {
    const share = shareIn(row, bin);
    const [from, to] = [x(row.edges[bin]!), x(row.edges[bin + 1]!)];
    if (share <= 0 && !line) continue;
    if (share <= 0 && rest(row, bin)) break;
    if (!line) first = from;
    const y = (base - height * tone(share)).toFixed(1);
    line += `${line ? "L" : `M${from.toFixed(1)},${base}L`}${from.toFixed(1)},${y}L${to.toFixed(1)},${y}`;
    last = to;
  }
  if (!line) return { line: "", area: "" };
  line += `L${last.toFixed(1)},${base}`;
  return { line, area: `${line}L${first.toFixed(1)},${base}Z` };
}

/** Whether nothing more comes from this bin on. */
function rest(row: Row, from: number): boolean {
  for (let bin = from; bin < row.counts.length; bin++) if (row.counts[bin]! > 0) return false;
  return true;
}
