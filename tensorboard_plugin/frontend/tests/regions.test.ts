import { describe, expect, it } from "vitest";
import { Nearest } from "../src/model/nearest";

/** Numbers that look random, the same every time. */
function numbers(count: number, seed = 1): Float32Array {
  let state = seed;
  return Float32Array.from({ length: count }, () => (state = (state * 16807) % 2147483647) / 2147483647);
}

describe("the nearest points", () => {
  it.each([1, 7, 8, 9, 300])("of %i are those that comparing all gives, of equally near ones the first", (count) => {
    // On a lattice many are equally near, and some places are taken several times.
    const points = numbers(2 * count, 3).map((value) => Math.round(value * 9));
    const k = Math.min(3, count);
    const nearest = new Nearest(points, Int32Array.from({ length: count }, (_, i) => i), k);
    for (let x = -2; x < 12; x += 0.5) {
      for (let y = -1; y < 11; y += 1) {
        const order = Array.from({ length: count }, (_, i) => ({ i, d: (x - points[2 * i]!) ** 2 + (y - points[2 * i + 1]!) ** 2 }));
        order.sort((a, b) => a.d - b.d || a.i - b.i);
        expect(nearest.find(x, y)).toBe(Math.sqrt(order[k - 1]!.d));
        expect([...nearest.found]).toEqual(order.slice(0, k).map((one) => one.i));
      }
    }
  });
});
