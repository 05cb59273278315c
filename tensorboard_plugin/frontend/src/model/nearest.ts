// Nearest points of the plane by a k-d tree: exact, and of equally near points always the one with the smaller index.

/** Up to so many points are compared one by one. */
const LEAF = 8;

export class Nearest {
  private readonly index: Int32Array;
  private readonly x: Float64Array;
  private readonly y: Float64Array;
  /** Least and largest x, least and largest y of each node. */
  private readonly boxes: Float64Array;
  private readonly squared: Float64Array;
  private px = 0;
  private py = 0;
  private worst = Infinity;

  /** Indices of the nearest points of the last `find`, nearest first; −1 where there are fewer. */
  readonly found: Int32Array;

  /** A tree of the `chosen` points (x, y alternating), to find the `k` nearest. */
  constructor(points: Float32Array, chosen: Int32Array, private readonly k: number) {
    const index = chosen.slice();
    this.boxes = new Float64Array(4 * index.length);
    this.build(points, index, 0, index.length);
    this.index = index;
    this.x = new Float64Array(index.length);
    this.y = new Float64Array(index.length);
    for (let at = 0; at < index.length; at++) {
      this.x[at] = points[2 * index[at]!]!;
      this.y[at] = points[2 * index[at]! + 1]!;
    }
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
    const [low, high] = [(from + middle) >> 1, (middle + to) >> 1];
    const below = this.toBox(low);
    const above = this.toBox(high);
    if (below < above) {
      if (below <= this.worst) this.search(from, middle);
      if (above <= this.worst) this.search(middle, to);
    } else {
      if (above <= this.worst) this.search(middle, to);
      if (below <= this.worst) this.search(from, middle);
    }
  }

  /** The squared distance to the box around a node, which is kept at the node's middle. */
  private toBox(middle: number): number {
    const at = 4 * middle;
    const dx = Math.max(this.boxes[at]! - this.px, this.px - this.boxes[at + 1]!, 0);
    const dy = Math.max(this.boxes[at + 2]! - this.py, this.py - this.boxes[at + 3]!, 0);
    return dx * dx + dy * dy;
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
    let [x0, x1, y0, y1] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let at = from; at < to; at++) {
      const x = points[2 * index[at]!]!;
      const y = points[2 * index[at]! + 1]!;
      if (x < x0) x0 = x;
      if (x > x1) x1 = x;
      if (y < y0) y0 = y;
      if (y > y1) y1 = y;
    }
    const middle = (from + to) >> 1;
    this.boxes.set([x0, x1, y0, y1], 4 * middle);
    if (to - from <= LEAF) return;
    select(points, y1 - y0 > x1 - x0 ? 1 : 0, index, from, to - 1, middle);
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
