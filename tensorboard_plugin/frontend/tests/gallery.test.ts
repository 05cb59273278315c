import { describe, expect, it } from "vitest";
import type { DecodedArray, FrameRecord, NumericArray } from "../src/api/types";
import { exemplarTable, relative, tied } from "../src/model/exemplars";
import {
  arrange, assemble, boxOf, chain, channelChoices, colourNote, excess, imageSheet, isLine, rgba, valuesOf, type ImageSheet,
} from "../src/model/gallery";
import { offsetOf, totalHeight, visibleRows, type Grid } from "../src/model/rows";

const array = (values: NumericArray, ...shape: number[]): DecodedArray => ({ values, shape, table: null });

/** A record of images of 2 × 1 pixels; a filter's are 10 times its number, plus `brighter`. */
function record(epoch: number, filters: number[], more: { channels?: number; brighter?: number; arrays?: Record<string, DecodedArray>; fields?: Record<string, unknown> } = {}): FrameRecord {
  const { channels = 1, brighter = 0, arrays = {}, fields = {} } = more;
  const n = filters.length;
  return {
    kind: "feature_images", layer: "conv", epoch, fields: { box: [0, 1, 0, 0], filters_in_all: 4, ...fields },
    arrays: {
      filters: array(Int32Array.from(filters), n),
      pixels: array(Uint8Array.from(filters.flatMap((f) => Array(2 * channels).fill(10 * f + brighter))), n, 2, 1, channels),
      activation: array(Float32Array.from(filters.map((f) => 2 * f)), n), natural: array(new Float32Array(n).fill(2), n),
      reached: array(new Uint8Array(n).fill(1), n), low: array(new Float32Array(channels), channels), high: array(new Float32Array(channels).fill(16), channels),
      ...arrays,
    },
  };
}
const sheet = (...args: Parameters<typeof record>): ImageSheet => imageSheet(record(...args))!;

describe("the gallery", () => {
  it("shows each filter's newest image, of records that are alike", () => {
    const tiles = assemble([sheet(10, [1], { brighter: 5 }), sheet(5, [0, 1]), sheet(2, [3], { channels: 2 }), sheet(0, [2])]);
    expect(tiles.map((tile) => [tile.filter, tile.epoch, rgba(tile, "all")[0]])).toEqual([[0, 5, 0], [1, 10, 15], [2, 0, 20]]);
    expect(assemble([])).toEqual([]);
  });

  it("gives a vector's numbers back, in the data's own range, and a series' channels in colours of their own", () => {
    const vector = sheet(0, [1], { arrays: { pixels: array(Uint8Array.of(0, 255, 51), 1, 1, 3, 1), low: array(Float32Array.of(-5), 1), high: array(Float32Array.of(5), 1) } });
    expect([isLine(vector), isLine(sheet(0, [1]))]).toEqual([true, false]);
    expect(valuesOf({ sheet: vector, row: 0 }, "all").map(({ values }) => [...values])).toEqual([[-5, 5, -3]]);
    expect(colourNote(vector, "all")).toBe("3 values along the input, one channel; all on one scale, −5.00 … 5.00");
    const series = sheet(0, [1], { arrays: { pixels: array(Uint8Array.of(0, 255, 51, 0), 1, 1, 2, 2), low: array(new Float32Array(2), 2), high: array(Float32Array.of(10, 1), 2) } });
    expect(valuesOf({ sheet: series, row: 0 }, "all")).toEqual([
      { values: Float64Array.of(0, 2), colour: "var(--channel-0)" }, { values: Float64Array.of(1, 0), colour: "var(--channel-1)" },
    ]);
    expect(valuesOf({ sheet: series, row: 0 }, "mean")[0]!.values).toEqual(Float64Array.of(0.5, 1));
    expect(valuesOf({ sheet: series, row: 0 }, 1)[0]!.values).toEqual(Float64Array.of(1, 0));
  });

  it("knows exemplars of which none is better than another", () => {
    const some = (...values: number[]) => values.map((activation) => ({ sample: 0, activation, position: [], box: null }));
    expect([tied(some(0, 0, 0)), tied(some(2, 1)), tied(some(0)), tied([])]).toEqual([true, false, false, false]);
  });

  it("refuses what cannot be drawn", () => {
    const wrong = (arrays: Record<string, DecodedArray>) => imageSheet(record(0, [0, 1], { arrays }));
    expect(wrong({ pixels: array(new Uint8Array(4), 4) })).toBeNull();
    expect(wrong({ pixels: array(new Uint8Array(4), 2, 2, 1, 1, 1) })).toBeNull();
    expect(wrong({ pixels: array(new Uint8Array(2), 1, 2, 1, 1) })).toBeNull();
    expect(wrong({ pixels: array(new Float32Array(4), 2, 2, 1, 1) })).toBeNull();
    expect(wrong({ pixels: array(new Uint8Array(0), 2, 0, 1, 1) })).toBeNull();
    expect(wrong({ filters: array(Float32Array.from([0, 1]), 2) })).toBeNull();
    expect(wrong({ activation: array(new Float32Array(1), 1) })!.activation).toEqual(Float32Array.from([NaN, NaN]));
  });

  it("has no box where bounds are no bounds", () => {
    expect(boxOf([1, 4, 2, 3])).toEqual({ top: 1, bottom: 4, left: 2, right: 3 });
    expect(boxOf(Int32Array.from([-2, 4]))).toEqual({ top: 0, bottom: 0, left: -2, right: 4 });
    for (const bounds of [undefined, null, "0,1,0,1", [0, 1, 0], [0, 0.5, 0, 1], [4, 1, 0, 1], [0, 1, 0, 1, 0, 1], [null, 1, 0, 1]]) expect(boxOf(bounds)).toBeNull();
  });

  it("is ordered by what an image drives beyond the probe; who has no image comes last", () => {
    const dead = array(Uint8Array.from([1, 0, 1]), 3);
    const tiles = assemble([sheet(0, [1, 2, 3], { arrays: { reached: dead } })]);
    expect(tiles.map(excess)).toEqual([1, NaN, 3]);
    expect(arrange(tiles, "ratio").map((tile) => tile.filter)).toEqual([3, 1, 2]);
    expect(arrange(tiles, "similarity").at(-1)!.filter).toBe(2);
    expect(arrange(tiles, "index").map((tile) => tile.filter)).toEqual([1, 2, 3]);
  });

  it("puts what looks alike side by side", () => {
    const at = (angle: number) => Float32Array.from([Math.cos(angle), Math.sin(angle)]);
    const path = chain([0.2, 1.5, 0, 0.9, 0.5].map(at)); // from one end of the arc to the other
    expect([[2, 0, 4, 3, 1], [1, 3, 4, 0, 2]]).toContainEqual(path);
    expect(chain([])).toEqual([]);
  });

  it("shows channels as they are, one of them, or their mean, and says which", () => {
    const many = imageSheet(record(0, [0], { channels: 3, arrays: { pixels: array(Uint8Array.from([30, 60, 90, 1, 2, 3]), 1, 2, 1, 3) } }))!;
    const first = (choice: "all" | "mean" | number) => [...rgba({ sheet: many, row: 0 }, choice).slice(0, 4)];
    expect([first("all"), first("mean"), first(1)]).toEqual([[30, 60, 90, 255], [60, 60, 60, 255], [60, 60, 60, 255]]);
    const two = imageSheet(record(0, [0], { channels: 2, arrays: { pixels: array(Uint8Array.from([30, 60, 1, 2]), 1, 2, 1, 2) } }))!;
    expect([...rgba({ sheet: two, row: 0 }, "all").slice(0, 4)]).toEqual([30, 60, 0, 255]);
    expect([1, 2, 5].map((n) => channelChoices(n)[0])).toEqual(["all", "all", "mean"]);
    expect(colourNote(two, "all")).toContain("red, green: 0.00 … 16.00");
  });
});

