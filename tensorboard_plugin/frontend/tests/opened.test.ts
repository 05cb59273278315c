import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { normaliseRun } from "../src/api/normalise";
import { Backwards } from "../src/model/backwards.svelte";
import { handleKey } from "../src/model/keys";
import { Look } from "../src/model/look.svelte";
import { Page } from "../src/model/page.svelte";
import { DEFAULTS, parseSettings } from "../src/model/settings";

let page: Page;
let stored: string | null;
beforeEach(() => {
  stored = null;
  vi.stubGlobal("localStorage", { getItem: () => stored, setItem: (_: string, value: string) => (stored = value) });
  vi.stubGlobal("HTMLElement", class {});
  vi.stubGlobal("HTMLButtonElement", class {});
  vi.stubGlobal("window", { matchMedia: () => ({ matches: true }) });
  page = fresh();
});
afterEach(() => vi.unstubAllGlobals());

function fresh(): Page {
  const made = new Page();
  made.info = normaliseRun({ session: { layers: [{ name: "conv1", filters: 8 }, { name: "conv2", filters: 4 }] } });
  made.runs = [{ run: "r", name: "r", generation: "1", updated: 1, problems: [], epochs: [[0, 1, 2, 3]], series: { feature_images: { conv1: 0, conv2: 0 }, exemplar_maps: { conv2: 0 } } }];
  return made;
}
const escape = () => handleKey(page, { key: "Escape", ctrlKey: false, metaKey: false, altKey: false, target: null } as unknown as KeyboardEvent);

describe("a filter's page", () => {
  it("opens from anywhere, follows what is selected, and closes before the selection is cleared", () => {
    expect([page.opened, page.reading]).toEqual([null, false]);
    page.openFilter(3);
    expect([page.opened, page.tab, page.reading, page.filters]).toEqual([3, "features", true, [3]]);
    page.filters = [2];
    expect(page.opened).toBe(2);
    escape();
    expect([page.opened, page.filters]).toEqual([null, [2]]);
    escape();
    expect(page.filters).toEqual([]);
  });

  it("is there again after a reload", () => {
    page.openFilter(3);
    const again = fresh();
    expect([again.filters, again.opened, again.reading]).toEqual([[], 3, true]);
  });

  it("is left with the layer and the run, and is none of a filter that the layer has not", () => {
    page.openFilter(3);
    page.selectLayer("conv1");
    expect(page.opened).toBeNull();
    page.openFilter(7);
    page.settings.layer = "conv2";
    expect(page.opened).toBeNull();
    page.openFilter(1);
    page.leaveRun();
    expect(page.settings.opened).toBeNull();
  });

  it("is not what is shown in other views of what filters look for", () => {
    page.openFilter(3);
    page.set("featureView", "groups");
    expect([page.opened, page.reading]).toEqual([3, false]);
    escape();
    expect([page.opened, page.filters]).toEqual([3, []]);
    page.openFilter(1);
    expect([page.settings.featureView, page.reading]).toEqual(["images", true]);
  });

  it("is kept as a whole number, or not at all", () => {
    expect([3, -1, 1.5, "3", null, {}].map((opened) => parseSettings(JSON.stringify({ opened })).opened)).toEqual([3, null, null, null, null, null]);
    expect(["all", 2, "red"].map((channels) => parseSettings(JSON.stringify({ channels })).channels)).toEqual(["all", 2, null]);
    expect(parseSettings('{"pictured": "x", "overlay": 1, "featureView": "x"}')).toMatchObject({ pictured: DEFAULTS.pictured, overlay: DEFAULTS.overlay, featureView: "images" });
  });
});

describe("what is recorded of some filters at a time", () => {
  it("is looked for backwards, one record after the other, until it is found", async () => {
    const asked: number[] = [];
    vi.stubGlobal("fetch", async (address: string) => {
      const epoch = Number(new URLSearchParams(address.split("?")[1]).get("epoch"));
      asked.push(epoch);
      const json = JSON.stringify({ records: [{ kind: "exemplar_maps", layer: "conv2", epoch, fields: { of: epoch % 2, odd: epoch === 3 }, arrays: {} }], damaged: [] });
      const header = json.padEnd(Math.ceil(json.length / 8) * 8);
      const bytes = new Uint8Array(8 + header.length);
      bytes.set(new TextEncoder().encode(`FWF1    ${header}`));
      new DataView(bytes.buffer).setUint32(4, header.length, true);
      return new Response(bytes);
    });
    const back = new Backwards<number>(page, new Look(page), "exemplar_maps", ({ fields }) => (fields.odd ? null : (fields.of as number)));
    back.wanted = (of) => of === 0;
    for (let i = 0; i < 6; i++) {
      back.want();
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    expect([asked, back.found, back.loading, back.damaged]).toEqual([[3, 2], 0, false, true]);
    page.goTo(1);
    back.wanted = (of) => of === 7;
    for (let i = 0; i < 6; i++) {
      back.want();
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    expect([asked, back.found, back.loading]).toEqual([[3, 2, 1, 0], null, false]);
  });
});
