// Which areas of a map matter: a watershed between what surely does and what surely does not.  Pure functions.

/**
 * Each pixel gets the marker to which a path leads whose largest step is smallest, a step being the difference of two neighbours; of
 * equal ones the lower marker.  So borders come to lie where the picture changes most abruptly.  `markers`: 0 = none, any other whole
 * number a marker; so is the answer.  Pixels touch along edges.  (Falcão, Stolfi and Lotufo 2004, The image foresting transform.)
 */
export function watershed(values: ArrayLike<number>, markers: ArrayLike<number>, width: number, height: number): Int32Array {
  const labels = new Int32Array(width * height);
  const cost = new Float64Array(width * height).fill(Infinity);
  const heap = new Heap();
  const reach = (item: number, level: number, label: number) => {
    if (level > cost[item]! || (level === cost[item]! && label >= labels[item]!)) return;
    [cost[item], labels[item]] = [level, label];
    heap.push({ level, label, item });
  };
  for (let i = 0; i < labels.length; i++) if (markers[i]) reach(i, -1, markers[i]!); // below any step: a marker stays what it is
  for (let top = heap.pop(); top; top = heap.pop()) {
    const { item, level, label } = top;
    if (level !== cost[item] || label !== labels[item]) continue; // reached better meanwhile
    const step = (to: number) => reach(to, Math.max(level, Math.abs(values[to]! - values[item]!) || 0), label);
    const x = item % width;
    if (x > 0) step(item - 1);
    if (x < width - 1) step(item + 1);
    if (item >= width) step(item - width);
    if (item < width * (height - 1)) step(item + width);
  }
  return labels;
}

interface Entry { level: number; label: number; item: number }

/** Lowest level first; of equal ones the lowest label. */
class Heap {
  private readonly entries: Entry[] = [];

  push(entry: Entry): void {
    const { entries } = this;
    let at = entries.length;
    entries.push(entry);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(entry, entries[parent]!)) break;
      entries[at] = entries[parent]!;
      at = parent;
    }
    entries[at] = entry;
  }

  pop(): Entry | undefined {
    const { entries } = this;
    const top = entries[0];
    const last = entries.pop();
    if (!top || !last || !entries.length) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= entries.length) break;
      if (child + 1 < entries.length && before(entries[child + 1]!, entries[child]!)) child++;
      if (!before(entries[child]!, last)) break;
      entries[at] = entries[child]!;
      at = child;
    }
    entries[at] = last;
    return top;
  }
}

const before = (a: Entry, b: Entry): boolean => a.level < b.level || (a.level === b.level && a.label < b.label);

const INSIDE = 2, OUTSIDE = 1;
/** Steps are compared in so many levels; the rule is that of `featwatch.analysis.important_regions`. */
const LEVELS = 65535;

/**
 * The important areas of a map, 1 where a pixel is in one: those from `share` of the largest magnitude on surely are, those up to
 * half of that surely are not, and between the two a watershed draws the border where the map falls off most steeply.  All 0
 * where the map is 0 everywhere.
 */
export function importantAreas(values: ArrayLike<number>, width: number, height: number, share: number): Uint8Array {
  const size = Float64Array.from({ length: width * height }, (_, i) => (Number.isFinite(values[i]!) ? Math.abs(values[i]!) : 0));
  const most = size.reduce((found, value) => Math.max(found, value), 0);
  if (!(most > 0)) return new Uint8Array(size.length);
  const markers = Int32Array.from(size, (value) => (value >= share * most ? INSIDE : value > (share / 2) * most ? 0 : OUTSIDE));
  const labels = watershed(size.map((value) => Math.round((value / most) * LEVELS)), markers, width, height);
  return Uint8Array.from(labels, (label) => (label === INSIDE ? 1 : 0));
}

/** The border of areas as an SVG path along pixels' edges, in pixels. */
export function borderPath(mask: ArrayLike<number>, width: number, height: number): string {
  const inside = (x: number, y: number) => x >= 0 && y >= 0 && x < width && y < height && mask[y * width + x] === 1;
  const path: string[] = [];
  const runs = (lines: number, length: number, crosses: (line: number, i: number) => boolean, draw: (line: number, from: number, to: number) => void) => {
    for (let line = 0; line <= lines; line++) {
      let from = -1;
      for (let i = 0; i <= length; i++) {
        const here = i < length && crosses(line, i);
        if (here && from < 0) from = i;
        if (!here && from >= 0) {
          draw(line, from, i);
          from = -1;
        }
      }
    }
  };
  runs(height, width, (y, x) => inside(x, y - 1) !== inside(x, y), (y, from, to) => void path.push(`M${from} ${y}H${to}`));
  runs(width, height, (x, y) => inside(x - 1, y) !== inside(x, y), (x, from, to) => void path.push(`M${x} ${from}V${to}`));
  return path.join("");
}