describe("exemplars", () => {
  const table = (more: Partial<FrameRecord["arrays"]> = {}, fields: Record<string, unknown> = { input_shape: [28, 14] }) =>
    exemplarTable({
      kind: "exemplars", layer: "conv", epoch: 0, fields,
      arrays: {
        samples: array(Int32Array.from([3, 1, 2, 99]), 2, 2), activation: array(Float32Array.from([9, 8, 7, 6]), 2, 2),
        position: array(Int32Array.from([0, 1, 2, 3, 4, 5, 6, 7]), 2, 2, 2),
        boxes: array(Int32Array.from([-3, 4, 0, 6, 1, 8, 2, 8, 0, 7, 0, 6, 0, 7, 0, 6]), 2, 2, 4),
        ...more,
      } as Record<string, DecodedArray>,
    }, 10);

  it("are a filter's samples, strongest first, with their boxes", () => {
    expect(table()!.of(0)).toEqual([
      { sample: 3, activation: 9, position: [0, 1], box: { top: -3, bottom: 4, left: 0, right: 6 } },
      { sample: 1, activation: 8, position: [2, 3], box: { top: 1, bottom: 8, left: 2, right: 8 } },
    ]);
    expect(table()!.of(1).map(({ sample }) => sample)).toEqual([2]); // 99 is no sample of the probe
    expect([table()!.of(2), table()!.of(-1)]).toEqual([[], []]);
  });

  it("have no boxes where the input is no picture, and none that are not described", () => {
    expect(table({}, { input_shape: [100] })!.of(0)[0]!.box).toBeNull();
    expect(table({ boxes: array(new Int32Array(4), 1, 1, 4) })!.of(0)[0]!.box).toBeNull();
    expect(table({ samples: array(new Float32Array(4), 2, 2) })).toBeNull();
  });

  it("are framed at the edges of pixels", () => {
    expect(relative({ top: 0, bottom: 13, left: -7, right: 6 }, { height: 28, width: 14 })).toEqual({ left: -0.5, top: 0, width: 1, height: 0.5 });
  });
});

describe("rows in sight", () => {
  const grid: Grid = { count: 2048, columns: 10, rowHeight: 100, open: -1, panel: 300 };
  it("are few, however many there are", () => {
    expect(visibleRows(grid, 0, 400)).toEqual({ first: 0, last: 7 });
    expect(visibleRows(grid, 10_000, 400)).toEqual({ first: 98, last: 107 });
    expect(totalHeight(grid)).toBe(20_500);
  });
  it("make room for the panel of the one that is open", () => {
    const open = { ...grid, open: 2 };
    expect([offsetOf(open, 2), offsetOf(open, 3), totalHeight(open)]).toEqual([200, 600, 20_800]);
    expect(visibleRows(open, 350, 100, 0)).toEqual({ first: 2, last: 3 }); // nothing but the panel
    expect(visibleRows(open, 600, 90, 0)).toEqual({ first: 3, last: 4 });
    expect(visibleRows({ ...grid, count: 1 }, 0, 400)).toEqual({ first: 0, last: 1 });
  });
});
