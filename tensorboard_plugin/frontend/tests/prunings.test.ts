import { describe, expect, it } from "vitest";
import type { FrameRecord } from "../src/api/types";
import { NumberTable } from "../src/model/numbers";
import type { OutlookLayer } from "../src/model/outlook";
import { changed, histories, originals, renumberedAt, sentence, signed, stepsOf, watched } from "../src/model/prunings";
import { clipped, skyline } from "../src/model/skyline";

const step = (epoch: number, action: string, fields: Record<string, unknown> = {}): FrameRecord => ({
  kind: "pruning", layer: "", epoch, fields: { action, removed: { conv: [0, 1], bn: [0, 1] }, ...fields }, arrays: {},
});
const layer = (name: string, units: number, mixes = true): OutlookLayer => ({ name, type: "", units, mixes, frozen: "", fixed: 0, together: -1 });

describe("steps of pruning", () => {
  it("are in order, and a step that the guard took back says when", () => {
    const steps = stepsOf([step(9, "undone"), step(4, "pruned"), step(7, "pruned"), step(2, "proposed")]);
    expect(steps.map(({ epoch, undone }) => [epoch, undone])).toEqual([[2, null], [4, null], [7, 9], [9, null]]);
  });
  it("take back one each", () => {
    const steps = stepsOf([step(1, "pruned"), step(3, "pruned"), step(4, "undone"), step(5, "undone"), step(6, "undone")]);
    expect(steps.map(({ undone }) => undone)).toEqual([5, 4, null, null, null]);
  });
  it("know what is not known: −1 and null are no counts", () => {
    const [one] = stepsOf([step(1, "pruned", { multiply_adds_before: -1, multiply_adds_after: null, units_before: 8, units_after: 6, value_before: -0.5 })]);
    expect([one!.multiplyAdds, one!.units, one!.value]).toEqual([[NaN, NaN], [8, 6], [-0.5, NaN]]);
  });
  it("survive records that make no sense", () => {
    expect(stepsOf([step(1, "exploded"), step(2, "pruned", { action: 7 })])).toEqual([]);
    const [odd] = stepsOf([step(3, "pruned", { removed: { a: "x", b: [], c: [1] }, reason: 5, seconds: "long" })]);
    expect([[...odd!.counts], odd!.reason, odd!.seconds]).toEqual([[["c", 1]], "", NaN]);
    expect(stepsOf([step(3, "pruned", { removed: null })])[0]!.counts.size).toBe(0);
  });
  it("are told in sentences, names as they are", () => {
    expect(["it was due", "val_loss rose.", "A step", ""].map(sentence)).toEqual(["It was due.", "val_loss rose.", "A step.", ""]);
  });
  it("say in percent what they changed", () => {
    expect([changed([200, 150]), changed([100, 104.2]), changed([3, 3]), changed([0, 3]), changed([NaN, 3]), signed(-0.9999)]).toEqual(["−25 %", "+4.2 %", "±0 %", "", "", "−100 %"]);
  });
});

describe("numbers of filters", () => {
  it("are others after a step that touched the layer, from its own epoch on", () => {
    const other = { removed: { other: [1] } };
    const steps = stepsOf([step(2, "proposed"), step(4, "pruned"), step(5, "undone"), step(7, "pruned", other)]);
    expect([0, 4, 5, 6].map((epoch) => renumberedAt(steps, "conv", epoch))).toEqual([4, 4, 5, null]);
    expect(renumberedAt(steps, "other", 0)).toBe(7);
  });
});

describe("how large layers were", () => {
  it("is known from the first outlook, else from the steps that held then", () => {
    const steps = stepsOf([step(4, "pruned"), step(7, "pruned"), step(9, "undone"), step(20, "pruned")]);
    expect(originals([layer("conv", 6), layer("new", 5)], 10, steps, [])).toEqual([8, 5]);
    expect(originals([layer("conv", 4)], 8, steps, [])).toEqual([8]);        // at epoch 8 the step of epoch 7 still held
    expect(originals([layer("conv", 6)], 10, steps, [layer("conv", 16)])).toEqual([16]);
    expect(originals([layer("conv", 6)], 10, [], [layer("conv", 2)])).toEqual([6]);        // never smaller than now
  });
});

