import { describe, expect, it } from "vitest";
import type { DecodedArray, FrameRecord, NumericArray } from "../src/api/types";
import { ascentOf, assembleFiltered, endedEarly, lastStep } from "../src/model/featureExtras";
import { imageSheet, rgba, tilesOf, type ImageSheet } from "../src/model/gallery";

const array = (values: NumericArray, ...shape: number[]): DecodedArray => ({ values, shape, table: null });

/** Two filters, 7 and 3, of one grey pixel each: 70 and 30; snapshots after 1 and 8 steps are 1 and 8 more than 10 · row. */
function record(more: Record<string, DecodedArray> = {}, fields: Record<string, unknown> = {}, epoch = 5): FrameRecord {
  return {
    kind: "feature_images", layer: "conv", epoch, fields: { steps: 64, ...fields },
    arrays: {
      filters: array(Int32Array.of(7, 3), 2), pixels: array(Uint8Array.of(70, 30), 2, 1, 1, 1),
      snapshot_steps: array(Int32Array.of(1, 8), 2), snapshot_pixels: array(Uint8Array.of(1, 8, 11, 18), 2, 2, 1, 1, 1),
      stopped: array(Int32Array.of(64, 5), 2),
      filtered_filters: array(Int32Array.of(3), 1), whole_pixels: array(Uint8Array.of(1, 2, 3, 4), 1, 2, 2, 1),
      filtered_pixels: array(Uint8Array.of(5, 6, 7, 8), 1, 2, 2, 1), preserved: array(Float32Array.of(0.5), 1),
      ...more,
    },
  };
}
const sheet = (...args: Parameters<typeof record>): ImageSheet => imageSheet(record(...args))!;
const grey = (...args: Parameters<typeof rgba>) => rgba(...args)[0];

describe("the ascent of an image", () => {
  it("is its snapshots, then the image itself", () => {
    const [first, second] = tilesOf(sheet());
    expect(ascentOf(first!).map(({ step, tile }) => [step, grey(tile, "all")])).toEqual([[1, 1], [8, 8], [64, 70]]);
    // The guard stopped the second one after 5 steps: there is nothing of it after 8.
    expect(ascentOf(second!).map(({ step, tile }) => [step, grey(tile, "all")])).toEqual([[1, 11], [5, 30]]);
    expect([endedEarly(first!), endedEarly(second!)]).toEqual([false, true]);
  });

  it("has an end that may not be known", () => {
    const [tile] = tilesOf(sheet({ stopped: array(new Int32Array(0), 0) }, { steps: "many" }));
    expect([lastStep(tile!), endedEarly(tile!)]).toEqual([null, false]);
    expect(ascentOf(tile!).map(({ step }) => step)).toEqual([1, 8, null]);
  });

  it("is none where snapshots are missing or do not fit", () => {
    const none = (more: Record<string, DecodedArray>) => sheet(more).snapshots;
    expect(none({ snapshot_steps: array(new Int32Array(0), 0), snapshot_pixels: array(new Uint8Array(0), 0, 0, 0, 0, 0) })).toBeNull();
    expect(none({ snapshot_steps: array(Int32Array.of(1), 1) })).toBeNull();
    expect(none({ snapshot_steps: array(Float32Array.of(1, 8), 2) })).toBeNull();
    expect(none({ snapshot_steps: array(Int32Array.of(8, 1), 2) })).toBeNull();
    expect(none({ snapshot_steps: array(Int32Array.of(-1, 1), 2) })).toBeNull();
    expect(none({ snapshot_pixels: array(Uint8Array.of(1, 8, 11, 18), 2, 2, 1, 1) })).toBeNull();
    expect(none({ snapshot_pixels: array(Uint8Array.of(1, 8, 11, 18), 1, 2, 2, 1, 1) })).toBeNull();
    expect(ascentOf(tilesOf(sheet({ snapshot_steps: array(Int32Array.of(1), 1) }))[0]!)).toEqual([]);
  });
});

describe("filtered images", () => {
  it("stand beside what they were made of, with what was preserved", () => {
    const [one, ...others] = assembleFiltered([sheet()]);
    expect(others).toEqual([]);
    expect(one).toMatchObject({ filter: 3, epoch: 5, preserved: 0.5 });
    expect([grey(one!.before, "all"), grey(one!.after, "all"), one!.after.sheet.width, one!.after.sheet.field]).toEqual([1, 5, 2, null]);
  });

  it("are each filter's newest, of one size", () => {
    const older = sheet({ filtered_filters: array(Int32Array.of(3, 7), 2), whole_pixels: array(new Uint8Array(8), 2, 2, 2, 1), filtered_pixels: array(new Uint8Array(8).fill(9), 2, 2, 2, 1), preserved: array(Float32Array.of(0.1, 0.2), 2) }, {}, 0);
    const other = sheet({ filtered_filters: array(Int32Array.of(1), 1), whole_pixels: array(new Uint8Array(1), 1, 1, 1, 1), filtered_pixels: array(new Uint8Array(1), 1, 1, 1, 1) }, {}, 0);
    expect(assembleFiltered([sheet(), older, other]).map((one) => [one.filter, one.epoch, one.preserved])).toEqual([[3, 5, 0.5], [7, 0, Math.fround(0.2)]]);
    expect(assembleFiltered([])).toEqual([]);
  });

  it("are none where the two do not fit each other, and of unknown worth where nobody measured", () => {
    const none = (more: Record<string, DecodedArray>) => sheet(more).filtering;
    expect(none({ whole_pixels: array(Uint8Array.of(1), 1, 1, 1, 1) })).toBeNull();
    expect(none({ filtered_pixels: array(Uint8Array.of(5, 6, 7, 8), 1, 4, 1) })).toBeNull();
    expect(none({ filtered_filters: array(Int32Array.of(3, 7), 2) })).toBeNull();
    expect(none({ filtered_filters: array(Float32Array.of(3), 1) })).toBeNull();
    expect(none({ whole_pixels: array(new Uint8Array(8), 1, 2, 2, 2), filtered_pixels: array(new Uint8Array(8), 1, 2, 2, 2) })).toBeNull();
    expect(none({ filtered_filters: array(new Int32Array(0), 0), whole_pixels: array(new Uint8Array(0), 0, 2, 2, 1), filtered_pixels: array(new Uint8Array(0), 0, 2, 2, 1) })).toBeNull();
    expect(assembleFiltered([sheet({ preserved: array(new Float32Array(4), 4) })])[0]!.preserved).toBeNaN();
    expect(assembleFiltered([sheet({ filtered_filters: array(Int32Array.of(-3), 1) })])).toEqual([]);
  });
});
