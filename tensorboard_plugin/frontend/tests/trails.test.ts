import { afterEach, describe, expect, it, vi } from "vitest";
import { imageSide } from "../src/charts/images";
import { widthOf } from "../src/charts/trailPainter";
import type { Frame } from "../src/api/types";
import { meanPaths, pathsOf, tracked, trailsOf, type Trails } from "../src/model/trails";
import { TrailStore } from "../src/model/trails.svelte";

const frame = (samples: number[], epochs: number[], points: number[]): Frame => ({
  damaged: [],
  records: [{
    kind: "trails", layer: "conv", epoch: 0, fields: { over: "epochs" }, arrays: {
      samples: { shape: [samples.length], values: Int32Array.from(samples), table: null },
      epochs: { shape: [epochs.length], values: Int32Array.from(epochs), table: null },
      points: { shape: [epochs.length, samples.length, 2], values: Float32Array.from(points), table: null },
    },
  }],
});
/** Two samples (4 and 1) at epochs 0, 2 and 5. */
const trails: Trails = trailsOf(frame([4, 1], [0, 2, 5], [0, 0, 9, 9, 1, 1, 8, 8, 2, 2, 7, 7]))!;
const now = Float32Array.from([0, 0, 70, 70, 0, 0, 0, 0, 20, 20]);

describe("trails", () => {
  it("that are not what they should be are none", () => {
    expect(trailsOf({ records: [], damaged: [] })).toBeNull();
    expect(trailsOf(frame([1], [0, 1], [0, 0]))).toBeNull();
    expect(trailsOf(frame([1], [1, 0], [0, 0, 1, 1]))).toBeNull();
  });
  it("go through the past and end where the sample is now", () => {
    expect(pathsOf(trails, 5, now, () => 3)).toEqual([
      { key: 3, count: 1, path: Float32Array.from([0, 0, 1, 1, 20, 20]) }, { key: 3, count: 1, path: Float32Array.from([9, 9, 8, 8, 70, 70]) },
    ]);
    expect(pathsOf(trails, 1, now, () => 3)[0]!.path).toEqual(Float32Array.from([0, 0, 20, 20]));
    expect(pathsOf(trails, 0, now, () => 3)).toEqual([]); // no past yet
  });
  it("leave out epochs that could not be read", () => {
    const holed = trailsOf(frame([0], [0, 1, 2], [NaN, NaN, 1, 1, 2, 2]))!;
    expect(pathsOf(holed, 2, Float32Array.from([5, 5]), () => 0)[0]!.path).toEqual(Float32Array.from([1, 1, 5, 5]));
    expect(pathsOf(holed, 2, Float32Array.from([NaN, 5]), () => 0)).toEqual([]);
  });
  it("of many are the mean of each class, over those that can be read", () => {
    const many = trailsOf(frame([0, 1, 2], [0, 1], [0, 0, 2, 4, 9, 9, NaN, NaN, 6, 6, 9, 9]))!;
    const here = Float32Array.from([1, 1, 3, 5, 9, 9]);
    expect(meanPaths(many, 2, here, (sample) => (sample < 2 ? 7 : 8))).toEqual([
      { key: 7, count: 2, path: Float32Array.from([1, 2, 6, 6, 2, 3]) }, { key: 8, count: 1, path: Float32Array.from([9, 9, 9, 9, 9, 9]) },
    ]);
  });
  it("are as wide as they have samples, within bounds", () => {
    expect(widthOf(100)).toBeGreaterThan(widthOf(10));
    expect(widthOf(1e6)).toBeLessThanOrEqual(12);
  });
  it("are followed of at most 200 samples, spread over the selection", () => {
    expect(tracked([5, 3])).toEqual([3, 5]);
    const some = tracked(Array.from({ length: 1000 }, (_, i) => i));
    expect([some.length, new Set(some).size, some[0], some.at(-1)]).toEqual([200, 200, 0, 995]);
  });
});