describe("histories", () => {
  const table = (series: [kind: string, values: Record<string, (number | null)[]>][]): NumberTable => {
    const made = new NumberTable();
    made.merge({ until: 1, series: series.map(([kind, values]) => ({ kind, layer: "", epochs: [0, 1, 2], values })) });
    return made;
  };
  it("are the metric, what the guard watches, and the sizes that were recorded", () => {
    const numbers = table([["epoch", { val_accuracy: [null, 0.5, 0.6], val_loss: [null, 2, 1] }], ["size", { parameters: [10, 10, 5], multiply_adds: [-1, -1, -1], latency: [null, null, null] }]]);
    expect(histories(numbers, "val_loss", 0).map(({ name }) => name)).toEqual(["validation accuracy", "validation loss", "parameters"]);
    expect(histories(numbers, "", 0).map(({ name }) => name)).toEqual(["validation accuracy", "parameters"]);
  });
  it("have gaps where a count is not known", () => {
    const numbers = table([["size", { multiply_adds: [-1, 8, 4] }]]);
    expect(histories(numbers, "", 0)[0]!.series.values).toEqual([null, 8, 4]);
  });
  it("fall back to the probe's accuracy and the training's loss", () => {
    const numbers = table([["epoch", { loss: [null, 2, 1] }], ["predictions", { accuracy: [0.1, 0.5, 0.6] }], ["size", { latency: [1, 1, 0.5], latency_batch: [32, 32, 32] }]]);
    const found = histories(numbers, "", 32);
    expect(found.map(({ name }) => name)).toEqual(["probe accuracy", "loss", "measured time"]);
    expect(found.at(-1)!.title).toContain("batch of 32");
    expect(histories(new NumberTable(), "", 0)).toEqual([]);
  });
});

describe("what the guard watches", () => {
  it("is followed to the epoch before the next step, or to the newest", () => {
    const numbers = new NumberTable();
    numbers.merge({ until: 1, series: [{ kind: "epoch", layer: "", epochs: [1, 2, 3, 4, 5, 6], values: { val_loss: [6, 5, 4, 3, 2, null] } }] });
    const value = { monitor: "val_loss", value_before: 6 };
    const steps = stepsOf([step(1, "pruned", value), step(2, "proposed", value), step(3, "pruned", value), step(9, "pruned", value), step(4, "refused")]);
    expect(watched(steps, numbers).map((one) => one && [...one.values, one.until])).toEqual([[6, 4, 3], [6, NaN, 2], [6, 2, 5], null, [6, NaN, 9]]);
  });
  it("is what made the guard undo a step, where it did", () => {
    const steps = stepsOf([step(1, "pruned", { monitor: "val_loss", value_before: 6 }), step(2, "undone", { monitor: "val_loss", value_before: 6, value_after: 7 })]);
    expect(watched(steps, new NumberTable())[1]).toEqual({ name: "val_loss", values: [6, 7], until: 2 });
  });
});

describe("the skyline", () => {
  it("puts what passes units on beside whose they are, where that is known", () => {
    const branches = [layer("a", 4), layer("b", 4), layer("a_bn", 4, false), layer("b_bn", 4, false), layer("last", 4, false)];
    const slots = (layers: OutlookLayer[]) => skyline(layers, layers.map(() => 4), 600).slots.map(({ main, followers }) => [main.layer, ...followers.map((one) => one.layer)]);
    expect(slots(branches)).toEqual([[0], [1, 2, 3, 4]]);
    expect(slots(branches.map((one, i) => ({ ...one, together: [0, 1, 0, 1, -1][i]! })))).toEqual([[0, 2], [1, 3, 4]]);
  });
  it("gives each layer that makes its units a place, with its followers", () => {
    const line = skyline([layer("conv", 8), layer("bn", 8, false), layer("act", 8, false), layer("dense", 4)], [8, 8, 8, 4], 400);
    expect(line.slots.map(({ main, followers }) => [main.layer, followers.map((bar) => bar.layer)])).toEqual([[0, [1, 2]], [3, []]]);
    expect([line.height(8), line.height(4), line.square]).toEqual([1, 0.5, false]);
  });
  it("begins with what follows nothing, and holds still without layers", () => {
    expect(skyline([layer("normalisation", 3, false), layer("conv", 8)], [3, 8], 400).slots.map(({ main }) => main.layer)).toEqual([0, 1]);
    expect(skyline([], [], 400)).toMatchObject({ slots: [], width: 0 });
  });
  it("goes by square roots where widths differ much, and says which heights are which", () => {
    const line = skyline([layer("a", 4), layer("b", 2048)], [4, 2048], 400);
    expect(line.square).toBe(true);
    expect(line.height(4)).toBeGreaterThan(0.04);
    expect(line.ticks[0]).toBe(2048);
    expect([...line.ticks].sort((a, b) => b - a)).toEqual(line.ticks);
  });
  it("keeps every bar within its place, from 1 layer to 1,000", () => {
    for (const count of [1, 3, 30, 300, 1000]) {
      const layers = Array.from({ length: count }, (_, i) => layer(`layer${i}`, 1 + (i % 7), i % 9 < 3));
      const { slots } = skyline(layers, layers.map(({ units }) => units), 700);
      for (const { x, width, main, followers } of slots) for (const bar of [main, ...followers]) expect(bar.x >= x && bar.x + bar.width <= x + width + 1e-6).toBe(true);
      expect(slots.every(({ x }, i) => !i || x >= slots[i - 1]!.x + slots[i - 1]!.width - 1e-6)).toBe(true);
    }
  });
  it("shortens names in the middle", () => {
    expect([clipped("short"), clipped("block12_expanded_conv_depthwise")]).toEqual(["short", "block12…epthwise"]);
  });
});
