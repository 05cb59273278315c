import { flushSync } from "svelte";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { RunEntry, RunInfo } from "../src/api/types";
import { standing } from "../src/model/newest.svelte";
import { eraAt, erasOf, moved, renumbered, turnOf } from "../src/model/numbering";
import { Page } from "../src/model/page.svelte";

/** Of six filters 1 and 4 go at the end of epoch 2, at 4 the first two of the rest, which come back at 5; then others, untold. */
const ERAS = [
  { begins: 0, filters: [0, 1, 2, 3, 4, 5] }, { begins: 3, filters: [0, 2, 3, 5] }, { begins: 5, filters: [3, 5] }, { begins: 6, filters: [0, 2, 3, 5] },
  { begins: 8, filters: [6, 7] },
];

describe("numbers of filters", () => {
  it("are those of the same filter at another epoch", () => {
    expect([0, 1, 2, 3, 4, 5].map((filter) => renumbered(ERAS, filter, 2, 3))).toEqual([0, null, 1, 2, null, 3]);
    expect([0, 1].map((filter) => renumbered(ERAS, filter, 5, 1))).toEqual([3, 5]);
    expect(renumbered(ERAS, 3, 4, 7)).toBe(3);              // pruned in between, and back
    expect(renumbered(ERAS, 0, 7, 9)).toBeNull();           // nobody knows who these are
    expect([renumbered(ERAS, 9, 0, 3), renumbered([], 9, 0, 3)]).toEqual([null, 9]);
    expect([eraAt(ERAS, 2), eraAt(ERAS, 3), eraAt(ERAS, 99), eraAt([], 3)]).toEqual([0, 1, 4, -1]);
  });
  it("stay the same list within an era", () => {
    const filters = [3, 1];
    expect(moved(ERAS, filters, 3, 4)).toBe(filters);
    expect(moved(ERAS, filters, 3, 0)).toEqual([5, 2]);
    expect(moved(ERAS, filters, null, 0)).toBe(filters);
  });
  it("come from the plugin, or are the same all along", () => {
    expect(erasOf({ eras: ERAS })).toEqual(ERAS);
    for (const raw of [null, {}, { eras: ERAS.slice(0, 1) }, { eras: [ERAS[1], ERAS[0]] }, { eras: [ERAS[0], { begins: 4, filters: ["x"] }] }, { eras: "no" }]) expect(erasOf(raw)).toEqual([]);
    expect(turnOf(ERAS, 1, "filter")).toBe("6 filters before, 4 from here on");
  });
});

describe("the page", () => {
  const entry = (newest: number): RunEntry => ({
    run: "r/featwatch", name: "r", generation: "1", updated: 1, problems: [], epochs: [Array.from({ length: newest + 1 }, (_, i) => i), [0, 3, 5, 6, 8], [1, 4]],
    series: { health: { conv: 0 }, session: { "": 1 }, kernels: { conv: 2 }, embedding: { conv: 2 } },
  });
  const info = { session: { layers: [{ name: "conv", type: "Conv2D", shape: [8, 8, 2], filters: 2, parameters: 20 }], recorders: {} }, journal: [], alerts: [] } as unknown as RunInfo;
  let page: Page;
  beforeEach(async () => {
    vi.stubGlobal("localStorage", { getItem: () => null, setItem: vi.fn() });
    vi.stubGlobal("fetch", vi.fn(async () => new Response(JSON.stringify({ eras: ERAS }))));
    page = new Page();
    [page.runs, page.info] = [[entry(9)], info];
    page.numbered.want();
    await vi.waitFor(() => expect(page.numbered.eras).toHaveLength(5));
    page.goTo(2);
  });
  afterEach(() => vi.unstubAllGlobals());

  it("keeps the same filters selected, whatever their numbers are", () => {
    page.filters = [5, 4];
    page.goTo(3);
    expect(page.filters).toEqual([3]);
    page.goTo(9);
    expect(page.filters).toEqual([]);
    page.goTo(0);
    expect(page.filters).toEqual([5, 4]);
    page.goTo(5);
    page.selectFilter(0, true);                             // to 5, which has the number 1 here, comes 3
    page.goTo(0);
    expect(page.filters).toEqual([5, 3]);
    page.openFilter(4);
    page.goTo(3);
    flushSync();
    expect(page.opened).toBeNull();
    page.goTo(1);
    expect(page.opened).toBe(4);
  });
  it("asks once, and says of a layer what it was", () => {
    page.numbered.want();
    expect(vi.mocked(fetch).mock.calls.map(([address]) => address)).toEqual(["./numbering?run=r%2Ffeatwatch&generation=1&layer=conv"]);
    expect([page.layerInfo?.filters, page.layerInfo?.shape, page.layerInfo?.parameters]).toEqual([6, [8, 8, 6], 0]);
    page.goTo(9);
    expect([page.layerInfo?.filters, page.layerInfo?.shape, page.layerInfo?.parameters]).toEqual([2, [8, 8, 2], 20]);
  });
  it("takes no record of before a step for one of the filters after it", () => {
    expect([2, 3, 4, 5].map((epoch) => (page.goTo(epoch), standing(page, "kernels")))).toEqual([[1, 4], [4], [4], []]);
    expect(standing(page, "embedding")).toEqual([1, 4]);    // that is of samples
  });
});
