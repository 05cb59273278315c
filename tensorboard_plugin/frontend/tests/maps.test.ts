import { describe, expect, it } from "vitest";
import type { FrameRecord, NumericArray } from "../src/api/types";
import { channelHue, combined, isFlat, mapOf, mapsOf, placeOf, word } from "../src/model/maps";
import { newestUpTo } from "../src/model/newest.svelte";
import { NumberTable } from "../src/model/numbers";

/** Two samples, 1 × 2 pixels, three channels, the last of which says nothing. */
const PIXELS = [
  [255, 0, 9], [0, 255, 9],
  [255, 255, 9], [0, 0, 9],
];

function record(more: Record<string, { values: NumericArray; shape: number[] }> = {}, kind = "maps"): FrameRecord {
  const arrays = {
    pixels: { values: Uint8Array.from(PIXELS.flat()), shape: [2, 1, 2, 3] }, samples: { values: Int32Array.of(17, 4), shape: [2] },
    low: { values: Float32Array.of(0, -1, 2), shape: [3] }, high: { values: Float32Array.of(1, 1, 2), shape: [3] }, ...more,
  };
  return { kind, layer: "conv", epoch: 5, fields: { full_size: [28, "x", 28], note: "n" }, arrays: Object.fromEntries(Object.entries(arrays).map(([name, one]) => [name, { ...one, table: null }])) };
}
const sheet = mapsOf(record())!;
const rgb = (pixel: number) => [pixel & 255, (pixel >> 8) & 255, (pixel >> 16) & 255];

describe("maps of a record", () => {
  it("are found by sample and filter", () => {
    expect(sheet).toMatchObject({ epoch: 5, rows: 1, columns: 2, filters: 3, fullSize: [28, 28], note: "n", convolved: null, reach: null });
    expect([[...mapOf(sheet, sheet.pixels, 0, 0)], [...mapOf(sheet, sheet.pixels, 0, 1)], [...mapOf(sheet, sheet.pixels, 1, 1)]]).toEqual([[255, 0], [0, 255], [255, 0]]);
    expect([0, 1, 2].map((filter) => isFlat(sheet, filter))).toEqual([false, false, true]);
  });

  it("have the bare response where it fits them", () => {
    const bare = { convolved: { values: new Uint8Array(12).fill(128), shape: [2, 1, 2, 3] }, reach: { values: new Float32Array(3).fill(2), shape: [3] } };
    expect(mapsOf(record(bare))).toMatchObject({ reach: Float32Array.of(2, 2, 2) });
    expect(mapsOf(record({ ...bare, convolved: { values: new Uint8Array(3), shape: [3] } }))).toMatchObject({ convolved: null, reach: null });
  });

  it("of another kind, or not described as they should be, are none", () => {
    expect(mapsOf(record({}, "kernels"))).toBeNull();
    expect(mapsOf(record({ samples: { values: Int32Array.of(17), shape: [1] } }))).toBeNull();
    expect(mapsOf(record({ pixels: { values: new Uint8Array(12), shape: [12] } }))).toBeNull();
    expect(mapsOf(record({ low: { values: new Float32Array(1), shape: [1] } }))!.low[2]).toBeNaN();
  });

  it("show the sample that is pointed at or selected, else the first", () => {
    expect([placeOf(sheet, null, []), placeOf(sheet, 4, []), placeOf(sheet, 99, [4]), placeOf(sheet, null, [4, 17, 99])]).toEqual([0, 1, 1, 0]);
  });

  it("are those of the newest record up to the playhead", () => {
    expect([newestUpTo([0, 5, 10], 7), newestUpTo([0, 5, 10], 10), newestUpTo([5], 4), newestUpTo([], 3), newestUpTo([0], null)]).toEqual([5, 10, null, null, null]);
  });
});

describe("all channels in one picture", () => {
  it("differ in hue, neighbours most", () => {
    for (const n of [1, 2, 3, 16, 97, 512]) {
      const hues = Array.from({ length: n }, (_, filter) => channelHue(filter, n).join());
      if (n <= 97) expect(new Set(hues).size).toBe(n);
    }
    const apart = (a: number[], b: number[]) => Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));
    expect(apart(channelHue(4, 64), channelHue(5, 64))).toBeGreaterThan(80);
  });

  it("is in the hue of the channel that answers alone, and grey where all do", () => {
    const first = [...combined(sheet, 0)].map(rgb);
    const hue = (pixel: number[]) => pixel.indexOf(Math.max(...pixel));
    expect([hue(first[0]!), hue(first[1]!)]).toEqual([hue([...channelHue(0, 3)]), hue([...channelHue(1, 3)])]);
    const [both, none] = [...combined(sheet, 1)].map(rgb);
    expect(Math.max(...both!) - Math.min(...both!)).toBeLessThanOrEqual(2);
    expect(none).toEqual([0, 0, 0]);
  });

  it("keeps its hues however many channels there are", () => {
    const [n, size] = [512, 64];
    const values = Uint8Array.from({ length: n * size }, (_, i) => Math.imul(i ^ (i >>> 9), 0x9e3779b1) >>> 24); // no pattern that a hue could follow
    const crowd = mapsOf(record({
      pixels: { values, shape: [1, 8, 8, n] }, samples: { values: Int32Array.of(17), shape: [1] },
      low: { values: new Float32Array(n), shape: [n] }, high: { values: new Float32Array(n).fill(1), shape: [n] },
    }))!;
    const colourful = [...combined(crowd, 0)].map(rgb).map((pixel) => (Math.max(...pixel) - Math.min(...pixel)) / Math.max(...pixel)).sort();
    expect(colourful[Math.floor(0.9 * size)]).toBeGreaterThan(0.25);
  });

  it("can be drawn whatever the maps are", () => {
    const black = mapsOf(record({ pixels: { values: new Uint8Array(12), shape: [2, 1, 2, 3] } }))!;
    expect([...combined(black, 0)]).toEqual([word([0, 0, 0]), word([0, 0, 0])]);
    const unknown = mapsOf(record({ low: { values: new Float32Array(3).fill(NaN), shape: [3] } }))!;
    expect([...combined(unknown, 0)].every((pixel) => pixel >>> 24 === 255)).toBe(true);
  });
});

describe("numbers of what is recorded every few epochs", () => {
  it("are the newest up to the playhead", () => {
    const table = new NumberTable();
    table.merge({ until: 1, series: [{ kind: "similarity", layer: "conv", epochs: [0, 5], values: { removable_count: [1, 3] } }] });
    expect([4, 5, 9, -1].map((epoch) => table.upTo("similarity", "conv", "removable_count", epoch))).toEqual([1, 3, 3, null]);
    expect(table.upTo("similarity", "other", "removable_count", 5)).toBeNull();
  });
});
