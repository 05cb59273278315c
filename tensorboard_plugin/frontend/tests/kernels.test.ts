import { describe, expect, it } from "vitest";
import type { FrameRecord, NumericArray } from "../src/api/types";
import { blit, blockOf, divergingTable, fittingSide, SEQUENTIAL, type Canvas } from "../src/charts/tiles";
import { energies, kernelCount, kernelOf, kernelsOf, kernelSummary, orderKernels, shareOf, strength } from "../src/model/kernels";
import { diverging, sequential } from "../src/theme/palette";

/** Two filters of two kernels, 1 × 3; weights are (pixel − 128) / 127 · largest. */
const WEIGHTS = [[[-1, 0, 1], [0.5, 0, 0]], [[0.1, 0.1, 0.2], [0, 0, 0]]];
const LARGEST = [1, 0.2];

function record(more: Record<string, { values: NumericArray; shape: number[] }> = {}, kind = "kernels"): FrameRecord {
  const pixels = WEIGHTS.flatMap((filter, f) => filter.flat().map((weight) => Math.round((weight / LARGEST[f]!) * 127) + 128));
  const arrays = {
    pixels: { values: Uint8Array.from(pixels), shape: [2, 2, 1, 3] }, inputs: { values: Int32Array.of(4, 7, 1, -1), shape: [2, 2] },
    largest: { values: Float32Array.from(LARGEST), shape: [2] }, covered: { values: Float32Array.of(0.5, 1), shape: [2] }, ...more,
  };
  return { kind, layer: "conv", epoch: 5, fields: { channels: 8, note: "n" }, arrays: Object.fromEntries(Object.entries(arrays).map(([name, one]) => [name, { ...one, table: null }])) };
}
const sheet = kernelsOf(record())!;

describe("kernels of a record", () => {
  it("are found by filter and place, with what belongs to them", () => {
    expect(sheet).toMatchObject({ epoch: 5, filters: 2, shown: 2, rows: 1, columns: 3, channels: 8, note: "n" });
    expect([...kernelOf(sheet, 0, 1)]).toEqual([192, 128, 128]);
    expect([kernelCount(sheet, 0), kernelCount(sheet, 1)]).toEqual([2, 1]);
  });

  it("of another kind, or not described as they should be, are none", () => {
    expect(kernelsOf(record({}, "maps"))).toBeNull();
    expect(kernelsOf(record({ pixels: { values: new Float32Array(12), shape: [2, 2, 1, 3] } }))).toBeNull();
    expect(kernelsOf(record({ pixels: { values: new Uint8Array(0), shape: [0, 2, 1, 3] } }))).toBeNull();
    const odd = kernelsOf(record({ inputs: { values: Int32Array.of(1), shape: [1] }, largest: { values: Float32Array.of(1), shape: [1] } }))!;
    expect([...odd.inputs]).toEqual([0, 1, 0, 1]);
    expect(strength(odd, 0, "layer")).toBe(0);
    expect(strength(odd, 0, "filter")).toBe(1);
  });

  it("have the energy that their weights have, by the share that is shown", () => {
    const energy = (filter: number) => WEIGHTS[filter]!.flat().reduce((sum, weight) => sum + weight ** 2, 0);
    expect(energies(sheet)[0]).toBeCloseTo(energy(0) / 0.5, 1);
    expect(energies(sheet)[1]).toBeCloseTo(energy(1), 3);
    expect(shareOf(sheet, 0, 1)).toBeCloseTo((0.5 * 0.25) / 2.25, 2);
    const nothing = kernelsOf(record({ pixels: { values: new Uint8Array(12).fill(128), shape: [2, 2, 1, 3] }, largest: { values: new Float32Array(2), shape: [2] }, covered: { values: Float32Array.of(NaN, 0), shape: [2] } }))!;
    expect([...energies(nothing)]).toEqual([0, 0]);
  });

  it("stand in order, what is not known last", () => {
    expect([...orderKernels(sheet, "index", null)]).toEqual([0, 1]);
    expect([...orderKernels(sheet, "energy", null)]).toEqual([0, 1]);
    expect([...orderKernels(sheet, "roughness", [0.2, 0.9])]).toEqual([1, 0]);
    expect([...orderKernels(sheet, "roughness", [NaN, 0.1])]).toEqual([1, 0]);
  });

  it("are as strong in colour as their weights are, to the layer's largest or their own", () => {
    expect([strength(sheet, 0, "layer"), strength(sheet, 1, "layer")].map((value) => Number(value.toFixed(6)))).toEqual([1, 0.2]);
    expect([strength(sheet, 0, "filter"), strength(sheet, 1, "filter")]).toEqual([1, 1]);
  });

  it("say their size and how much of them is shown", () => {
    expect(kernelSummary(sheet, "filter")).toBe("2 filters of 3 · of each the 2 of 8 input channels with most of its energy: 100 % of it in the median");
    expect(kernelSummary({ ...sheet, rows: 3, channels: 1, shown: 1, inputs: Int32Array.of(0, 0) }, "filter")).toBe("2 filters of 3 × 3 · one input channel");
    expect(kernelSummary({ ...sheet, channels: 2 }, "unit")).toContain("all 2 input channels");
  });
});

