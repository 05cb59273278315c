import { flushSync } from "svelte";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { RunEntry } from "../src/api/types";
import { handleKey, pointed } from "../src/model/keys";
import { Page } from "../src/model/page.svelte";
import { stepMs, travelMs } from "../src/model/player";
import { DEFAULTS, parseSettings } from "../src/model/settings";

const entry = (newest: number, more: Partial<RunEntry> = {}): RunEntry => ({
  run: "r/featwatch", name: "r", generation: "1", updated: newest, problems: [],
  epochs: [Array.from({ length: newest + 1 }, (_, i) => i)],
  series: { predictions: { "": 0 }, embedding: { conv1: 0, conv2: 0 }, health: { conv1: 0 } },
  ...more,
});

let page: Page;
let cleanup: () => void;
beforeEach(() => {
  vi.stubGlobal("localStorage", { getItem: () => null, setItem: vi.fn() });
  cleanup = $root(() => (page = new Page()));
  page.runs = [entry(5)];
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

/** Runs `make` outside of a component. */
function $root(make: () => void): () => void {
  make();
  return () => undefined;
}

describe("the playhead", () => {
  it("follows the newest epoch until it is touched", () => {
    expect(page.epoch).toBe(5);
    page.runs = [entry(6)];
    flushSync();
    expect([page.epoch, page.following, page.newer]).toEqual([6, true, 0]);
  });

  it("keeps its place when data arrive, and the pill counts them", () => {
    page.move(-1);
    page.runs = [entry(8)];
    expect([page.epoch, page.following, page.newer]).toEqual([4, false, 3]);
    page.move(-1);
    expect([page.epoch, page.newer]).toEqual([3, 3]);
    page.goLive();
    expect([page.epoch, page.following, page.newer]).toEqual([8, true, 0]);
  });

  it("counts as seen what it has passed", () => {
    page.move(-1);
    page.runs = [entry(8)];
    page.goTo(7);
    expect(page.newer).toBe(1);
  });

  it("does not follow into epochs that are still being analysed", () => {
    page.runs = [entry(5, { epochs: [[0, 1, 2, 3, 4, 5], [0, 1, 2, 3]], series: { predictions: { "": 0 }, embedding: { conv1: 1, conv2: 1 } } })];
    expect([page.newest, page.epoch, page.pending]).toEqual([3, 3, [4, 5]]);
    page.goTo(5);
    expect(page.epoch).toBe(5);
  });

  it("stands at the nearest epoch where its own is gone after a restart", () => {
    page.goTo(4);
    page.runs = [entry(1, { generation: "2" })];
    expect(page.epoch).toBe(1);
  });
});

describe("what is chosen", () => {
  it("is the last layer at first, and stays where the next run has it too", () => {
    expect(page.layer).toBe("conv2");
    page.selectLayer("conv1");
    expect(page.layer).toBe("conv1");
    page.runs = [entry(2, { run: "other", series: { embedding: { conv9: 0 } } })];
    expect(page.layer).toBe("conv9");
  });
  it("leaves out views that have nothing yet", () => {
    expect(page.tabs).toEqual(["overview", "samples", "filters", "prune"]);
    page.runs = [entry(2, { series: { predictions: { "": 0 } } })];
    page.settings.tab = "filters";
    expect([page.tabs, page.tab]).toEqual([["overview"], "overview"]);
  });
  it("toggles samples, adds with shift, and survives a change of epoch and layer", () => {
    page.selectSample(3, false);
    page.selectSample(7, true);
    page.move(-1);
    page.selectLayer("conv1");
    expect(page.samples).toEqual([3, 7]);
    page.selectSample(3, true);
    expect(page.samples).toEqual([7]);
    page.selectSample(7, false);
    expect(page.samples).toEqual([]);
  });
  it("shows the newest run while the wanted one is not there, and stays once something was chosen in it", () => {
    page.settings.run = "late";
    page.runs = [entry(1), entry(9, { run: "b" })];
    expect(page.run?.run).toBe("b");
    page.runs = [...page.runs, entry(0, { run: "late" })];
    expect(page.run?.run).toBe("late");
    page.settings.run = "never";
    page.move(-1);
    page.runs = [...page.runs, entry(0, { run: "never" })];
    expect(page.run?.run).toBe("b");
  });
});

describe("keys", () => {
  const press = (key: string, more = {}) => handleKey(page, { key, target: null, ...more } as unknown as KeyboardEvent);
  it("step, jump and play", () => {
    vi.stubGlobal("HTMLElement", class {});
    vi.stubGlobal("HTMLButtonElement", class {});
    press("ArrowLeft");
    expect(page.epoch).toBe(4);
    press("Home");
    expect(page.epoch).toBe(0);
    press("End");
    expect([page.epoch, page.following]).toEqual([5, false]);
    press(" ");
    expect(page.playing).toBe(true);
    press("ArrowRight");
    expect(page.playing).toBe(false);
    press("ArrowUp");
    expect(page.layer).toBe("conv1");
    press("2");
    expect(page.tab).toBe("samples");
    expect([press("s"), page.settings.tool, press("s"), page.settings.tool]).toEqual([true, "rectangle", true, "circle"]);
    page.set("tool", "lasso");
    expect([press("s"), page.settings.tool]).toEqual([true, "move"]);
    page.set("tab", "overview");
    expect(press("s")).toBe(false);
    expect(press("x")).toBe(false);
    expect(press("ArrowLeft", { ctrlKey: true })).toBe(false);
  });
});

describe("space", () => {
  it("plays after a click on a button, and presses a button that was reached with Tab", () => {
    class Button {}
    vi.stubGlobal("HTMLElement", class {});
    vi.stubGlobal("HTMLButtonElement", Button);
    const press = (key: string) => handleKey(page, { key, target: new Button() } as unknown as KeyboardEvent);
    page.playing = false;
    pointed();
    expect([press("Home"), press(" "), page.playing]).toEqual([true, true, true]);
    expect([press("Tab"), press(" "), page.playing]).toEqual([false, false, true]);
    pointed();
    expect([press(" "), page.playing]).toEqual([true, false]);
  });
});

describe("playing", () => {
  it("shows at most eight epochs a second and lets points travel where there are few", () => {
    expect(stepMs(10)).toBe(450);
    expect(stepMs(1000)).toBe(125);
    expect(travelMs(1000, true)).toBe(125);
    expect(travelMs(1000, false)).toBe(400);
  });
});

describe("stored settings", () => {
  it("that do not fit fall back to the defaults", () => {
    expect(parseSettings(null)).toEqual(DEFAULTS);
    expect(parseSettings("{not json")).toEqual(DEFAULTS);
    expect(parseSettings('{"toGrid":7,"imageSize":"2","tool":"__proto__","regionStyle":null,"trails":true}')).toEqual(DEFAULTS);
    expect(parseSettings('{"toGrid":0.4,"imageSize":2,"tool":"lasso"}')).toEqual({ ...DEFAULTS, toGrid: 0.4, imageSize: 2, tool: "lasso" });
    expect(parseSettings('{"tab":"<b>","epoch":"7","run":5,"colourBy":"cluster"}')).toEqual({ ...DEFAULTS, colourBy: "cluster" });
  });
});
