import { describe, expect, it } from "vitest";
import { borderPath, importantAreas, steepness, watershed } from "../src/model/watershed";

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
  it("parts two basins along the ridge between them, wherever the markers stand", () => {
    const relief = grid("0123210", "0123210", "0123210");
    const markers = grid("0000000", "1000002", "0000000");
    expect(text(watershed(relief, markers, 7, 3), 7)).toEqual(["1111222", "1111222", "1111222"]);
    // The ridge has moved: so does the border, although the markers have not.
    expect(text(watershed(grid("0132100", "0132100", "0132100"), markers, 7, 3), 7)).toEqual(["1112222", "1112222", "1112222"]);
  });

  it("goes round a wall rather than over it", () => {
    const relief = grid("00000", "99990", "00000");
    const markers = grid("10000", "00000", "20000");
    expect(text(watershed(relief, markers, 5, 3), 5)[0]).toBe("11111");
    expect(text(watershed(relief, markers, 5, 3), 5)[2]!.startsWith("2222")).toBe(true);
  });

  it("shares a plain evenly: who is nearer comes first", () => {
    expect(text(watershed(new Array(8).fill(0), grid("10000002"), 8, 1), 8)).toEqual(["11112222"]);
  });

  it("floods a pit from the marker that is first over its rim", () => {
    // Left and right of the pit stand rims of 3 and 5.
    expect(text(watershed(grid("0300050"), grid("1000002"), 7, 1), 7)).toEqual(["1111122"]);
  });

  it("keeps markers, reaches everything, and leaves what has no marker alone", () => {
    const next = random(5);
    for (let trial = 0; trial < 40; trial++) {
      const [width, height] = [2 + Math.floor(9 * next()), 2 + Math.floor(9 * next())];
      const relief = Array.from({ length: width * height }, () => (next() < 0.05 ? NaN : Math.floor(6 * next())));
      const markers = relief.map(() => (next() < 0.15 ? 1 + Math.floor(3 * next()) : 0));
      const labels = watershed(relief, markers, width, height);
      markers.forEach((marker, i) => marker && expect(labels[i]).toBe(marker));
      const known = new Set(markers.filter(Boolean));
      expect(labels.every((label) => (known.size ? known.has(label) : label === 0))).toBe(true);
    }
  });

  it("gives every pixel to a marker that reaches it over no higher pass than any other does", () => {
    const next = random(11);
    for (let trial = 0; trial < 30; trial++) {
      const [width, height] = [5, 5];
      const relief = Array.from({ length: 25 }, () => Math.floor(8 * next()));
      const markers = relief.map((_, i) => (i === 3 ? 1 : i === 17 ? 2 : 0));
      const labels = watershed(relief, markers, width, height);
      const [one, two] = [passes(relief, 3, width), passes(relief, 17, width)];
      labels.forEach((label, i) => {
        if (one[i]! < two[i]!) expect(label).toBe(1);
        if (two[i]! < one[i]!) expect(label).toBe(2);
      });
    }
  });
});

/** From one pixel, the lowest that the highest point on the way to each can be: by relaxing until nothing changes. */
function passes(relief: readonly number[], from: number, width: number): number[] {
  const found = relief.map((_, i) => (i === from ? relief[i]! : Infinity));
  for (let changed = true; changed; ) {
    changed = false;
    for (let i = 0; i < relief.length; i++) {
      for (const j of [i - width, i + width, i % width ? i - 1 : -1, (i + 1) % width ? i + 1 : -1]) {
        if (j < 0 || j >= relief.length) continue;
        const level = Math.max(found[j]!, relief[i]!);
        if (level < found[i]!) [found[i], changed] = [level, true];
      }
    }
  }
  return found;
}

describe("important areas", () => {
  it("end where the map falls off most steeply", () => {
    // From 9 to 6 slowly, from 6 to 3 at once: sure from 4.5 on, surely not up to 2.25.
    expect([...importantAreas([9, 8, 7, 6, 3, 2.5, 1, 0], 8, 1, 0.5)]).toEqual([1, 1, 1, 1, 0, 0, 0, 0]);
  });

  it("are of either sign, and none where there is nothing", () => {
    expect([...importantAreas([0, 0, -5, 0, 0, 5, 0], 7, 1, 0.6)]).toEqual([0, 0, 1, 0, 0, 1, 0]);
    expect([...importantAreas([0, 0, 0], 3, 1, 0.5)]).toEqual([0, 0, 0]);
    expect([...importantAreas([NaN, NaN], 2, 1, 0.5)]).toEqual([0, 0]);
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

describe("steepness", () => {
  it("is the difference of neighbours, one-sided at edges", () => {
    expect([...steepness([0, 1, 4], 3, 1)]).toEqual([1, 4, 3]);
    expect([...steepness([0, 3, 4, 7], 2, 2)]).toEqual([5, 5, 5, 5]);
  });
});

describe("the border of areas", () => {
  it("runs along the edges of pixels, in as few strokes as there are straight pieces", () => {
    expect(borderPath([0, 0, 0, 0, 1, 0, 0, 0, 0], 3, 3)).toBe("M1 1H2M1 2H2M1 1V2M2 1V2");
    expect(borderPath([1, 1, 0, 0], 2, 2)).toBe("M0 0H2M0 1H2M0 0V1M2 0V1");
    expect(borderPath([0, 0], 2, 1)).toBe("");
  });
});
