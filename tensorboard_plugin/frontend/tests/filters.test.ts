import { describe, expect, it } from "vitest";
import type { DecodedArray, FrameRecord } from "../src/api/types";
import { boundsOf } from "../src/charts/bounds";
import { answersLike, certainty, doubleOf, standsFor, type Piece } from "../src/model/filterFacts";
import { explainedOf, intoPicture, sumLines, weightMaps, weightPoints } from "../src/model/filterMap";
import { filterRows, isDouble, isSum, joined, sortRows, stateOf } from "../src/model/filters";

const floats = (shape: number[], ...values: number[]): DecodedArray => ({ shape, values: Float32Array.from(values), table: null });
const ints = (shape: number[], ...values: number[]): DecodedArray => ({ shape, values: Int32Array.from(values), table: null });
const flags = (...values: number[]): DecodedArray => ({ shape: [values.length], values: Uint8Array.from(values), table: null });
const words = (table: string[], ...values: number[]): DecodedArray => ({ shape: [values.length], values: Uint16Array.from(values), table });
const record = (kind: string, arrays: Record<string, DecodedArray>, fields = {}): FrameRecord => ({ kind, layer: "conv1", epoch: 3, fields, arrays });

// Filters 1 and 3 are multiples of 0, 4 = 0.5 · 2 − 2 · 5, and 5 is dead.
const health = record("health", {
  energy: floats([6], 1, 2, 3, 4, 5, 6), active_fraction: floats([6], 0.5, 0.5, 0.1, 0.5, 0.2, 0), dead: flags(0, 0, 0, 0, 0, 1),
  cause: words(["", "zero scale"], 0, 0, 0, 0, 0, 1), proven: flags(0, 0, 0, 0, 0, 1), ever_alive: flags(1, 1, 1, 1, 1, 0),
  group: ints([6], -1, -1, -1, -1, -1, -1), max_activation: floats([6], 1, 1, 1, 1, 1, 0),
});
const similarity = record("similarity", {
  group: ints([6], 0, 0, -1, 0, -1, -1), keep: ints([6], 0, 0, 2, 0, 4, 5), factor: floats([6], 1, 2, 1, -0.5, 1, 1),
  offset: floats([6], 0, 0, 0, 0.25, 0, 0), residual: floats([6], 0, 0.004, NaN, 0.01, NaN, NaN), by: words(["", "weights", "both"], 2, 1, 0, 2, 0, 0),
  nearest: ints([6], 1, 0, 4, 0, 2, -1), correlation: floats([6], 1, 1, 0.4, -0.99, 0.4, NaN),
  terms: ints([6, 2], -1, -1, -1, -1, -1, -1, -1, -1, 2, 5, -1, -1), coefficients: floats([6, 2], 0, 0, 0, 0, 0, 0, 0, 0, 0.5, -2, 0, 0),
  unexplained: floats([6], 0.3, 0.004, 0.8, 0.01, 0.012, NaN), removable: flags(0, 1, 0, 1, 1, 0),
  weight_map: floats([6, 2], 0, 0, 1, 0, 0, 1, 2, 2, NaN, NaN, -1, -1),
}, { explained: [0.4, 0.2] });

const rows = filterRows(health, similarity);
const spoken = (pieces: Piece[]): string => pieces.map((piece) => (typeof piece === "string" ? piece : `f${piece.filter}`)).join("");

