import { describe, expect, it } from "vitest";
import type { DecodedArray, FrameRecord } from "../src/api/types";
import { anyGoing, atRandom, harmless, leftAt, noBetter, outlookOf, priced, removedAt, shownAt, tied, type Outlook } from "../src/model/outlook";
import { planText, pythonText } from "../src/model/prunePlan";

const numbers = (values: number[], ...shape: number[]): DecodedArray => ({ shape: shape.length ? shape : [values.length], values: Float32Array.from(values), table: null });
const words = (table: string[]): DecodedArray => ({ shape: [table.length], values: Uint16Array.from(table.keys()), table });

/** A convolution of 4 with its normalisation, a dense layer of 3 of which 1 cannot go, a frozen one of 2. */
const arrays = (): Record<string, DecodedArray> => ({
  layers: words(["conv", "bn", "dense", "out"]), types: words(["Conv2D", "BatchNormalization", "Dense", "Dense"]), frozen: words(["", "", "", "it is the output"]),
  units: numbers([4, 4, 3, 2]), mixes: numbers([1, 0, 1, 1]), fixed: numbers([0, 0, 1, 2]),
  ratios: numbers([0, 0.5, 0.8]), going: numbers([0, 0, 0, 0, 2, 2, 1, 0, 3, 3, 2, 0], 3, 4),
  parameters: numbers([100, 60, 25]), multiply_adds: numbers([1000, 500, 100]), accuracy: numbers([0.9, 0.895, 0.4]), change: numbers([0, 0.04, 0.9]),
  turn: numbers([Infinity, 0.5, 0.5, 0.8, Infinity, 0.5, 0.5, 0.8, 0.8, 0.5, Infinity, Infinity, Infinity]),
});
const record = (more: Record<string, DecodedArray> = {}, fields: Record<string, unknown> = {}): FrameRecord => ({ kind: "outlook", layer: "", epoch: 5, fields: { criterion: "l2", ...fields }, arrays: { ...arrays(), ...more } });
const parsed = (more: Record<string, DecodedArray> = {}, fields: Record<string, unknown> = {}): Outlook => {
  const outlook = outlookOf(record(more, fields));
  if (typeof outlook === "string") throw new Error(outlook);
  return outlook;
};

describe("an outlook", () => {
  it("says what is left at a share: units of layers that make their own count, those that follow do not", () => {
    const left = leftAt(parsed(), 1);
    expect(left).toMatchObject({ going: 3, movable: 6, touched: 2, parameters: 60, multiplyAdds: 500, ofParameters: 0.6, ofMultiplyAdds: 0.5 });
    expect(left.accuracy).toBeCloseTo(0.895);
  });
  it("names every unit that goes, in followers too", () => {
    expect([...removedAt(parsed(), 1)!]).toEqual([["conv", [1, 2]], ["bn", [1, 2]], ["dense", [1]]]);
    expect([...removedAt(parsed(), 2)!]).toEqual([["conv", [1, 2, 3]], ["bn", [1, 2, 3]], ["dense", [0, 1]]]);
    expect(removedAt(parsed(), 0)!.size).toBe(0);
  });
  it("names none where units and counts disagree, or their number does not fit", () => {
    expect(parsed({ turn: numbers([0.5, 0.5, 0.5, 0.8, Infinity, 0.5, 0.5, 0.8, 0.8, 0.5, Infinity, Infinity, Infinity]) }).turns).toBeNull();
    expect(parsed({ turn: numbers([0.5]) }).turns).toBeNull();
  });
  it("puts shares in order with all that belongs to them", () => {
    const turned = parsed({ ratios: numbers([0.8, 0, 0.5]), going: numbers([3, 3, 2, 0, 0, 0, 0, 0, 2, 2, 1, 0], 3, 4), parameters: numbers([25, 100, 60]), accuracy: numbers([0.4, 0.9, 0.895]) });
    expect([turned.parameters, turned.going[1]]).toEqual([[100, 60, 25], [2, 2, 1, 0]]);
    expect(turned.accuracy[2]).toBeCloseTo(0.4);
  });
  it("leaves out shares that are none, and never lets more go than can", () => {
    const odd = parsed({ ratios: numbers([NaN, 0.5, 7]), going: numbers([0, 0, 0, 0, 99, -3, 9, 9, 0, 0, 0, 0], 3, 4) });
    expect([odd.shares, odd.going]).toEqual([[0.5], [[4, 0, 2, 0]]]);
    expect(leftAt(odd, 0).ofParameters).toBeNaN();          // of what there is now nothing is known
  });
  it("knows what as many units cost that were drawn at random, where that was measured", () => {
    const drawn = parsed({ random_accuracy: numbers([0.9, 0.9, NaN]), random_change: numbers([0, 0.5, NaN]) });
    expect(atRandom(drawn, "accuracy")[1]).toBeCloseTo(0.9);
    expect([noBetter(drawn, 0), noBetter(drawn, 1), noBetter(drawn, 2)]).toEqual([null, true, null]);
    const unlabelled = parsed({ accuracy: numbers([NaN, NaN, NaN]), random_accuracy: numbers([NaN, NaN, NaN]), random_change: numbers([0, 0.5, 0.9]) });
    expect([noBetter(unlabelled, 1), noBetter(unlabelled, 2)]).toEqual([false, true]);
    expect(atRandom(parsed(), "accuracy")).toEqual([NaN, NaN, NaN]);
    expect(noBetter(parsed(), 1)).toBeNull();
  });
  it("says which layers lose units together, those that make them alone", () => {
    const sum = parsed({ together: numbers([0, 0, 0, -1]) });
    expect([tied(sum, 0), tied(sum, 1), tied(sum, 2), tied(sum, 3)]).toEqual([[2], [], [0], []]);
    expect(tied(parsed(), 0)).toEqual([]);
    expect(tied(parsed({ together: numbers([0, 0]) }), 0)).toEqual([]);         // not one for each layer
  });
  it("is refused with a reason where nothing can be made of it", () => {
    expect(outlookOf(record({ layers: words([]) }))).toMatch(/no layers/);
    expect(outlookOf(record({ ratios: numbers([NaN, -1]) }))).toMatch(/no shares/);
    expect(outlookOf(record({ units: numbers([1]) }))).toMatch(/do not fit/);
    expect(outlookOf({ ...record(), arrays: {} })).toMatch(/no layers/);
  });
  it("knows nothing of negative counts", () => {
    expect(parsed({ multiply_adds: numbers([-1, -1, -1]) }).multiplyAdds).toEqual([NaN, NaN, NaN]);
  });
});