describe("the store of trails", () => {
  afterEach(() => vi.unstubAllGlobals());
  const wanted = { at: { run: "r", generation: "1" }, layer: "conv", samples: [1], epochs: 3 };
  const settled = () => new Promise((resolve) => setTimeout(resolve, 5));
  it("asks once, keeps what it has until more has come, and skips what nobody wants any more", async () => {
    const asked: string[] = [];
    vi.stubGlobal("fetch", async (address: string) => {
      asked.push(new URL(address, "http://x/").searchParams.getAll("sample").join());
      return new Response(bytes([[1, 1]]));
    });
    const store = new TrailStore();
    store.want(wanted);
    store.want({ ...wanted, samples: [2] });
    store.want({ ...wanted, samples: [3] });
    await settled();
    expect(asked).toEqual(["1", "3"]);
    expect(store.get({ ...wanted, samples: [3] })).not.toBeNull();
    store.want({ ...wanted, samples: [3] });
    await settled();
    expect(asked).toHaveLength(2);
    store.want({ ...wanted, samples: [3], epochs: 4 });
    expect(store.get({ ...wanted, samples: [3] })).not.toBeNull(); // stays until the longer one has come
    await settled();
    expect(asked).toHaveLength(3);
  });
  it("says why there are none, and asks again only when there is reason to", async () => {
    const answer = vi.fn(async () => new Response("no route", { status: 404 }));
    vi.stubGlobal("fetch", answer);
    const store = new TrailStore();
    store.want(wanted);
    await settled();
    expect(store.reason).toBe("no route");
    store.want(wanted);
    await settled();
    expect(answer).toHaveBeenCalledTimes(1);
    store.want({ ...wanted, epochs: 4 });
    await settled();
    expect(answer).toHaveBeenCalledTimes(2);
  });

  /** A frame of one sample at two epochs. */
  function bytes(points: number[][]): ArrayBuffer {
    const header = JSON.stringify({ records: [{ kind: "trails", layer: "conv", epoch: 0, fields: {}, arrays: {
      samples: { dtype: "<i4", shape: [1], offset: 0 }, epochs: { dtype: "<i4", shape: [1], offset: 8 }, points: { dtype: "<f4", shape: [1, 1, 2], offset: 16 },
    } }], damaged: [] });
    const padded = header.padEnd(header.length + ((8 - ((8 + header.length) % 8)) % 8));
    const buffer = new ArrayBuffer(8 + padded.length + 24);
    new Uint8Array(buffer).set(new TextEncoder().encode(`FWF1\0\0\0\0${padded}`));
    new DataView(buffer).setUint32(4, padded.length, true);
    new Int32Array(buffer, 8 + padded.length, 1)[0] = 1;
    new Float32Array(buffer, 8 + padded.length + 16, 2).set(points[0]!);
    return buffer;
  }
});

describe("the size of samples' images", () => {
  const at = (zoom: number, size: number, toGrid: number, cell: number, count = 600) => imageSide(count, 700, 600, zoom, size, toGrid, cell);
  it("suits their number, and grows more slowly than the zoom", () => {
    expect(at(1, 1, 0, 20, 100)).toBeGreaterThan(at(1, 1, 0, 20, 5000));
    expect(at(4, 1, 0, 80)).toBeGreaterThan(at(1, 1, 0, 20));
    expect(at(4, 1, 0, 80)).toBeLessThan(4 * at(1, 1, 0, 20));
  });
  it("never is more than a cell on the grid, whatever was chosen", () => {
    for (const size of [0.5, 1, 3]) for (const zoom of [0.5, 1, 9]) for (const cell of [0.5, 12, 300]) expect(at(zoom, size, 1, cell)).toBeLessThanOrEqual(Math.max(1, cell));
    expect(at(1, 1, 1, 20)).toBeGreaterThan(17);
  });
  it("goes over from one to the other without a jump", () => {
    const sides = Array.from({ length: 101 }, (_, i) => at(1, 2, i / 100, 12));
    for (let i = 1; i < sides.length; i++) expect(Math.abs(sides[i]! - sides[i - 1]!)).toBeLessThan(1);
  });
});