describe("tiles", () => {
  const canvas = (): Canvas => ({ pixels: new Uint32Array(16), width: 4, height: 4 });
  const picture = { pixels: Uint8Array.of(1, 2, 3, 4), width: 2, height: 2, colours: Uint32Array.from({ length: 256 }, (_, i) => 10 * i) };

  it("are enlarged to whole pixels of the nearest value", () => {
    const made = canvas();
    blit(made, picture, 0, 0, 4, 4);
    expect([...made.pixels]).toEqual([10, 10, 20, 20, 10, 10, 20, 20, 30, 30, 40, 40, 30, 30, 40, 40]);
  });

  it("are cut at the edges, and never drawn round them", () => {
    const made = canvas();
    blit(made, picture, 3, -1, 2, 2);
    expect([...made.pixels]).toEqual([0, 0, 0, 30, ...Array<number>(12).fill(0)]);
    blit(made, picture, 40, 40, 2, 2);
    blit(made, picture, -2, 2, 2, 2);
    blit(made, picture, -9, 0, 2, 2);
    expect(made.pixels.reduce((n, pixel) => n + (pixel ? 1 : 0), 0)).toBe(1);
  });

  it("have the palette's colours, white at zero", () => {
    const rgb = (word: number) => [word & 255, (word >> 8) & 255, (word >> 16) & 255];
    expect([rgb(divergingTable(1)[128]!), rgb(divergingTable(1)[255]!), rgb(divergingTable(1)[1]!)]).toEqual([diverging(0), diverging(1), diverging(-1)]);
    expect(rgb(divergingTable(0.5)[255]!)).toEqual(diverging(0.5));
    expect(rgb(divergingTable(0)[255]!)).toEqual(diverging(0));
    expect(rgb(SEQUENTIAL[0]!)).toEqual(sequential(0));
    expect(divergingTable(1)[128]! >>> 24).toBe(255);
  });

  it("are as large as lets all of them be seen, within limits", () => {
    for (const items of [1, 7, 32, 256, 2048]) {
      const side = fittingSide(items, { width: 700, height: 400 }, 14, 6, 26, 112);
      const rows = (one: number) => Math.ceil(items / Math.floor(706 / (one + 6)));
      expect(side).toBeGreaterThanOrEqual(26);
      expect(side).toBeLessThanOrEqual(112);
      if (side > 26) expect(rows(side) * (side + 20)).toBeLessThanOrEqual(400);
      if (side < 112 && side > 26) expect(rows(side + 1) * (side + 21)).toBeGreaterThan(400);
    }
  });

  it("of several kernels fill a block, as large as they can be, inside it", () => {
    for (const [count, rows, columns] of [[1, 5, 5], [3, 3, 3], [8, 3, 3], [3, 1, 7], [5, 2, 9]] as const) {
      const block = blockOf(count, rows, columns, 60, 60, 2);
      expect(block.across * (block.width + 2) - 2).toBeLessThanOrEqual(60);
      expect(Math.ceil(count / block.across) * (block.height + 2) - 2).toBeLessThanOrEqual(60);
      expect(block.width % columns).toBe(0);
    }
    expect(blockOf(1, 5, 5, 60, 60, 2)).toEqual({ across: 1, width: 60, height: 60 });
    expect(blockOf(4, 3, 3, 62, 62, 2)).toEqual({ across: 2, width: 30, height: 30 });
  });
});
