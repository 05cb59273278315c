import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { normaliseRun } from "../src/api/normalise";
import { MOST_RECORDS } from "../src/model/gallery";
import { Look } from "../src/model/look.svelte";
import { Page } from "../src/model/page.svelte";
import { Sheets } from "../src/model/sheets.svelte";

/** A frame with the image, one pixel, of filter `epoch % filters`. */
function frame(epoch: number, filters: number): Response {
  const entry = (dtype: string, shape: number[], offset: number) => ({ dtype, shape, offset });
  const arrays = { filters: entry("<i4", [1], 0), pixels: entry("|u1", [1, 1, 1, 1], 8) };
  const json = JSON.stringify({ records: [{ kind: "feature_images", layer: "conv", epoch, fields: { filters_in_all: filters }, arrays }], damaged: [] });
  const header = json.padEnd(Math.ceil(json.length / 8) * 8);
  const bytes = new Uint8Array(8 + header.length + 16);
  bytes.set(new TextEncoder().encode(`FWF1    ${header}`));
  const view = new DataView(bytes.buffer);
  view.setUint32(4, header.length, true);
  view.setInt32(8 + header.length, epoch % filters, true);
  view.setUint8(16 + header.length, epoch);
  return new Response(bytes);
}

describe("the records behind a gallery", () => {
  let page: Page;
  let sheets: Sheets;
  let asked: number[];
  let filters: number;
  beforeEach(() => {
    asked = [];
    filters = 5;
    vi.stubGlobal("localStorage", { getItem: () => null, setItem: vi.fn() });
    vi.stubGlobal("window", { matchMedia: () => ({ matches: true }) });
    vi.stubGlobal("fetch", async (address: string) => {
      const epoch = Number(new URLSearchParams(address.split("?")[1]).get("epoch"));
      asked.push(epoch);
      await new Promise((resolve) => setTimeout(resolve, 3 * (epoch % 3))); // answers overtake one another
      return frame(epoch, filters);
    });
    page = new Page();
    page.info = normaliseRun({ session: { layers: [{ name: "conv", filters: 5 }] } });
    page.runs = [{ run: "r", name: "r", generation: "1", updated: 1, problems: [], epochs: [Array.from({ length: 100 }, (_, i) => i)], series: { feature_images: { conv: 0 } } }];
    sheets = new Sheets(page, new Look(page));
  });
  afterEach(() => vi.unstubAllGlobals());

  /** Asks as the page does, until nothing more comes. */
  async function settle(): Promise<void> {
    for (let still = 0, before = 0; still < 8; still = before === asked.length ? still + 1 : 0) {
      before = asked.length;
      sheets.want();
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  it("are those of the same filters, by their numbers at the playhead, from before the layer was pruned too", async () => {
    const eras = [{ begins: 0, filters: [0, 1, 2, 3, 4] }, { begins: 50, filters: [0, 2, 3, 4] }];
    vi.stubGlobal("fetch", async (address: string) => {
      if (address.startsWith("./numbering")) return new Response(JSON.stringify({ eras }));
      const epoch = Number(new URLSearchParams(address.split("?")[1]).get("epoch"));
      asked.push(epoch);
      return frame(epoch, epoch < 50 ? 5 : 4);
    });
    page.runs = [{ ...page.runs![0]!, epochs: [page.runs![0]!.epochs[0]!, [0, 50]], series: { feature_images: { conv: 0 }, session: { "": 1 } } }];
    page.numbered.want();
    await vi.waitFor(() => expect(page.numbered.eras).toHaveLength(2));
    page.goTo(51);
    await settle();
    expect(sheets.tiles.map((tile) => [tile.filter, tile.epoch])).toEqual([[0, 45], [1, 47], [2, 50], [3, 51]]);
    expect(sheets.inAll).toBe(4);
    page.goTo(49);
    await settle();
    expect(sheets.tiles.map((tile) => [tile.filter, tile.epoch])).toEqual([[0, 45], [1, 46], [2, 47], [3, 48], [4, 49]]);
  });

  it("are asked for backwards from the playhead until every filter has an image, each once", async () => {
    page.goTo(50);
    await settle();
    expect(sheets.tiles.map((tile) => [tile.filter, tile.epoch])).toEqual([[0, 50], [1, 46], [2, 47], [3, 48], [4, 49]]);
    expect(asked.length).toBe(new Set(asked).size);
    expect(asked.length).toBeLessThan(12);
    expect([sheets.loading, sheets.capped, sheets.inAll]).toEqual([0, false, 5]);
  });

  it("are no more than so many, and it is said", async () => {
    filters = 64;
    page.goTo(99);
    await settle();
    expect(asked.length).toBe(MOST_RECORDS);
    expect([sheets.tiles.length, sheets.inAll, sheets.capped]).toEqual([MOST_RECORDS, 64, true]);
  });

  it("are few where one filter alone is wanted, and all where its development is", async () => {
    page.goTo(99);
    sheets.sought = 99 % 5;
    await settle();
    expect(asked.length).toBeLessThan(5);
    sheets.sought = null;
    sheets.closely = true;
    await settle();
    expect(asked.length).toBe(MOST_RECORDS);
    expect(sheets.development(3).map((tile) => tile.epoch)).toEqual([63, 68, 73, 78, 83, 88, 93, 98]);
    expect(asked.length).toBe(new Set(asked).size);
  });

  it("are asked for further back where filtered images are wanted", async () => {
    page.goTo(30);
    sheets.further = true;
    await settle();
    expect(asked.length).toBe(31);
    expect(sheets.tiles.map((tile) => tile.epoch)).toEqual([30, 26, 27, 28, 29]);
  });

  it("that are the same again are the same list: nothing is drawn anew", async () => {
    page.goTo(50);
    await settle();
    const before = sheets.sheets;
    page.frames.ensure("other", page.run!, "feature_images", 3, ["conv"]);
    await settle();
    expect(sheets.sheets).toBe(before);
  });
});