describe("filters with what is known of their likeness", () => {
  it("take groups from the record of similarity, and lines lead to the one that stays", () => {
    expect(rows.map((row) => row.group)).toEqual([0, 0, -1, 0, -1, -1]);
    expect(rows.map((row) => [isDouble(row), isSum(row)])).toEqual([[false, false], [true, false], [false, false], [true, false], [false, true], [false, false]]);
    expect(joined(rows)).toEqual([[1, 0], [3, 0]]);
    expect(sumLines(rows, [0, 4])).toEqual([[4, 2], [4, 5]]);
  });

  it("say in a few words what they are", () => {
    expect(rows.map(stateOf)).toEqual(["", "double of 0", "", "double of 0", "sum of 2, 5", "zero scale"]);
    expect(spoken(doubleOf(rows[1]!))).toBe("A double: 2 · f0, leaves 0.4 %; by the weights");
    expect(spoken(doubleOf(rows[3]!))).toBe("A double: −0.5 · f0 + 0.25, leaves 1.0 %; by weights and activations");
    expect(spoken(doubleOf(rows[4]!))).toBe("A sum of others: 0.5 · f2 − 2 · f5, leaves 1.2 %");
    expect(spoken(standsFor(rows[0]!, rows))).toBe("Would stay for f1, f3");
    expect([doubleOf(rows[0]!), standsFor(rows[1]!, rows), answersLike(rows[0]!, rows)]).toEqual([[], [], []]);
    expect([certainty(rows[5]!), certainty(rows[0]!)]).toEqual(["proven: whatever comes within the bounds of its inputs", ""]);
    expect(rows[5]!.everAlive).toBe(false);
  });

  it("without that record are as health alone has them; groups that name no keeper are joined one by one", () => {
    const old = filterRows({ ...health, arrays: { ...health.arrays, group: ints([6], 7, -1, 7, -1, 7, -1) } });
    expect(joined(old)).toEqual([[0, 2], [2, 4]]);
    expect(spoken(answersLike(old[2]!, old))).toBe("Answers like f0, f4");
    expect(old[0]).toMatchObject({ keep: 0, nearest: -1, removable: false, terms: [], everAlive: true });
    expect(old[0]!.likeness).toBeNaN();
  });

  it("ignore a record of another number of filters, and whatever names a filter that there is not", () => {
    const fewer = record("similarity", { group: ints([2], 0, 0), keep: ints([2], 0, 0) });
    expect(filterRows(health, fewer).map((row) => row.group)).toEqual([-1, -1, -1, -1, -1, -1]);
    const wild = record("similarity", { ...similarity.arrays, keep: ints([6], 99, -5, 2, 0, 4, 5), nearest: ints([6], 99, 0, 0, 0, 0, 0), terms: ints([6, 2], 99, -7, ...Array(10).fill(1e9)) });
    const read = filterRows(health, wild);
    expect([read[0]!.keep, read[1]!.keep, read[0]!.nearest]).toEqual([0, 1, -1]);
    expect(read.every((row) => row.terms.length === 0)).toBe(true);
  });

  it("are sorted by group with the lonely ones last, both ways", () => {
    const order = (down: boolean) => sortRows(rows, "group", down).map((row) => row.index);
    expect(order(false)).toEqual([0, 1, 3, 2, 4, 5]);
    expect(order(true)).toEqual([0, 1, 3, 2, 4, 5]);
    expect(sortRows(rows, "cause", false).map((row) => row.index)).toEqual([5, 1, 3, 4, 0, 2]); // the dead, doubles, sums, the others
  });
});

describe("the map of weights", () => {
  it("shows what was recorded, and says how much of the variance that is", () => {
    expect(weightMaps(similarity)).toEqual(["pca"]);
    expect(weightPoints(similarity, "umap")).toBeNull();
    expect(explainedOf(similarity)).toEqual([0.4, 0.2]);
    expect(explainedOf({ ...similarity, fields: { explained: "0.4" } })).toBeNull();
    expect(weightPoints({ ...similarity, arrays: { ...similarity.arrays, weight_map: floats([5, 2], ...Array(10).fill(0)) } }, "pca")).toBeNull();
  });

  it("fills the picture, y up, and leaves out what is nowhere", () => {
    const plane = weightPoints(similarity, "pca")!;
    const at = intoPicture(plane, boundsOf(plane)!, 300, 200, 20);
    const shown = [0, 1, 2, 3, 5].map((i) => [at[2 * i]!, -at[2 * i + 1]!] as const);
    for (const [x, y] of shown) {
      expect(x).toBeGreaterThanOrEqual(20);
      expect(x).toBeLessThanOrEqual(280);
      expect(y).toBeGreaterThanOrEqual(20);
      expect(y).toBeLessThanOrEqual(180);
    }
    expect(shown[3]![1]).toBeLessThan(shown[0]![1]); // (2, 2) lies above (0, 0)
    expect(shown[1]![0] - shown[0]![0]).toBeCloseTo(shown[0]![1] - shown[2]![1], 3); // one scale for both axes
    expect(at[8]).toBeNaN();
  });
});
