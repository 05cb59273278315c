import { describe, expect, it } from "vitest";
import type { DecodedArray, FrameRecord } from "../src/api/types";
import { NumberTable } from "../src/model/numbers";
import { answersTo, multiple, sections, sharesAcross, sharesOver, shownClasses, specificityOf } from "../src/model/specificity";

const floats = (shape: number[], ...values: number[]): DecodedArray => ({ shape, values: Float32Array.from(values), table: null });
const ints = (...values: number[]): DecodedArray => ({ shape: [values.length], values: Int32Array.from(values), table: null });

// Three classes, five filters: 0 → class 2, 1 → classes 0 and 2, 2 → none, 3 undefined, 4 → class 1.
const arrays = {
  means: floats([3, 5], 0, 2, 1, 0, 0.5, 0, 0, 1.2, 0, 2, 3, 2.5, 0.8, 0, 0.5),
  overall: floats([5], 1, 1.5, 1, 0, 1), samples: ints(10, 10, 10), modality: ints(1, 2, 0, -1, 1), first: ints(2, 2, -1, -1, 1), second: ints(-1, 0, -1, -1, -1),
};
const record = (over: Partial<Record<keyof typeof arrays, DecodedArray>> = {}, fields = {}): FrameRecord => ({ kind: "specificity", layer: "a", epoch: 1, fields, arrays: { ...arrays, ...over } });
const of = specificityOf(record({}, { margin: 0.5, note: "why" }))!;

describe("which classes filters answer to", () => {
  it("is read where the arrays fit each other", () => {
    expect(of).toMatchObject({ classes: 3, filters: 5, margin: 0.5, note: "why" });
    expect(specificityOf(record({}, { margin: "x", note: 3 }))).toMatchObject({ margin: 0.4, note: "" });
    expect(specificityOf(record({ overall: floats([4], 1, 1, 1, 1) }))).toBeNull();
    expect(specificityOf(record({ means: floats([3, 4], 1) }))).toBeNull();
    expect(specificityOf(record({ modality: floats([5], 1, 1, 1, 1, 1) }))).toBeNull();
  });

  it("is a multiple of a filter's own mean, and nothing where that is zero", () => {
    expect(multiple(of, 2, 0)).toBe(3);
    expect(multiple(of, 1, 2)).toBeCloseTo(1.2);
    expect(multiple(of, 2, 3)).toBeNaN();
    expect(multiple({ ...of, overall: new Float32Array(5) }, 2, 0)).toBeNaN();
  });

  it("comes in sections, by class within them", () => {
    expect(sections(of)).toEqual([
      { modality: 1, filters: [4, 0] }, { modality: 2, filters: [1] }, { modality: 0, filters: [2] }, { modality: -1, filters: [3] },
    ]);
    expect(sections(specificityOf(record({ modality: ints(7, 2, 0, -1, 1) }))!).find((one) => one.modality === 0)!.filters).toContain(0);
  });

  it("is said in words", () => {
    const name = (label: number) => "abc"[label]!;
    expect([0, 1, 2, 3].map((filter) => answersTo(of, filter, name))).toEqual(["class c", "classes c and a", "no class in particular", "undefined"]);
  });

  it("of too many classes keeps those that filters answer to; classes without samples are left out", () => {
    expect(shownClasses(of, 20)).toEqual([0, 1, 2]);
    expect(shownClasses(of, 1)).toEqual([2]);
    expect(shownClasses({ ...of, samples: Int32Array.from([3, 0, 1]) }, 20)).toEqual([0, 2]);
  });
});

describe("shares of specific filters", () => {
  const numbers = new NumberTable();
  numbers.merge({ until: 1, series: ["a", "b"].map((layer) => ({
    kind: "specificity", layer, epochs: [0, 5], values: { unimodal_share: [0.1, layer === "a" ? 0.5 : null], bimodal_share: [0.2, 0.25], nonspecific_share: [0.7, 0.25] },
  })) });
  it("over epochs and across layers, null where one of them is not known", () => {
    expect(sharesOver(numbers, "a", [0, 3, 5]).map(({ shares }) => shares)).toEqual([[0.1, 0.2, 0.7], null, [0.5, 0.25, 0.25]]);
    expect(sharesAcross(numbers, ["a", "b"], 5)).toEqual([{ key: 0, label: "a", shares: [0.5, 0.25, 0.25] }, { key: 1, label: "b", shares: null }]);
  });
});
