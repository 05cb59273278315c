import { describe, expect, it } from "vitest";
import { normaliseRun } from "../src/api/normalise";
import type { DecodedArray, FrameRecord, NumericArray } from "../src/api/types";
import { exemplarMapsOf, extentOf, HEAT, mapOfExemplar } from "../src/model/exemplarMaps";

const array = (values: NumericArray, ...shape: number[]): DecodedArray => ({ values, shape, table: null });

/** Filters 4 and 0, two samples each, maps of 1 × 2: the bytes are numbered through. */
function record(more: Record<string, DecodedArray> = {}, kind = "exemplar_maps"): FrameRecord {
  return {
    kind, layer: "conv", epoch: 5, fields: { full_size: [28, "x", 28], note: "n" },
    arrays: {
      filters: array(Int32Array.of(4, 0), 2), samples: array(Int32Array.of(9, 2, 2, 7), 2, 2),
      pixels: array(Uint8Array.from({ length: 8 }, (_, i) => i), 2, 2, 1, 2), low: array(Float32Array.of(0, -1), 2), high: array(Float32Array.of(3, 1), 2), ...more,
    },
  };
}

describe("maps of exemplars", () => {
  it("are found by filter and sample", () => {
    const sheet = exemplarMapsOf(record())!;
    expect(sheet).toMatchObject({ rows: 1, columns: 2, top: 2, fullSize: [28, 28], note: "n" });
    expect([mapOfExemplar(sheet, 4, 2), mapOfExemplar(sheet, 0, 2), mapOfExemplar(sheet, 0, 7)].map((map) => [...map!])).toEqual([[2, 3], [4, 5], [6, 7]]);
    expect([mapOfExemplar(sheet, 0, 9), mapOfExemplar(sheet, 1, 2)]).toEqual([null, null]);
  });

  it("that are not described as they should be are none", () => {
    expect(exemplarMapsOf(record({}, "maps"))).toBeNull();
    expect(exemplarMapsOf(record({ samples: array(Int32Array.of(9, 2, 2, 7), 4) }))).toBeNull();
    expect(exemplarMapsOf(record({ samples: array(Int32Array.of(9, 2), 2, 1) }))).toBeNull();
    expect(exemplarMapsOf(record({ samples: array(Float32Array.of(9, 2, 2, 7), 2, 2) }))).toBeNull();
    expect(exemplarMapsOf(record({ pixels: array(new Uint8Array(8), 8) }))).toBeNull();
    expect(exemplarMapsOf(record({ pixels: array(new Uint8Array(0), 2, 2, 0, 2) }))).toBeNull();
    expect(exemplarMapsOf(record({ filters: array(Int32Array.of(4), 1) }))).toBeNull();
    expect(exemplarMapsOf(record({ low: array(new Float32Array(5), 5) }))!.low[0]).toBeNaN();
  });
});

describe("where a map lies over the input", () => {
  const layer = (size: number, stride: number, offset: number) =>
    normaliseRun({ session: { layers: [{ name: "conv", field_size: [size, size], field_stride: [stride, stride], field_offset: [offset, offset] }] } }).session!.layers[0]!;
  const input = { height: 28, width: 28 };

  it("is all of it for a convolution that keeps the size, pooled or not", () => {
    expect(extentOf(layer(3, 1, -1), [28, 28], input)).toEqual({ left: 0, top: 0, width: 1, height: 1 });
    expect(extentOf(layer(4, 2, -1), [14, 14], input)).toEqual({ left: 0, top: 0, width: 1, height: 1 });
  });

  it("leaves the margin that no unit stands over", () => {
    expect(extentOf(layer(3, 1, 0), [26, 26], input)).toEqual({ left: 1 / 28, top: 1 / 28, width: 26 / 28, height: 26 / 28 });
    // 5 × 5 with a stride of 2 and no padding: the first unit stands over pixel 2, the next over pixel 4.
    expect(extentOf(layer(5, 2, 0), [12, 12], input)).toEqual({ left: 1.5 / 28, top: 1.5 / 28, width: 24 / 28, height: 24 / 28 });
  });

  it("is not known without the layer's geometry", () => {
    expect(extentOf(null, [28, 28], input)).toBeNull();
    expect(extentOf(layer(3, 1, -1), [28], input)).toBeNull();
    expect(extentOf(layer(3, 1, -1), [28, 28], null)).toBeNull();
    expect(extentOf(layer(3, 0, -1), [28, 28], input)).toBeNull();
    expect(extentOf(normaliseRun({ session: { layers: [{ name: "conv" }] } }).session!.layers[0]!, [28, 28], input)).toBeNull();
  });
});

describe("heat", () => {
  it("is the more opaque the higher, and never hides the picture", () => {
    const opacity = [...HEAT].map((word) => word >>> 24);
    expect(opacity.every((value, i) => !i || value >= opacity[i - 1]!)).toBe(true);
    expect([opacity[0]! < 30, opacity[255]! > 150, opacity[255]! < 230]).toEqual([true, true, true]);
    const [r, , b] = [HEAT[255]! & 255, 0, (HEAT[255]! >> 16) & 255];
    expect(r).toBeGreaterThan(b); // yellow
  });
});
