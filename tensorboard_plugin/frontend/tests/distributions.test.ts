import { describe, expect, it } from "vitest";
import type { FrameRecord, ProbeInfo } from "../src/api/types";
import { bars, binned, counted, distributions, histogram, narrowed } from "../src/model/distributions";
import { largestHue, largestName, largestOf, OTHERS } from "../src/model/largest";
import { nearestIn } from "../src/model/nearby";
import { legend, paint, type SampleColumns } from "../src/model/samples";
import { css, neutral } from "../src/theme/palette";

const ints = (...values: number[]) => Int32Array.from(values);
const columns: SampleColumns = {
  count: 6, labels: ints(0, 0, 1, 1, 1, -1), predicted: ints(0, 1, 1, 1, 1, 0), certainty: Float32Array.from([0.95, 0.55, 1, 0, 0.5, NaN]),
  cluster: null, classNames: ["cat", "dog"],
};

describe("bins", () => {
  it("hold their lower edge, the last one its upper edge, too", () => {
    expect([...binned([0, 0.0999, 0.1, 0.95, 1], 0, 1, 10)]).toEqual([0, 0, 1, 9, 9]);
  });
  it("know no bin for what is not a number, and one alone where all numbers are equal", () => {
    expect([...binned([NaN, Infinity, 3], 0, 6, 2)]).toEqual([-1, -1, 1]);
    expect([...binned([5, 5], 5, 5, 12)]).toEqual([0, 0]);
  });
  it("add up to what is known", () => {
    const values = Array.from({ length: 500 }, (_, i) => Math.sin(i) * 3);
    const made = histogram("x", values, Math.min(...values), Math.max(...values), 12, [1, 2, 3, 400]);
    expect(made.rows.reduce((sum, row) => sum + row.all, 0)).toBe(500);
    expect(made.rows.reduce((sum, row) => sum + row.count, 0)).toBe(4);
    for (const row of made.rows) for (const key of row.keys) expect(row.all).toBe(values.filter((_, i) => made.keys[i] === key).length);
  });
  it("are counted over samples that may not exist", () => {
    expect([...counted(ints(0, 1, 1, -1), 2)]).toEqual([1, 2]);
    expect([...counted(ints(0, 1, 1, -1), 2, [1, 3, 99])]).toEqual([0, 1]);
  });
});

describe("bars", () => {
  const called = (key: number) => `k${key}`;
  it("are all there where they are few, in their own order, those without a selected sample, too", () => {
    const { rows, known, allKnown } = bars({ name: "n", keys: ints(2, 0, 2, 1, -1), size: 3, called }, [0, 2, 4]);
    expect(rows.map(({ name, count, all }) => [name, count, all])).toEqual([["k0", 0, 1], ["k1", 0, 1], ["k2", 2, 2]]);
    expect([known, allKnown]).toEqual([2, 4]);
  });
  it("of many are the eight most frequent of the selection and the others", () => {
    const keys = Int32Array.from({ length: 200 }, (_, i) => i % 20);
    const selected = Array.from({ length: 200 }, (_, i) => i).filter((i) => i % 20 >= 15 || (i % 20 === 3 && i < 100));
    const { rows } = bars({ name: "n", keys, size: 20, called }, selected);
    expect(rows).toHaveLength(9);
    expect(rows.slice(0, 6).map(({ name, count }) => [name, count])).toEqual([["k15", 10], ["k16", 10], ["k17", 10], ["k18", 10], ["k19", 10], ["k3", 5]]);
    expect(rows.at(-1)).toMatchObject({ name: "12 others", count: 0, all: 120, colour: null });
    expect(rows.reduce((sum, row) => sum + row.all, 0)).toBe(200);
  });
});

describe("the distributions of a selection", () => {
  const probe = {
    count: 6, class_names: ["cat", "dog"], labels: [], indices: [], thumbnails: null, notes: [], source_size: 6, targets: null,
    attributes: { age: [1, 2, 3, 4, 5, 6].map((n) => n * 1.5), site: ["a", "b", "a", "a", "<b>", null] },
  } as unknown as ProbeInfo;
  const made = distributions(columns, probe, [0, 1, 2], false);
  it("are of classes, predictions, certainty and every attribute", () => {
    expect(made.map(({ name, shape }) => [name, shape])).toEqual([["True class", "bars"], ["Predicted", "bars"], ["Certainty", "histogram"], ["age", "bars"], ["site", "bars"]]);
    expect(made[0]!.rows.map(({ name, count, all }) => [name, count, all])).toEqual([["cat", 2, 2], ["dog", 1, 3]]);
    expect(made[4]!.rows.map(({ name, count, all }) => [name, count, all])).toEqual([["<b>", 0, 1], ["a", 2, 3], ["b", 1, 1]]);
  });
  it("narrow the selection to a bar", () => {
    expect(narrowed(made[0]!, made[0]!.rows[1]!, [0, 1, 2])).toEqual([2]);
    expect(narrowed(made[2]!, made[2]!.rows[9]!, [0, 1, 2])).toEqual([0, 2]);
  });
  it("leave out what is not known", () => {
    expect(distributions({ ...columns, labels: null, predicted: null, certainty: null }, null, [0, 1], false)).toEqual([]);
  });
});

