// Nearest points of the plane by a k-d tree: exact, and of equally near points always the one with the smaller index.

/** Up to so many points are compared one by one. */
const LEAF = 8;

export class Nearest {
  private readonly index: Int32Array;
  private readonly x: Float64Array;
  private readonly y: Float64Array;
  /** Where a node is split, and whether along y, kept at its middle. */
  private readonly split: Float64Array;
  private readonly alongY: Uint8Array;
  private readonly squared: Float64Array;
  private px = 0;
  private py = 0;
  private worst = Infinity;

  /** Indices of the nearest points of the last `find`, nearest first; −1 where there are fewer. */
  readonly found: Int32Array;

  /** A tree of the `chosen` points (x, y alternating), to find the `k` nearest. */
  constructor(points: Float32Array, chosen: Int32Array, private readonly k: number) {
    const index = chosen.slice();
    this.split = new Float64Array(index.length);
    this.alongY = new Uint8Array(index.length);
    this.build(points, index, 0, index.length);
    this.index = index;
    this.x = Float64Array.from(index, (i) => points[2 * i]!);
    this.y = Float64Array.from(index, (i) => points[2 * i + 1]!);
    this.found = new Int32Array(k);
    this.squared = new Float64Array(k);
  }

  /** Looks for the nearest points to (x, y), no farther than `reach`; returns the distance of the last one found. */
  find(x: number, y: number, reach = Infinity): number {
    this.px = x;
    this.py = y;
    this.worst = reach * reach;
    this.found.fill(-1);
    this.squared.fill(Infinity);
    this.search(0, this.index.length);
    return Math.sqrt(this.worst);
  }

  private search(from: number, to: number): void {
    if (to - from <= LEAF) {
      for (let at = from; at < to; at++) {
        const dx = this.px - this.x[at]!;
        const dy = this.py - this.y[at]!;
        const squared = dx * dx + dy * dy;
        if (squared <= this.worst) this.offer(squared, this.index[at]!);
      }
      return;
    }
    const middle = (from + to) >> 1;
    const away = (this.alongY[middle] ? this.py : this.px) - this.split[middle]!;
    if (away < 0) {
      this.search(from, middle);
      if (away * away <= this.worst) this.search(middle, to);
    } else {
      this.search(middle, to);
      if (away * away <= this.worst) this.search(from, middle);
    }
  }

  private offer(squared: number, index: number): void {
    const { found, k } = this;
    const distances = this.squared;
    let place = k - 1;
    if (squared === distances[place]! && index > found[place]!) return;
    for (; place > 0; place--) {
      const before = distances[place - 1]!;
      if (squared > before || (squared === before && index > found[place - 1]!)) break;
      distances[place] = before;
      found[place] = found[place - 1]!;
    }
    distances[place] = squared;
    found[place] = index;
    if (found[k - 1]! >= 0) this.worst = distances[k - 1]!;
  }

  /** Orders index[from … to) so that the middle one splits it along the wider side. */
  private build(points: Float32Array, index: Int32Array, from: number, to: number): void {
    if (to - from <= LEAF) return;
    let [x0, x1, y0, y1] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let at = from; at < to; at++) {
      const x = points[2 * index[at]!]!;
      const y = points[2 * index[at]! + 1]!;
      if (x < x0) x0 = x;
      if (x > x1) x1 = x;
      if (y < y0) y0 = y;
      if (y > y1) y1 = y;
    }
    const side = y1 - y0 > x1 - x0 ? 1 : 0;
    const middle = (from + to) >> 1;
    select(points, side, index, from, to - 1, middle);
    this.split[middle] = points[2 * index[middle]! + side]!;
    this.alongY[middle] = side;
    this.build(points, index, from, middle);
    this.build(points, index, middle, to);
  }
}

/** Moves to place `k` what stands there in the order of one coordinate, nothing larger before it, nothing smaller after it. */
function select(points: Float32Array, side: number, index: Int32Array, from: number, to: number, k: number): void {
  while (from < to) {
    const pivot = points[2 * index[(from + to) >> 1]! + side]!;
    let [low, high] = [from, to];
    while (low <= high) {
      while (points[2 * index[low]! + side]! < pivot) low++;
      while (points[2 * index[high]! + side]! > pivot) high--;
      if (low > high) break;
      const other = index[low]!;
      index[low++] = index[high]!;
      index[high--] = other;
    }
    if (k <= high) to = high;
    else if (k >= low) from = low;
    else return;
  }
}
