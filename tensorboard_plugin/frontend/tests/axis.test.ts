import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { normaliseIndex, normaliseNumbers } from "../src/api/normalise";
import type { RunEntry } from "../src/api/types";
import { axesOf, chosenAxis, onAxis } from "../src/model/axis";
import { handleKey } from "../src/model/keys";
import { Page } from "../src/model/page.svelte";
import { Sync } from "../src/model/sync";

const steps = { epochs: [[0, 200, 400]], series: { separation: { conv1: 0 } } };
const both: RunEntry = {
  run: "r", name: "r", generation: "1", updated: 1, problems: [], epochs: [[0, 1]],
  series: { predictions: { "": 0 }, epoch: { "": 0 }, health: { conv1: 0 } }, steps,
};
const stepsOnly: RunEntry = { ...both, series: { epoch: { "": 0 }, session: { "": 0 } } };

describe("the axes of a run", () => {
  it("are those on which there are snapshots; what was asked for where it is one of them", () => {
    expect([axesOf(both), axesOf(stepsOnly), axesOf({ ...both, steps: null }), axesOf(null)]).toEqual([["epochs", "steps"], ["steps"], ["epochs"], ["epochs"]]);
    expect([chosenAxis(both, null), chosenAxis(both, "steps"), chosenAxis(stepsOnly, "epochs"), chosenAxis({ ...both, steps: null }, "steps")])
      .toEqual(["epochs", "steps", "steps", "epochs"]);
    expect(onAxis(both, "steps")).toMatchObject({ axis: "steps", epochs: steps.epochs, series: steps.series });
  });
});

describe("the page", () => {
  let page: Page;
  const asked: string[] = [];
  beforeEach(() => {
    asked.length = 0;
    vi.stubGlobal("HTMLElement", class {});
    vi.stubGlobal("HTMLButtonElement", class {});
    vi.stubGlobal("localStorage", { getItem: () => null, setItem: vi.fn() });
    vi.stubGlobal("fetch", async (address: string) => {
      asked.push(address);
      if (address.includes("index")) return Response.json({ etag: "1", runs: [both] });
      if (address.includes("numbers")) {
        const on = new URLSearchParams(address.split("?")[1]).get("axis") ?? "epochs";
        const series = [{ kind: "separation", layer: "conv1", epochs: on === "steps" ? [200] : [1], values: { knn_accuracy: [on === "steps" ? 0.2 : 0.1] } }];
        return Response.json({ until: 5, series });
      }
      return Response.json({ session: { layers: [{ name: "conv1" }] }, probe: null, journal: [], alerts: [], problems: [] });
    });
    page = new Page();
  });
  afterEach(() => vi.unstubAllGlobals());

  it("shows the numbers and records of the axis that was chosen, and goes back to where it stood", async () => {
    const sync = new Sync(page);
    await sync.round(new AbortController().signal);
    expect([page.axis, page.unit, page.epochs, page.epoch]).toEqual(["epochs", "epoch", [0, 1], 1]);
    page.goTo(0);
    page.selectAxis("steps");
    await sync.refresh();
    expect([page.unit, page.epochs, page.epoch]).toEqual(["step", [0, 200, 400], 400]);
    expect(page.numbers.at("separation", "conv1", "knn_accuracy", 200)).toBe(0.2);
    expect(page.numbers.at("separation", "conv1", "knn_accuracy", 1)).toBeNull();
    expect(page.tables.epochs.at("separation", "conv1", "knn_accuracy", 1)).toBe(0.1);
    page.selectAxis("epochs");
    expect([page.epoch, page.following]).toEqual([0, false]);
    page.selectAxis("steps");
    expect([page.epoch, page.following]).toEqual([400, true]);
  });

  it("asks for what is recorded by step with the axis, for the session without", async () => {
    page.settings.axis = "steps";
    await new Sync(page).round(new AbortController().signal);
    expect(asked.filter((address) => address.includes("axis=steps")).every((address) => address.includes("numbers"))).toBe(true);
    expect(asked.filter((address) => address.includes("./run?")).every((address) => !address.includes("axis"))).toBe(true);
    page.frames.ensure("view", page.run!, "separation", 200, ["conv1"]);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(asked.at(-1)).toContain("axis=steps");
    const get = (axis: "epochs" | "steps") => page.frames.get({ ...page.run!, axis }, "separation", 200, "conv1");
    expect([get("steps")?.state, get("epochs")]).toEqual(["damaged", undefined]); // what stands at step 200 is not of epoch 200
  });

  it("opens and closes the sheet of keys, which lets no other key through", () => {
    page.runs = [both];
    const press = (key: string) => handleKey(page, { key, target: null } as unknown as KeyboardEvent);
    press("?");
    expect([page.sheet, press("ArrowLeft"), page.epoch]).toEqual([true, false, 1]);
    press("Escape");
    expect(page.sheet).toBe(false);
    press("/");
    expect(page.finding).toBe(true);
  });
});

describe("an index and numbers", () => {
  it("are brought into shape, whatever they are", () => {
    const index = normaliseIndex({
      etag: 5, runs: [
        { run: "a", epochs: [[0, "1", 2.5, 3], "x"], series: { health: { conv1: 0, conv2: 9, conv3: "length" }, embedding: null }, steps: { epochs: null } },
        null, { run: { toString: 1 } },
      ],
    });
    expect(index.runs).toHaveLength(1);
    expect(index.runs![0]).toMatchObject({ name: "a", epochs: [[0, 3], []], series: { health: { conv1: 0 }, embedding: {} }, steps: { epochs: [], series: {} } });
    expect(index.runs![0]!.series).toEqual({ health: { conv1: 0 }, embedding: {} });
    expect(normaliseIndex(null).runs).toBeNull();
    expect(normaliseNumbers({ series: [{ kind: "a", layer: "b", epochs: [0, 1], values: { x: [1, "2", 3], y: null } }, null] }).series).toEqual([
      { kind: "a", layer: "b", epochs: [0, 1], values: { x: [1, null], y: [null, null] } }, { kind: "", layer: "", epochs: [], values: {} },
    ]);
  });
});