describe("samples by their largest number", () => {
  const layer = { filters: 4, shape: [8, 8, 4] };
  const record = (values: number[]): FrameRecord => ({
    kind: "embedding", layer: "conv", epoch: 1, fields: {}, arrays: { largest: { shape: [values.length], values: Int32Array.from(values), table: null } },
  });
  it("stand for the filter that the index counts along the last axis", () => {
    // 8 × 8 positions of 4 filters: index = (row · 8 + column) · 4 + filter.
    const made = largestOf(record([(3 * 8 + 5) * 4 + 2, 0, 255, -1]), layer)!;
    expect([...made.keys]).toEqual([2, 0, 3, OTHERS]);
    expect([made.unit, made.others, largestName(made, 2)]).toEqual(["filter", 0, "filter 2"]);
    expect(largestName(largestOf(record([1]), { filters: 4, shape: [4] })!, 1)).toBe("unit 1");
  });
  it("have eight hues, each another, for the most frequent; the others are grey", () => {
    const wide = { filters: 100, shape: [100] };
    const values = Array.from({ length: 300 }, (_, i) => (i < 240 ? (i % 8) * 8 : 50 + (i % 30)));
    const made = largestOf(record(values), wide)!;
    expect([...made.hues.keys()].sort((a, b) => a - b)).toEqual([0, 8, 16, 24, 32, 40, 48, 56]);
    expect(new Set([...made.hues.keys()].map((key) => css(largestHue(made, key, false)))).size).toBe(8);
    expect(largestHue(made, OTHERS, false)).toEqual(neutral(false));
    expect(largestName(made, OTHERS)).toBe(`${new Set(values.slice(240).filter((value) => value !== 56)).size} others`);
  });
  it("keep their hue when another becomes frequent", () => {
    const before = largestOf(record([1, 1, 2, 2, 3]), layer)!;
    const after = largestOf(record([3, 3, 3, 2, 1]), layer)!;
    for (const key of [1, 2, 3]) expect(after.hues.get(key)).toBe(before.hues.get(key));
  });
  it("are not known of an old log, or a layer of which nothing is", () => {
    expect(largestOf({ ...record([]), arrays: {} }, layer)).toBeNull();
    expect(largestOf(record([1]), { filters: 0, shape: [] })).toBeNull();
    expect(largestOf(null, layer)).toBeNull();
  });
  it("are in the legend, and can be isolated", () => {
    const own = { ...columns, largest: largestOf(record([9, 9, 9, 2, 2, -1]), layer) };
    const options = { colourBy: "largest", sizeBy: "uniform", isolated: new Set<number>(), dark: false } as const;
    expect(legend(own, options).map(({ name, count }) => [name, count])).toEqual([["filter 1", 3], ["filter 2", 2], ["not known", 1]]);
    const { fill } = paint(own, { ...options, isolated: new Set([2]) });
    expect([0, 3].map((i) => fill[4 * i + 3]! > 200)).toEqual([false, true]);
  });
});

describe("selected samples", () => {
  const options = { colourBy: "true", sizeBy: "uniform", isolated: new Set<number>(), dark: false } as const;
  it("stand out: the others stand back, yet nearer than what is outside an isolated class", () => {
    const alpha = (more: object) => [...Array(6).keys()].map((i) => paint(columns, { ...options, ...more }).fill[4 * i + 3]!);
    const [one, other] = alpha({ selected: new Set([0]) });
    expect(other).toBeLessThan(one!);
    expect(other).toBeGreaterThanOrEqual(100); // may be picked and drawn around
    expect(alpha({ selected: new Set([0]), isolated: new Set([0]) })[2]).toBeLessThan(100);
    expect(new Set(alpha({ selected: null })).size).toBe(1);
  });
});

describe("the nearest samples in a picture", () => {
  it("are those a search by sorting finds, without the sample itself", () => {
    const points = Float32Array.from({ length: 400 }, (_, i) => Math.sin(12.9898 * i) * 43758.5453 % 10);
    const squared = (i: number) => (points[2 * i]! - points[14]!) ** 2 + (points[2 * i + 1]! - points[15]!) ** 2;
    const sorted = [...Array(200).keys()].filter((i) => i !== 7).sort((a, b) => squared(a) - squared(b) || a - b);
    expect(nearestIn(points, 7, 8)).toEqual(sorted.slice(0, 8));
  });
  it("are fewer where there are fewer, and none that are nowhere", () => {
    expect(nearestIn(Float32Array.from([0, 0, 1, 1]), 0, 8)).toEqual([1]);
    expect(nearestIn(Float32Array.from([0, 0, NaN, 1, 2, 2, 2, 2]), 0, 2)).toEqual([2, 3]);
    expect(nearestIn(Float32Array.from([NaN, 0, 1, 1]), 0, 8)).toEqual([]);
  });
});
