import { describe, expect, it } from "vitest";
import { Gesture } from "../src/charts/gestures";
import { toPixels, toPlane } from "../src/charts/window";
import { changed, changeOf, within, type Shape } from "../src/model/selection";

const floats = (...values: number[]) => Float32Array.from(values);
/** A lattice of 21 × 21 points around the origin. */
const lattice = Float32Array.from({ length: 2 * 441 }, (_, i) => (i % 2 ? Math.floor((i - 1) / 2 / 21) - 10 : ((i / 2) % 21) - 10));
const found = (shape: Shape) => within(lattice, shape).map((i) => [lattice[2 * i]!, lattice[2 * i + 1]!]);

describe("samples inside a shape", () => {
  it("of a rectangle, from whichever corner it was drawn", () => {
    const expected = [[-1, 2], [0, 2], [1, 2], [-1, 3], [0, 3], [1, 3]];
    expect(found({ kind: "rectangle", x0: -1.5, y0: 1.5, x1: 1.5, y1: 3.5 })).toEqual(expected);
    expect(found({ kind: "rectangle", x0: 1.5, y0: 3.5, x1: -1.5, y1: 1.5 })).toEqual(expected);
  });
  it("of a circle, its edge included", () => {
    // The lattice points with x² + y² ≤ 9: Gauss's circle problem, N(3) = 29.
    expect(found({ kind: "circle", x: 0, y: 0, radius: 3 })).toHaveLength(29);
    expect(found({ kind: "circle", x: 0, y: 0, radius: 2.999 })).toHaveLength(25);
  });
  it("of a free outline, by Pick's theorem", () => {
    // A lattice polygon of area 60 with 24 points on its edge has 60 − 24/2 + 1 = 49 inside; drawn a little larger it takes those on the edge, too.
    const corners = [-5.1, -2.1, 5.1, -2.1, 5.1, 4.1, -5.1, 4.1];
    expect(found({ kind: "lasso", outline: corners })).toHaveLength(11 * 7);
    const shrunk = corners.map((value) => value - 0.2 * Math.sign(value));
    expect(found({ kind: "lasso", outline: shrunk })).toHaveLength(9 * 5);
  });
  it("of a horseshoe leave out what lies between its arms, and what is crossed twice", () => {
    const horseshoe = [-3.5, -3.5, 3.5, -3.5, 3.5, 3.5, 1.5, 3.5, 1.5, -1.5, -1.5, -1.5, -1.5, 3.5, -3.5, 3.5];
    const inside = found({ kind: "lasso", outline: horseshoe });
    expect(inside).toContainEqual([3, 3]);
    expect(inside).toContainEqual([0, -3]);
    expect(inside).not.toContainEqual([0, 2]);
    expect(inside).toHaveLength(7 * 7 - 3 * 5);
    const twice = [-2.5, -2.5, 2.5, -2.5, 2.5, 2.5, -2.5, 2.5];
    expect(found({ kind: "lasso", outline: [...twice, ...twice] })).toEqual([]);
  });
  it("agree with a fan of angles on random outlines", () => {
    let seed = 7;
    const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
    for (let trial = 0; trial < 40; trial++) {
      const outline = Array.from({ length: 2 * (3 + Math.floor(9 * random())) }, () => 22 * random() - 11);
      const inside = new Set(within(lattice, { kind: "lasso", outline }));
      for (let i = 0; i < 441; i++) expect(inside.has(i), `${outline} ${i}`).toBe(Math.abs(winding(outline, lattice[2 * i]!, lattice[2 * i + 1]!)) % 2 === 1);
    }
  });
  it("are none that are nowhere, nor any that may not be taken", () => {
    const all: Shape[] = [
      { kind: "rectangle", x0: -99, y0: -99, x1: 99, y1: 99 }, { kind: "circle", x: 0, y: 0, radius: 99 }, { kind: "lasso", outline: [-99, -99, 99, -99, 99, 99, -99, 99] },
    ];
    for (const shape of all) expect(within(floats(NaN, 0, 0, NaN, 1, 1, 2, 2), shape, (i) => i !== 3)).toEqual([2]);
    expect(within(floats(0, 0), { kind: "lasso", outline: [] })).toEqual([]);
    expect(within(floats(0, 0), { kind: "lasso", outline: [0, 0, 1, 1] })).toEqual([]);
  });
});

/** How often an outline turns around a point, by summing the angles under which its edges are seen. */
function winding(outline: number[], x: number, y: number): number {
  let total = 0;
  for (let i = 0; i < outline.length; i += 2) {
    const [ax, ay] = [outline[i]! - x, outline[i + 1]! - y];
    const [bx, by] = [outline[(i + 2) % outline.length]! - x, outline[(i + 3) % outline.length]! - y];
    total += Math.atan2(ax * by - ay * bx, ax * bx + ay * by);
  }
  return Math.round(total / (2 * Math.PI));
}

describe("a selection", () => {
  it("is replaced, added to with shift, taken from with alt", () => {
    expect(changed([1, 2], [2, 3], "replace")).toEqual([2, 3]);
    expect(changed([1, 2], [2, 3], "add")).toEqual([1, 2, 3]);
    expect(changed([1, 2], [2, 3], "remove")).toEqual([1]);
    expect(changed([1, 2], [], "replace")).toEqual([]);
    expect([changeOf({ shiftKey: true, altKey: false }), changeOf({ shiftKey: false, altKey: true }), changeOf({ shiftKey: false, altKey: false })]).toEqual(["add", "remove", "replace"]);
  });
});

describe("drawing", () => {
  const view = { scale: 10, x: 1, y: 2, width: 200, height: 100 };
  const plain = { shiftKey: false, altKey: false };
  it("is done in pixels, y down, and is a shape in the plane, y up", () => {
    expect(toPixels(view, 1, 2)).toEqual([100, 50]);
    expect(toPixels(view, 2, 3)).toEqual([110, 40]);
    expect(toPlane(view, ...toPixels(view, -3, 7))).toEqual([-3, 7]);
    const gesture = new Gesture();
    gesture.begin(100, 50);
    gesture.move(120, 30);
    expect(gesture.end("rectangle", view, plain)).toEqual({ shape: { kind: "rectangle", x0: 1, y0: 2, x1: 3, y1: 4 }, change: "replace" });
    gesture.begin(100, 50);
    gesture.move(130, 50);
    expect(gesture.end("circle", view, { ...plain, shiftKey: true })).toEqual({ shape: { kind: "circle", x: 1, y: 2, radius: 3 }, change: "add" });
  });
  it("of a free shape keeps its corners, also where it comes back to its start", () => {
    const gesture = new Gesture();
    gesture.begin(100, 50);
    for (const [x, y] of [[120, 50], [120, 30], [100, 30], [100, 50]] as const) gesture.move(x, y);
    expect(gesture.end("lasso", view, plain)?.shape).toEqual({ kind: "lasso", outline: [1, 2, 3, 2, 3, 4, 1, 4, 1, 2] });
    expect(gesture.active).toBe(false);
  });
  it("is none where the pointer hardly moved, or where it was cancelled", () => {
    const gesture = new Gesture();
    gesture.begin(100, 50);
    gesture.move(102, 51);
    expect(gesture.end("lasso", view, plain)).toBeNull();
    gesture.begin(100, 50);
    gesture.move(150, 50);
    gesture.cancel();
    expect(gesture.end("lasso", view, plain)).toBeNull();
  });
});
