import { describe, expect, it } from "vitest";
import { borderPath, importantAreas, watershed } from "../src/model/watershed";

/** Rows of digits as numbers. */
const grid = (...rows: string[]): number[] => rows.join("").split("").map(Number);
const text = (values: ArrayLike<number>, width: number): string[] => {
  const all = Array.from(values, String).join("");
  return Array.from({ length: all.length / width }, (_, row) => all.slice(row * width, (row + 1) * width));
};
/** Numbers that look random, the same every time (Park and Miller 1988). */
function random(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 48271) % 2147483647) / 2147483647;
}

describe("a watershed", () => {
  it("draws the border at the largest step, wherever the markers stand", () => {
    expect(text(watershed(grid("0014555", "0014555"), grid("1000002", "0000000"), 7, 2), 7)).toEqual(["1112222", "1112222"]);
    // The step has moved: so does the border, although the markers have not.
    expect(text(watershed(grid("0111455", "0111455"), grid("1000002", "0000000"), 7, 2), 7)).toEqual(["1111222", "1111222"]);
  });

  it("of equal steps gives to the lower marker", () => {
    expect(text(watershed(grid("01234"), grid("10002"), 5, 1), 5)).toEqual(["11112"]);
    expect(text(watershed(grid("01234"), grid("20001"), 5, 1), 5)).toEqual(["21111"]);
    expect(text(watershed(new Array(6).fill(0), grid("300002"), 6, 1), 6)).toEqual(["322222"]);
  });

  it("goes round what is steep", () => {
    // From the first marker a level way leads to the last column; from the second it is one large step there.
    expect(text(watershed(grid("00000", "99990", "55550"), grid("10000", "00000", "20000"), 5, 3), 5)).toEqual(["11111", "22221", "22221"]);
  });

  it("keeps markers, reaches everything, and leaves what has no marker alone", () => {
    const next = random(5);
    for (let trial = 0; trial < 40; trial++) {
      const [width, height] = [2 + Math.floor(9 * next()), 2 + Math.floor(9 * next())];
      const values = Array.from({ length: width * height }, () => (next() < 0.05 ? NaN : Math.floor(6 * next())));
      const markers = values.map(() => (next() < 0.15 ? 1 + Math.floor(3 * next()) : 0));
      const labels = watershed(values, markers, width, height);
      markers.forEach((marker, i) => marker && expect(labels[i]).toBe(marker));
      const known = new Set(markers.filter(Boolean));
      expect(labels.every((label) => (known.size ? known.has(label) : label === 0))).toBe(true);
    }
  });

  it("gives every pixel to the marker to which the path of the smallest largest step leads", () => {
    const next = random(11);
    for (let trial = 0; trial < 60; trial++) {
      const values = Array.from({ length: 25 }, () => Math.floor(8 * next()));
      const markers = values.map((_, i) => (i === 3 ? 1 : i === 17 ? 2 : 0));
      const [one, two] = [steps(values, 3, 5), steps(values, 17, 5)];
      // Of equal ones the lower marker, unless its way leads through the other.
      watershed(values, markers, 5, 5).forEach((label, i) => one[i] !== two[i] && expect(label).toBe(two[i]! < one[i]! ? 2 : 1));
    }
  });
});

/** From one pixel to each, the smallest that the largest step on the way can be: by relaxing until nothing changes. */
function steps(values: readonly number[], from: number, width: number): number[] {
  const found = values.map((_, i) => (i === from ? 0 : Infinity));
  for (let changed = true; changed; ) {
    changed = false;
    for (let i = 0; i < values.length; i++) {
      for (const j of [i - width, i + width, i % width ? i - 1 : -1, (i + 1) % width ? i + 1 : -1]) {
        if (j < 0 || j >= values.length) continue;
        const level = Math.max(found[j]!, Math.abs(values[i]! - values[j]!));
        if (level < found[i]!) [found[i], changed] = [level, true];
      }
    }
  }
  return found;
}

describe("important areas", () => {
  it("end where the map falls off most steeply", () => {
    // From 9 to 4 slowly, from 4 to 2.5 at once: sure from 4.5 on, surely not up to 2.25.
    expect([...importantAreas([9, 8, 7, 6, 5, 4, 2.5, 2, 1, 0], 10, 1, 0.5)]).toEqual([1, 1, 1, 1, 1, 1, 0, 0, 0, 0]);
    // As `important_regions` says of the same.
    expect([...importantAreas([0, 0, 1, 1, 1, 0.4, 0, 0], 8, 1, 0.5)]).toEqual([0, 0, 1, 1, 1, 0, 0, 0]);
  });

  it("are of either sign, and none where there is nothing", () => {
    expect([...importantAreas([0, 0, -5, 0, 0, 5, 0], 7, 1, 0.6)]).toEqual([0, 0, 1, 0, 0, 1, 0]);
    expect([...importantAreas([0, 0, 0], 3, 1, 0.5)]).toEqual([0, 0, 0]);
    expect([...importantAreas([NaN, NaN], 2, 1, 0.5)]).toEqual([0, 0]);
    expect([...importantAreas([5, 4], 2, 1, 0.5)]).toEqual([1, 1]);
  });

  it("hold all from the share on, and nothing up to half of it", () => {
    const next = random(3);
    for (let trial = 0; trial < 50; trial++) {
      const [width, height, share] = [3 + Math.floor(10 * next()), 3 + Math.floor(10 * next()), 0.1 + 0.8 * next()];
      const values = Array.from({ length: width * height }, () => 2 * next() - 1);
      const most = Math.max(...values.map(Math.abs));
      const areas = importantAreas(values, width, height, share);
      values.forEach((value, i) => {
        if (Math.abs(value) >= share * most) expect(areas[i]).toBe(1);
        if (Math.abs(value) <= (share / 2) * most) expect(areas[i]).toBe(0);
      });
    }
  });

  it("do not depend on the map's scale", () => {
    const next = random(8);
    const values = Float32Array.from({ length: 64 }, () => next());
    expect([...importantAreas(values, 8, 8, 0.5)]).toEqual([...importantAreas(values.map((value) => value * 1024), 8, 8, 0.5)]);
  });
});

describe("the border of areas", () => {
  it("runs along the edges of pixels, in as few strokes as there are straight pieces", () => {
    expect(borderPath([0, 0, 0, 0, 1, 0, 0, 0, 0], 3, 3)).toBe("M1 1H2M1 2H2M1 1V2M2 1V2");
    expect(borderPath([1, 1, 0, 0], 2, 2)).toBe("M0 0H2M0 1H2M0 0V1M2 0V1");
    expect(borderPath([0, 0], 2, 1)).toBe("");
  });
});
