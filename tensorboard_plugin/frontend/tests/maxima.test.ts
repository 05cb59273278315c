import { describe, expect, it } from "vitest";
import type { FrameRecord } from "../src/api/types";
import { answered, inputColours, maximaOf, orderMaxima, verdict } from "../src/model/maxima";

/** inputs × filters. */
function record(inputs: number[], rows: number[][], fields: Record<string, unknown> = {}): FrameRecord {
  return {
    kind: "histograms", layer: "conv1", epoch: 0, fields,
    arrays: {
      inputs: { shape: [inputs.length], values: Int32Array.from(inputs), table: null },
      maxima: { shape: [rows.length, rows[0]?.length ?? 0], values: Float32Array.from(rows.flat()), table: null },
    },
  };
}
const labels = [1, 0, 1, 0];

describe("cumulated maxima", () => {
  const maxima = maximaOf(record([0, 1, 2], [[1, -2, 0], [5, 1, 0], [2, -3, 0]]), labels)!;
  it("stack by class, then by sample, apart above and below zero", () => {
    expect(maxima.inputs).toEqual([1, 0, 2]);
    expect([...maxima.values]).toEqual([5, 1, 0, 1, -2, 0, 2, -3, 0]);
    expect([[...maxima.above], [...maxima.below], [...maxima.highest]]).toEqual([[8, 1, 0], [0, -5, 0], [5, 1, 0]]);
  });
  it("are ordered by their sum, by the highest, or by number", () => {
    expect(orderMaxima(maxima, "total")).toEqual([0, 2, 1]);
    expect(orderMaxima(maxima, "highest")).toEqual([0, 1, 2]);
    expect(orderMaxima(maxima, "index")).toEqual([0, 1, 2]);
  });
  it("say how many inputs a filter answers to", () => {
    expect([0, 1, 2].map((filter) => answered(maxima, filter))).toEqual([3, 1, 0]);
  });
  it("take what is not finite for nothing, and are none where arrays do not fit", () => {
    const odd = maximaOf(record([0, 1], [[NaN, 1], [Infinity, 2]]), labels)!;
    expect([...odd.above]).toEqual([0, 3]);
    const broken = record([0, 1], [[1], [2]]);
    broken.arrays.inputs!.values = Int32Array.of(0);
    expect(maximaOf(broken, labels)).toBeNull();
    expect(maximaOf(record([], []), labels)).toBeNull();
  });
});

describe("the colours of inputs", () => {
  it("are the class's hue, lighter in turn, and the hue again at the next class", () => {
    const [a, b, c] = inputColours([1, 3, 0], labels, 2, false);
    expect(a).toEqual([0, 114, 178]);
    expect(b).not.toEqual(a);
    expect(b!.every((channel, i) => channel >= a![i]!)).toBe(true);
    expect(c).toEqual([230, 159, 0]);
  });
  it("are greys in turn without labels, or with too many classes", () => {
    for (const greys of [inputColours([0, 1, 2], [], 0, true), inputColours([0, 1, 2], [0, 1, 2], 30, false)]) {
      expect(greys[0]).not.toEqual(greys[1]);
      expect(greys[0]).toEqual(greys[2]);
    }
  });
});

describe("whether the samples are enough", () => {
  const said = (fields: Record<string, unknown>, samples = 200, filters = 16) => verdict(record([0], [[1]], fields), samples, filters);
  it("is said in words, with the numbers it rests on", () => {
    const good = said({ enough_inputs: true, order_agreement: 0.97, silent_agreement: 1, evenness: 0.4 });
    expect([good.fine, good.text]).toEqual([true, "200 samples are enough: either half of them puts the filters into the same order."]);
    expect(good.numbers.map(({ value }) => value)).toEqual(["0.97", "100 %", "40 %"]);
  });
  it("is not where the order changes, the silent ones do, or there are few samples", () => {
    expect(said({ enough_inputs: false, order_agreement: 0.6, silent_agreement: 1 }).text).toMatch(/^The order of the filters changes/);
    expect(said({ enough_inputs: false, order_agreement: 0.95, silent_agreement: 0.8 }).text).toMatch(/^Which filters are silent changes/);
    expect(said({ enough_inputs: false, order_agreement: 0.95 }, 12).text).toMatch(/at least 20/);
    expect(said({ enough_inputs: false, order_agreement: null }).text).toMatch(/could not be told/);
    expect(said({ enough_inputs: true }, 200, 1).text).toMatch(/nothing to rank/);
    expect(said({ order_agreement: "0.9" }).fine).toBe(false);
  });
});
