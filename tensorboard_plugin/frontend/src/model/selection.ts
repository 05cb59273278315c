// Which samples lie inside a shape that was drawn over them, and what that makes of a selection.  Pure functions.

/** In the embedding's own plane. */
export type Shape =
  | { kind: "rectangle"; x0: number; y0: number; x1: number; y1: number }
  | { kind: "circle"; x: number; y: number; radius: number }
  /** A closed outline, x and y alternating; the last point is joined to the first. */
  | { kind: "lasso"; outline: readonly number[] };

/** What a gesture does to a selection: shift adds, alt removes. */
export type Change = "replace" | "add" | "remove";

export const changeOf = (event: { shiftKey: boolean; altKey: boolean }): Change => (event.altKey ? "remove" : event.shiftKey ? "add" : "replace");

/** Samples inside a shape, rising; points that are nowhere are in none.  `open` says which samples may be taken. */
export function within(points: ArrayLike<number>, shape: Shape, open: (sample: number) => boolean = () => true): number[] {
  const inside = insideOf(shape);
  const found: number[] = [];
  for (let i = 0; 2 * i + 1 < points.length; i++) {
    const [x, y] = [points[2 * i]!, points[2 * i + 1]!];
    // Comparisons with NaN are false in a rectangle and a circle; a ray from nowhere crosses no edge.
    if (inside(x, y) && open(i)) found.push(i);
  }
  return found;
}

function insideOf(shape: Shape): (x: number, y: number) => boolean {
  if (shape.kind === "circle") return (x, y) => (x - shape.x) ** 2 + (y - shape.y) ** 2 <= shape.radius ** 2;
  if (shape.kind === "rectangle") {
    const [left, right] = [Math.min(shape.x0, shape.x1), Math.max(shape.x0, shape.x1)];
    const [low, high] = [Math.min(shape.y0, shape.y1), Math.max(shape.y0, shape.y1)];
    return (x, y) => x >= left && x <= right && y >= low && y <= high;
  }
  return (x, y) => crossings(shape.outline, x, y) % 2 === 1;
}

/** How often a ray from a point to the right crosses a closed outline: odd = inside (Shimrat 1962). */
function crossings(outline: readonly number[], x: number, y: number): number {
  let count = 0;
  const n = outline.length >> 1;
  for (let i = 0, j = n - 1; i < n; j = i++) {
    const [xi, yi, xj, yj] = [outline[2 * i]!, outline[2 * i + 1]!, outline[2 * j]!, outline[2 * j + 1]!];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) count++;
  }
  return count;
}

/** The selection after a gesture that found some samples: those that stay keep their order, new ones follow. */
export function changed(selected: readonly number[], found: readonly number[], change: Change): number[] {
  if (change === "replace") return [...found];
  const there = new Set(change === "add" ? selected : found);
  return change === "add" ? [...selected, ...found.filter((sample) => !there.has(sample))] : selected.filter((sample) => !there.has(sample));
}