describe("the share to begin with", () => {
  it("is the largest that costs at most a point of accuracy", () => {
    expect(harmless(parsed())).toEqual({ at: 1, costly: 2 });
    expect(shownAt(parsed(), null)).toBe(1);
  });
  it("does not skip one that costs more for a lucky one behind it", () => {
    expect(harmless(parsed({ accuracy: numbers([0.9, 0.5, 0.9]) }))).toEqual({ at: 0, costly: 1 });
  });
  it("is the first one where each costs more", () => {
    const steep = parsed({ accuracy: numbers([0.9, 0.5, 0.2]) });
    expect([harmless(steep), shownAt(steep, null)]).toEqual([{ at: 0, costly: 1 }, 1]);
  });
  it("goes by what was measured: not every share need be", () => {
    expect(harmless(parsed({ accuracy: numbers([0.9, NaN, 0.895]) }))).toEqual({ at: 2, costly: null });
    expect(harmless(parsed({ accuracy: numbers([0.9, 0.9, NaN]) }))).toEqual({ at: 1, costly: null });
    expect(harmless(parsed({ accuracy: numbers([0.9, NaN, 0.2]) }))).toEqual({ at: 0, costly: 2 });
    expect(harmless(parsed({ accuracy: numbers([NaN, 0.9, 0.9]) }))).toBeNull();
  });
  it("is not known where nothing but the whole model was measured", () => {
    const alone = parsed({ accuracy: numbers([0.9, NaN, NaN]), change: numbers([0, NaN, NaN]) });
    expect([priced(alone), harmless(alone), shownAt(alone, null)]).toEqual([null, null, 1]);
    expect(priced(parsed({ accuracy: numbers([0.9, NaN, NaN]) }))).toBe("change");
  });
  it("goes by the outputs' change where there are no labels, and is a third where nothing was measured", () => {
    const none = numbers([NaN, NaN, NaN]);
    expect(harmless(parsed({ accuracy: none }))).toEqual({ at: 1, costly: 2 });
    expect([harmless(parsed({ accuracy: none, change: none })), shownAt(parsed({ accuracy: none, change: none }), null)]).toEqual([null, 1]);
  });
  it("is the nearest to what was chosen", () => {
    expect([0, 0.24, 0.26, 1].map((share) => shownAt(parsed(), share))).toEqual([0, 0, 1, 2]);
  });
  it("says whether anything can go", () => {
    expect([anyGoing(parsed()), anyGoing(parsed({ going: numbers(Array<number>(12).fill(0), 3, 4) }))]).toEqual([true, false]);
  });
});

describe("a plan to copy", () => {
  it("holds all that goes, what is frozen and why, and what it saves", () => {
    const plan = JSON.parse(planText(parsed(), 1, "net")!);
    expect(plan).toMatchObject({
      format: "featwatch pruning plan", version: 1, frozen: { out: "it is the output" }, units: { conv: 4, bn: 4, dense: 3, out: 2 }, model: "net", criterion: "l2",
      savings: { parameters_before: 100, parameters_after: 60, multiply_adds_before: 1000, multiply_adds_after: 500 },
    });
    expect(plan.removed).toEqual({ conv: [1, 2], dense: [1] });         // the normalisation goes along by itself
    expect(planText(parsed(), 1, "net")).toContain('    "conv": [1, 2],\n');
  });
  it("keeps hostile names as they are", () => {
    const name = '"]}\u0000</script>\n';
    const plan = JSON.parse(planText(parsed({ layers: words([name, "bn", "dense", "out"]) }), 1, name)!);
    expect([plan.removed[name], plan.model]).toEqual([[1, 2], name]);
  });
  it("is not there where the units are not known; the code then makes one", () => {
    const unknown = parsed({ turn: numbers([]) });
    expect(planText(unknown, 1, "net")).toBeNull();
    expect(pythonText(unknown, 1, "epoch 5", false)).toContain('fw.prune.plan(model, ratio=0.5, criterion="l2", probe=probe)');
  });
  it("never puts a criterion of the log into code", () => {
    expect(pythonText(parsed({}, { criterion: '"); import os #' }), 1, "epoch 5", true)).not.toContain("import os");
  });
});
