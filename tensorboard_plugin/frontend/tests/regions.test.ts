import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { gridOf, mapped, type Grid } from "../src/model/grid";
import { Nearest } from "../src/model/nearest";
import { outline, regions, type RegionOptions } from "../src/model/regions";

/** Numbers that look random, the same every time. */
function numbers(count: number, seed = 1): Float32Array {
  let state = seed;
  return Float32Array.from({ length: count }, () => (state = (state * 16807) % 2147483647) / 2147483647);
}

const floats = (...values: number[]) => Float32Array.from(values);
const ints = (...values: number[]) => Int32Array.from(values);

describe("the nearest points", () => {
  it.each([1, 7, 8, 9, 300])("of %i are those that comparing all gives, of equally near ones the first", (count) => {
    // On a lattice many are equally near, and some places are taken several times.
    const points = numbers(2 * count, 3).map((value) => Math.round(value * 9));
    const k = Math.min(3, count);
    const nearest = new Nearest(points, Int32Array.from({ length: count }, (_, i) => i), k);
    const wrong: string[] = [];
    for (let x = -2; x < 12; x += 0.5) {
      for (let y = -1; y < 11; y += 1) {
        const order = Array.from({ length: count }, (_, i) => ({ i, d: (x - points[2 * i]!) ** 2 + (y - points[2 * i + 1]!) ** 2 }));
        order.sort((a, b) => a.d - b.d || a.i - b.i);
        const reach = nearest.find(x, y, x > 5 ? Math.sqrt(order[k - 1]!.d) * (1 + 1e-9) : Infinity);
        const expected = order.slice(0, k).map((one) => one.i).join();
        if (reach !== Math.sqrt(order[k - 1]!.d) || nearest.found.join() !== expected) wrong.push(`${x} ${y}: ${nearest.found.join()}, not ${expected}`);
      }
    }
    expect(wrong).toEqual([]);
  });
});

interface Case {
  points: (number | null)[];
  classes: number[];
  options: { neighbors?: number; resolution: number; smoothing?: number; extent?: [number, number, number, number] };
  grid: (Omit<Grid, "cells"> & { cells: number[] }) | null;
  share: number;
  left: number;
  bottom: number;
  step: number;
  cells: string[];
  margin: number[];
  segments: number;
  length: number;
}

const cases = JSON.parse(readFileSync(new URL("./fixtures/regions.json", import.meta.url), "utf8")) as Case[];

/** What Python's options are called here. */
function optionsOf({ options }: Case): RegionOptions {
  const [x0, x1, y0, y1] = options.extent ?? [];
  return { ...options, extent: options.extent ? { x0: x0!, y0: y0!, x1: x1!, y1: y1! } : null };
}

const lengthOf = (line: Float32Array) => {
  let length = 0;
  for (let i = 2; i < line.length; i += 2) length += Math.hypot(line[i]! - line[i - 2]!, line[i + 1]! - line[i - 1]!);
  return length;
};

describe("decision regions that Python estimated", () => {
  it.each(cases.map((one, i) => [i, one] as const))("are found here too, cell by cell (case %i)", (_, one) => {
    const raw = Float32Array.from(one.points, (value) => value ?? NaN);
    const points = one.grid ? mapped(raw, { ...one.grid, cells: Int32Array.from(one.grid.cells) }, one.share) : raw;
    const found = regions(points, Int32Array.from(one.classes), optionsOf(one))!;
    expect([found.left, found.bottom, found.step, found.rows]).toEqual([one.left, one.bottom, one.step, one.cells.length]);
    const rows = one.cells.map((_, row) => String.fromCharCode(...found.cells.subarray(row * found.columns, (row + 1) * found.columns).map((cell) => 48 + cell)));
    expect(rows).toEqual(one.cells);
    const every = Math.max(1, Math.floor(found.rows / 4));
    one.margin.forEach((mean, i) => {
      const row = found.margin.subarray(i * every * found.columns, (i * every + 1) * found.columns);
      expect(row.reduce((sum, value) => sum + value, 0) / found.columns).toBeCloseTo(mean, 5);
    });
    const lines = outline(found);
    expect(lines.reduce((sum, line) => sum + line.length / 2 - 1, 0)).toBe(one.segments);
    expect(lines.reduce((sum, line) => sum + lengthOf(line), 0)).toBeCloseTo(one.length, 3);
  });
});

