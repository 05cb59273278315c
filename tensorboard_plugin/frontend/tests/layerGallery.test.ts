import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { normaliseRun } from "../src/api/normalise";
import { LayerGallery } from "../src/model/layerGallery.svelte";
import { Look } from "../src/model/look.svelte";
import { Page } from "../src/model/page.svelte";

interface Packed { dtype: string; shape: number[]; bytes: number[] }
const i4 = (...values: number[]): Packed => ({ dtype: "<i4", shape: [values.length], bytes: values.flatMap((v) => [v & 255, (v >> 8) & 255, (v >> 16) & 255, (v >> 24) & 255]) });
const u1 = (shape: number[], ...bytes: number[]): Packed => ({ dtype: "|u1", shape, bytes });

/** A frame of one record. */
function frame(kind: string, epoch: number, fields: object, arrays: Record<string, Packed>): Response {
  const payload: number[] = [];
  const described = Object.fromEntries(Object.entries(arrays).map(([name, { dtype, shape, bytes }]) => {
    while (payload.length % 8) payload.push(0);
    const offset = payload.length;
    payload.push(...bytes);
    return [name, { dtype, shape, offset }];
  }));
  const json = JSON.stringify({ records: [{ kind, layer: "conv", epoch, fields, arrays: described }], damaged: [] });
  const header = json.padEnd(Math.ceil(json.length / 8) * 8);
  const bytes = new Uint8Array(8 + header.length + payload.length);
  bytes.set(new TextEncoder().encode(`FWF1    ${header}`));
  bytes.set(payload, 8 + header.length);
  new DataView(bytes.buffer).setUint32(4, header.length, true);
  return new Response(bytes);
}

describe("a layer's gallery", () => {
  let page: Page;
  let gallery: LayerGallery;
  beforeEach(() => {
    vi.stubGlobal("localStorage", { getItem: () => null, setItem: vi.fn() });
    vi.stubGlobal("window", { matchMedia: () => ({ matches: true }) });
    // Filters 0, 1, 2; of the first epoch one is filtered as well.  The grid has 2 at the left, 0 at the right.
    vi.stubGlobal("fetch", async (address: string) => {
      const query = new URLSearchParams(address.split("?")[1]);
      const [kind, epoch] = [query.get("kind")!, Number(query.get("epoch"))];
      await new Promise((resolve) => setTimeout(resolve, kind === "arrangement" ? 20 : 1)); // the slower one is not shown by halves
      if (kind === "arrangement") return frame(kind, epoch, { columns: 2, rows: 1 }, { filters: i4(2, 0), cells: i4(0, 1), made: i4(epoch, epoch) });
      const filtered: Record<string, Packed> = epoch ? {} : { filtered_filters: i4(1), whole_pixels: u1([1, 1, 1, 1], 9), filtered_pixels: u1([1, 1, 1, 1], 5) };
      return frame(kind, epoch, { filters_in_all: 3 }, { filters: i4(0, 1, 2), pixels: u1([3, 1, 1, 1], 10, 20, 30), ...filtered });
    });
    page = new Page();
    page.info = normaliseRun({ session: { layers: [{ name: "conv", type: "Conv2D", filters: 3 }], recorders: { feature_images: { filtered: 4 } } } });
    page.runs = [{ run: "r", name: "r", generation: "1", updated: 1, problems: [], epochs: [[0, 1, 2]], series: { feature_images: { conv: 0 }, arrangement: { conv: 0 } } }];
    gallery = new LayerGallery(page, new Look(page));
  });
  afterEach(() => vi.unstubAllGlobals());

  async function settle(milliseconds = 60): Promise<void> {
    for (let i = 0; i < milliseconds / 5; i++) {
      gallery.want();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
  const filters = () => gallery.items.map((item) => item.filter);

  it("looks for filtered images further back once they are asked for, and offers them where they are made", async () => {
    await settle();
    expect([gallery.filterable, gallery.filtered, filters()]).toEqual([true, false, [0, 1, 2]]);
    page.settings.pictured = "filtered";
    await settle();
    expect([gallery.filtered, filters(), gallery.items[0]!.tile!.epoch]).toEqual([true, [1], 0]);
    page.settings.pictured = "plain";
    page.info = normaliseRun({ session: { layers: [{ name: "conv", filters: 3 }], recorders: { feature_images: { filtered: 0 } } } });
    await settle(10);
    expect([gallery.filterable, filters()]).toEqual([false, [0, 1, 2]]); // the newest record alone is looked at again
  });

  it("waits with similarity for the recorded grid, and sets aside who has no place in it", async () => {
    await settle();
    page.settings.order = "similarity";
    gallery.want();
    expect([gallery.order, gallery.layout]).toEqual(["index", null]);
    await settle();
    expect(gallery.layout!.cells.map((item) => item?.filter)).toEqual([2, 0]);
    expect([gallery.layout!.rest.map((item) => item.filter), filters(), gallery.refreshed]).toEqual([[1], [2, 0, 1], 0]);
  });
});
