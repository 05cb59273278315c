// Which areas of a map matter: a watershed between what surely does and what surely does not.  Pure functions.

/**
 * Floods a relief from markers, the lowest places first: every pixel gets the marker whose water reaches it first, so that borders
 * come to lie on ridges.  `markers`: 0 = none, any other number a marker; so is the answer.  Pixels touch along edges.  Where a
 * relief holds NaN, it is flooded last.  (Meyer 1994, Topographic distance and watershed lines; without lines between areas.)
 */
export function watershed(relief: ArrayLike<number>, markers: ArrayLike<number>, width: number, height: number): Int32Array {
  const labels = Int32Array.from({ length: width * height }, (_, i) => markers[i] ?? 0);
  const heap = new Heap();
  const level = (i: number) => (Number.isFinite(relief[i]!) ? relief[i]! : Infinity);
  const queue = (from: number, to: number, floor: number) => {
    if (labels[to] !== 0) return;
    labels[to] = labels[from]!;
    heap.push(Math.max(level(to), floor), to);
  };
  const around = (i: number, floor: number) => {
    const x = i % width;
    if (x > 0) queue(i, i - 1, floor);
    if (x < width - 1) queue(i, i + 1, floor);
    if (i >= width) queue(i, i - width, floor);
    if (i < width * (height - 1)) queue(i, i + width, floor);
  };
  // All markers are wet before any water spreads, or the first would run over ground that is nearer to another.
  for (let i = 0; i < labels.length; i++) if (labels[i] !== 0) heap.push(level(i), i);
  for (let top = heap.pop(); top; top = heap.pop()) around(top.item, top.level);
  return labels;
}

/** Lowest level first; of equal ones the first that came. */
class Heap {
  private readonly entries: { level: number; order: number; item: number }[] = [];
  private count = 0;

  push(level: number, item: number): void {
    const { entries } = this;
    const entry = { level, order: this.count++, item };
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

  pop(): { level: number; item: number } | undefined {
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

const before = (a: { level: number; order: number }, b: { level: number; order: number }): boolean =>
  a.level < b.level || (a.level === b.level && a.order < b.order);

/** How steep a picture is at each pixel: the length of the gradient, by differences of neighbours, one-sided at edges. */
export function steepness(values: ArrayLike<number>, width: number, height: number): Float32Array {
  const at = (x: number, y: number) => values[Math.min(Math.max(y, 0), height - 1) * width + Math.min(Math.max(x, 0), width - 1)]!;
  return Float32Array.from({ length: width * height }, (_, i) => {
    const [x, y] = [i % width, Math.floor(i / width)];
    return Math.hypot(at(x + 1, y) - at(x - 1, y), at(x, y + 1) - at(x, y - 1));
  });
}

const INSIDE = 2, OUTSIDE = 1;

/**
 * The important areas of a map, 1 where a pixel is in one: those from `share` of the largest magnitude on surely are, those up to
 * half of that surely are not, and between the two a watershed on the map's steepness draws the border where it falls off
 * most steeply.  All 0 where the map is 0 everywhere.
 */
export function importantAreas(values: ArrayLike<number>, width: number, height: number, share: number): Uint8Array {
  const size = Float32Array.from({ length: width * height }, (_, i) => Math.abs(values[i]!));
  let most = 0;
  for (const value of size) if (value > most && Number.isFinite(value)) most = value;
  if (!(most > 0)) return new Uint8Array(size.length);
  const markers = Int32Array.from(size, (value) => (value >= share * most ? INSIDE : value > (share / 2) * most ? 0 : OUTSIDE));
  return Uint8Array.from(watershed(steepness(size, width, height), markers, width, height), (label) => (label === INSIDE ? 1 : 0));
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