describe("decision regions", () => {
  it("are none where no sample votes", () => {
    expect(regions(floats(NaN, 0, 1, 1), ints(2, -1))).toBeNull();
    expect(regions(new Float32Array(0), new Int32Array(0))).toBeNull();
  });
  it("are one where all samples are of one class, and have no outline", () => {
    const found = regions(floats(1, 1, 1, 1), ints(6, 6), { resolution: 10 })!;
    expect(new Set(found.cells)).toEqual(new Set([6]));
    expect(outline(found)).toEqual([]);
  });
  it("are no more than a frame can hold, whatever is asked for", () => {
    expect(regions(floats(0, 0, 1, 0), ints(0, 1), { resolution: 1e9, smoothing: 0, extent: { x0: 0, y0: 0, x1: 1, y1: 0 } })!.columns).toBe(2048);
    expect(regions(floats(0, 0, 1, 1), ints(0, 1), { resolution: NaN, neighbors: 0 })!.cells.length).toBeGreaterThan(0);
  });
});

describe("the outline", () => {
  const raster = (rows: number[][]) => ({
    columns: rows[0]!.length, rows: rows.length, left: 0, bottom: 0, step: 1,
    cells: Int16Array.from(rows.flat()), margin: new Float32Array(rows.flat().length).fill(0.5),
  });
  it("of an island is one closed line", () => {
    const lines = outline(raster([[0, 0, 0], [0, 1, 0], [0, 0, 0]]));
    expect(lines).toHaveLength(1);
    expect([...lines[0]!.slice(0, 2)]).toEqual([...lines[0]!.slice(-2)]);
    expect(lines[0]!.length).toBe(10);
    expect(lengthOf(lines[0]!)).toBeCloseTo(4 * Math.SQRT1_2);
  });
  it("from edge to edge is one open line", () => {
    const lines = outline(raster([[0, 0, 1], [0, 0, 1], [0, 0, 1], [0, 1, 1]]));
    expect(lines).toHaveLength(1);
    expect([...lines[0]!]).toEqual([1.5, 0, 1.5, 1, 1.5, 2, 1, 2.5, 0.5, 3]);
  });
  it("ends where three regions meet", () => {
    const lines = outline(raster([[1, 1], [2, 3]]));
    expect(lines.map((line) => line.length)).toEqual([4, 4, 4]);
    expect(lines.every((line) => line[0] === 0.5 && Math.abs(line[1]! - 2 / 3) < 1e-6)).toBe(true);
  });
  it("passes nearer to the cell that is less sure", () => {
    const sure = { ...raster([[0, 1], [0, 1]]), margin: floats(0.9, 0.1, 0.9, 0.1) };
    expect(outline(sure)[0]![0]).toBeCloseTo(0.9);
  });
});

describe("the way to the grid", () => {
  const record = (fields: Record<string, unknown>, cells: Int32Array | Float32Array = ints(3, 0, -1, 9)) => ({
    kind: "grid", layer: "conv", epoch: 1, fields: { columns: 2, rows: 2, left: 10, bottom: 20, cell: 4, ...fields },
    arrays: { cells: { shape: [cells.length], values: cells, table: null } },
  });
  it("is a straight line, and those without a cell stay", () => {
    const points = floats(0, 0, 1, 2, 5, 5, 6, 6);
    const grid = gridOf(record({}))!;
    expect(mapped(points, grid, 0)).toEqual(points);
    expect([...mapped(points, grid, 1)]).toEqual([14, 24, 10, 20, 5, 5, 6, 6]);
    expect([...mapped(points, grid, 0.25)]).toEqual([3.5, 6, 3.25, 6.5, 5, 5, 6, 6]);
    expect([...points.slice(0, 4)]).toEqual([0, 0, 1, 2]);
  });
  it("is none for a record that says nothing of its cells", () => {
    expect(gridOf(null)).toBeNull();
    expect(gridOf({ ...record({}), kind: "embedding" })).toBeNull();
    expect(gridOf(record({ cell: "wide" }))).toBeNull();
    expect(gridOf(record({ columns: -1 }))).toBeNull();
    expect(gridOf(record({}, floats(1, 2)))).toBeNull();
  });
});
