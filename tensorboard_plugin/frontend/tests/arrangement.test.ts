import { describe, expect, it } from "vitest";
import type { DecodedArray, FrameRecord, NumericArray } from "../src/api/types";
import { arrangementOf, placed, refreshedSince } from "../src/model/arrangement";
import { imageSheet, tilesOf, type Tile } from "../src/model/gallery";
import { gridRows, inRows, neighbour } from "../src/model/galleryRows";

const array = (values: NumericArray, ...shape: number[]): DecodedArray => ({ values, shape, table: null });

function record(filters: number[], cells: number[], more: { fields?: Record<string, unknown>; kind?: string; made?: number[] } = {}): FrameRecord {
  const n = filters.length;
  return {
    kind: more.kind ?? "arrangement", layer: "conv", epoch: 5, fields: { columns: 3, rows: 2, note: "n", ...more.fields },
    arrays: { filters: array(Int32Array.from(filters), n), cells: array(Int32Array.from(cells), n), made: array(Int32Array.from(more.made ?? filters.map(() => 5)), n) },
  };
}

/** A tile of each filter, made at an epoch; those of `dead` were never reached. */
function tiles(filters: number[], epoch = 5, dead: number[] = []): Tile[] {
  const n = filters.length;
  return tilesOf(imageSheet({
    kind: "feature_images", layer: "conv", epoch, fields: {},
    arrays: {
      filters: array(Int32Array.from(filters), n), pixels: array(new Uint8Array(n), n, 1, 1, 1),
      reached: array(Uint8Array.from(filters.map((f) => (dead.includes(f) ? 0 : 1))), n),
    },
  })!);
}

describe("an arrangement", () => {
  it("puts images into their cells, cut to what is used; who has no cell stands apart", () => {
    const found = arrangementOf(record([0, 1, 2, 7], [4, 2, 1, 5]))!;
    expect(found).toMatchObject({ columns: 3, rows: 2, epoch: 5, note: "n" });
    // 3 columns × 2 rows:  · 2 1 / · 0 7; the first column is empty, filter 9 has no cell, 7 was never reached.
    const { columns, cells, rest } = placed(found, tiles([0, 1, 2, 7, 9], 5, [7]));
    expect(columns).toBe(2);
    expect(cells.map((tile) => tile?.filter ?? null)).toEqual([2, 1, 0, null]);
    expect(rest.map((tile) => tile.filter)).toEqual([7, 9]);
    expect(placed(found, tiles([9]))).toMatchObject({ cells: [], columns: 1 });
  });

  it("says of how many the image is another by now", () => {
    const found = arrangementOf(record([0, 1, 2], [0, 1, 2], { made: [5, 0, 5] }))!;
    expect(refreshedSince(found, tiles([0, 1, 2], 5))).toBe(1);
    expect(refreshedSince(found, tiles([0, 1, 2], 10, [2]))).toBe(2);
  });

  it("is none where cells are taken twice or lie outside, or the grid is absurd", () => {
    const bad = (...args: Parameters<typeof record>) => arrangementOf(record(...args));
    expect(bad([0, 1], [2, 2])).toBeNull();
    expect(bad([0, 0], [1, 2])).toBeNull();
    expect(bad([0, 1], [0, 6])).toBeNull();
    expect(bad([0, 1], [0, -1])).toBeNull();
    expect(bad([-3, 1], [0, 1])).toBeNull();
    expect(bad([], [])).toBeNull();
    expect(bad([0], [0], { kind: "grid" })).toBeNull();
    for (const fields of [{ columns: 0 }, { columns: "3" }, { columns: 1e9, rows: 1 }, { rows: NaN }, { columns: {} }]) expect(bad([0], [0], { fields })).toBeNull();
    const odd = record([0, 1], [0, 1]);
    odd.arrays.cells = array(Float32Array.of(0, 1), 2);
    expect(arrangementOf(odd)).toBeNull();
    odd.arrays.cells = array(Int32Array.of(0), 1);
    expect(arrangementOf(odd)).toBeNull();
    expect(arrangementOf(record([4], [0], { made: [] as number[] }))!.made.get(4)).toBe(-1);
  });
});

describe("a gallery's rows", () => {
  const is = (wanted: number) => (item: number) => item === wanted;

  it("hold so many each, and below a grid what has no place in it", () => {
    expect(inRows([1, 2, 3], 2).map((row) => row.items)).toEqual([[1, 2], [3]]);
    expect(inRows([], 4)).toEqual([]);
    expect(inRows([1, 2], 0).length).toBe(2);
    expect(gridRows([1, null, 2, 3], 2, [8, 9], 1, "rest")).toEqual([
      { items: [1, null], text: "" }, { items: [2, 3], text: "" }, { items: [], text: "rest" }, { items: [8], text: "" }, { items: [9], text: "" },
    ]);
    expect(gridRows([1], 1, [], 3, "rest").length).toBe(1);
  });

  it("are gone through with the arrows, empty places passed over", () => {
    const rows = gridRows([1, null, 2, null, null, null, null, 3, null], 3, [8], 2, "rest");
    const go = (from: number, key: Parameters<typeof neighbour>[2]) => neighbour(rows, is(from), key);
    expect([go(1, "ArrowRight"), go(2, "ArrowLeft"), go(2, "ArrowRight"), go(3, "ArrowRight"), go(8, "ArrowRight"), go(1, "ArrowLeft")]).toEqual([2, 1, 3, 8, null, null]);
    expect([go(1, "ArrowDown"), go(2, "ArrowDown"), go(3, "ArrowUp"), go(3, "ArrowDown"), go(8, "ArrowUp"), go(8, "ArrowDown"), go(1, "ArrowUp")]).toEqual([3, 3, 1, 8, 3, null, null]);
    expect(go(99, "ArrowDown")).toBeNull();
  });
});
