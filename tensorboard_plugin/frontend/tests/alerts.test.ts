import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { normaliseRun } from "../src/api/normalise";
import type { Alert, FrameRecord, RunEntry } from "../src/api/types";
import { alertMarks, alertsByLayer, checks, filterViewOf, jump, openAlerts, prunable, resolvedAlerts } from "../src/model/alerts";
import { costOf } from "../src/model/cost";
import { handleKey } from "../src/model/keys";
import { Page } from "../src/model/page.svelte";

const alert = (more: Partial<Alert>): Alert => ({
  id: "a", kind: "dead filters", severity: "warning", layer: "conv1", filters: [], since: 1, raised: 3, updated: 4, resolved: -1,
  text: "t", suggestion: "", evidence: {}, savings: null, view: "filters", ...more,
});

describe("alerts", () => {
  const some = [
    alert({ id: "advice", severity: "advice" }), alert({ id: "over", severity: "critical", resolved: 5 }),
    alert({ id: "w1" }), alert({ id: "bad", severity: "critical", since: 2, raised: 2, layer: "" }), alert({ id: "w2" }),
  ];

  it("come in order of consequence, what is over apart", () => {
    expect(openAlerts(some).map(({ id }) => id)).toEqual(["bad", "w1", "w2", "advice"]);
    expect(resolvedAlerts(some).map(({ id }) => id)).toEqual(["over"]);
  });

  it("that are alike are in the order of what they waste, after what is not about waste", () => {
    const saves = (id: string, ofParameters: number | null, ofMultiplyAdds: number | null) =>
      alert({ id, severity: "advice", savings: { parameters: 1, multiplyAdds: 1, ofParameters, ofMultiplyAdds, leavesOut: "" } });
    const order = openAlerts([saves("little", 0.01, null), saves("much", 0.02, 0.3), saves("unknown", null, null), alert({ id: "noisy", severity: "advice" }), alert({ id: "bad" })]);
    expect(order.map(({ id }) => id)).toEqual(["bad", "noisy", "much", "little", "unknown"]);
  });

  it("say together what pruning would save, each filter once, of the layers that were counted", () => {
    const savings = { parameters: 1, multiplyAdds: 1, ofParameters: null, ofMultiplyAdds: null, leavesOut: "" };
    const layer = (name: string, more: object) => ({ name, parameters: 100, multiply_adds: 1000, filter_parameters: 10, filter_multiply_adds: 50, ...more });
    const { layers } = normaliseRun({ session: { layers: [layer("conv1", {}), layer("conv2", {}), layer("out", { filter_parameters: -1 })] } }).session!;
    const open = [
      alert({ id: "1", filters: [0, 1], savings }), alert({ id: "2", filters: [1, 2], savings }), alert({ id: "3", layer: "conv2", filters: [7], savings }),
      alert({ id: "4", filters: [9], savings, resolved: 3 }), alert({ id: "5", filters: [8] }), alert({ id: "6", layer: "out", filters: [1], savings }),
    ];
    expect(prunable(open, layers)).toEqual({ filters: 4, parameters: 40, multiplyAdds: 200, ofParameters: 40 / 300, ofMultiplyAdds: 200 / 3000 });
    expect(prunable(open.slice(3), layers)).toBeNull();
    const uncounted = normaliseRun({ session: { layers: [layer("conv1", {}), layer("odd", { multiply_adds: -1 })] } }).session!.layers;
    expect(prunable(open, uncounted)).toMatchObject({ filters: 3, ofParameters: 30 / 200, ofMultiplyAdds: 150 / 1000 });
  });

  it("give their evidence in words, and what they would save apart from it", () => {
    const evidence = {
      dead: 3, share: 0.375, causes: { "dead inputs": 1, "negative bias": 2 }, groups: [[1, 4], [2, 6, 7]], energy: 0.0123456, missing: null,
      parameters: 1000, multiply_adds: 70560, share_of_parameters: 0.12, share_of_multiply_adds: 0.031,
    };
    const [found] = normaliseRun({ alerts: [{ text: "t", evidence }] }).alerts;
    expect(found!.evidence).toEqual({ dead: "3", share: "37.5 %", causes: "2 negative bias, 1 dead inputs", groups: "(1, 4), (2, 6, 7)", energy: "0.0123", missing: "not known" });
    expect(found!.savings).toEqual({ parameters: 1000, multiplyAdds: 70560, ofParameters: 0.12, ofMultiplyAdds: 0.031, leavesOut: "" });
    const said = (suggestion: string, more = {}) => normaliseRun({ alerts: [{ text: "t", suggestion, evidence: more }] }).alerts[0]!.suggestion;
    const advice = "Lower the rate. Prune them, which saves 628 parameters (0.9 %) and 111,744 multiply-adds (8.7 %): it changes no output.";
    expect([said(advice, evidence), said(advice)]).toEqual(["Lower the rate. Prune them: it changes no output.", advice]);
    const doubles = [{ stays: 3, go: [5, 7], factors: [1.234, -0.5], residual: 0.012, by: ["both"] }, { stays: "x" }];
    const sums = [{ goes: 9, terms: [3, 7], coefficients: [0.5, -2], residual: 0.018 }];
    const [telling] = normaliseRun({ alerts: [{ text: "t", evidence: { groups: doubles, sums, parameters: 9, saving_note: "its output is added to others'" } }] }).alerts;
    expect(telling!.evidence).toEqual({ groups: "5 = 1.23 × 3, 7 = −0.5 × 3, to within 1.2 %\nstays x", sums: "9 = 0.5 × 3 − 2 × 7, to within 1.8 %" });
    expect(telling!.savings).toMatchObject({ parameters: 9, multiplyAdds: null, leavesOut: "its output is added to others'" });
    const [unknown] = normaliseRun({ alerts: [{ text: "t", evidence: { parameters: -1, multiply_adds: "many" } }] }).alerts;
    expect(unknown!.savings).toBeNull();
  });

  it("are counted by layer, with the worst", () => {
    expect(alertsByLayer(some).get("conv1")).toMatchObject({ count: 3, worst: "warning" });
    expect(alertsByLayer(some).get("")).toMatchObject({ count: 1, worst: "critical" });
  });

  it("mark where they began and where they were raised, once an epoch, the worst in front", () => {
    expect(alertMarks(some).map(({ epoch, raised, severity, texts }) => [epoch, raised, severity, texts.length])).toEqual([
      [1, false, "critical", 4], [2, true, "critical", 1], [3, true, "critical", 4],
    ]);
  });

  it("say what is looked for, no more than was recorded", () => {
    expect(checks(() => false)).toEqual([]);
    expect(checks((kind) => kind === "separation")).toEqual(["collapse of separation", "redundant layers"]);
  });

  it("of a hostile log are brought into shape, each id once", () => {
    const raw = [
      { text: "<b>x</b>", severity: "fatal", filters: [1, -1, "2", 1, 1e400], since: "3", evidence: { n: 0.123456, deep: { a: [1] }, list: Array(99).fill(1) }, view: 7 },
      { id: "same", text: "1" }, { id: "same", text: "2" }, {}, "text", null, [],
    ];
    const { alerts } = normaliseRun({ alerts: raw });
    expect(alerts).toHaveLength(2);
    expect(alerts[0]).toMatchObject({ text: "<b>x</b>", severity: "advice", filters: [1], since: 0, raised: 0, resolved: -1, view: "7" });
    expect(alerts[0]!.evidence.n).toBe("0.123");
    expect(alerts[0]!.evidence.list).toMatch(/, …$/);
    expect(normaliseRun({ alerts: 5 }).alerts).toEqual([]);
  });
});

describe("a jump", () => {
  const entry: RunEntry = {
    run: "r", name: "r", generation: "1", updated: 1, problems: [], epochs: [[0, 1, 2, 3, 4]],
    series: { predictions: { "": 0 }, health: { conv1: 0, conv2: 0 } },
    steps: { epochs: [[0, 100]], series: { separation: { conv1: 0 } } },
  };
  let page: Page;
  beforeEach(() => {
    vi.stubGlobal("HTMLElement", class {});
    vi.stubGlobal("HTMLButtonElement", class {});
    vi.stubGlobal("localStorage", { getItem: () => null, setItem: vi.fn() });
    page = new Page();
    page.runs = [entry];
    page.info = normaliseRun({ session: { layers: [{ name: "conv1" }, { name: "conv2" }] } });
  });
  afterEach(() => vi.unstubAllGlobals());

  it("shows the layer, the epoch, the view and the filters", () => {
    page.playing = true;
    jump(page, alert({ layer: "conv1", filters: [3, 7], updated: 2 }));
    expect([page.layer, page.epoch, page.tab, page.filters, page.playing]).toEqual(["conv1", 2, "filters", [3, 7], false]);
  });

  it("shows filters in the view that tells what the alert is about, where there is a record for it", () => {
    const all = () => true;
    expect(["dead filters", "redundant filters", "negligible energy"].map((kind) => filterViewOf(kind, all))).toEqual(["health", "health", "health"]);
    expect(["saturated units", "linear activation", "noisy kernels"].map((kind) => filterViewOf(kind, all))).toEqual(["histograms", "histograms", "kernels"]);
    expect(filterViewOf("noisy kernels", () => false)).toBe("health");
    expect([filterViewOf("x", all, "development"), filterViewOf("x", all, "no such view")]).toEqual(["development", "health"]);
    jump(page, alert({ kind: "noisy kernels", view: "filters" }));
    expect(page.settings.filterView).toBe("health"); // this run has no kernels
    jump(page, alert({ view: "filters/development" }));
    expect([page.tab, page.settings.filterView]).toEqual(["filters", "development"]);
  });

  it("goes to epochs from the axis of steps, for alerts speak of them", () => {
    page.selectAxis("steps");
    jump(page, alert({ updated: 3 }));
    expect([page.axis, page.epoch]).toEqual(["epochs", 3]);
  });

  it("to what is not there stays where it is", () => {
    jump(page, alert({ layer: "gone", filters: [1], view: "<b>" }));
    expect([page.layer, page.tab, page.filters]).toEqual(["conv2", "overview", []]);
  });

  it("goes from one to the next with the brackets, round the end", () => {
    page.info = { ...page.info!, alerts: [alert({ id: "1" }), alert({ id: "2", severity: "critical" }), alert({ id: "3", resolved: 4 })] };
    const press = (key: string) => handleKey(page, { key, target: null } as unknown as KeyboardEvent);
    const seen = ["]", "]", "]", "["].map((key) => (press(key), page.alert));
    expect(seen).toEqual(["2", "1", "2", "1"]);
    page.info = { ...page.info, alerts: [] };
    expect(press("]")).toBe(true);
  });
});

describe("the cost", () => {
  const record = (fields: Record<string, unknown>): FrameRecord => ({ kind: "epoch", layer: "", epoch: 1, fields, arrays: {} });
  it("is a table, what holds up training first", () => {
    const cost = costOf(record({
      elapsed_seconds: 10,
      cost: { writing: { blocked_seconds: 0.1, computed_seconds: 9, bytes: 0 }, feature_images: { blocked_seconds: 2, computed_seconds: 2, bytes: 500 } },
    }))!;
    expect(cost.rows.map(({ name }) => name)).toEqual(["feature images", "writing"]);
    expect(cost.total).toEqual({ name: "all", blocked: 2.1, computed: 11, bytes: 500 });
    expect(cost.elapsed).toBe(10);
  });
  it("adds up to what training waited for: what no recorder accounts for is a line of its own", () => {
    const one = record({ cost: { a: { blocked_seconds: 2, computed_seconds: 2, bytes: 1 } } });
    expect(costOf(one, 2.5)!.rows.map(({ name, blocked }) => [name, blocked])).toEqual([["a", 2], ["the rest", 0.5]]);
    expect(costOf(one, 2.5)!.total.blocked).toBe(2.5);
    expect(costOf(one, 1)!.total.blocked).toBe(2);
  });
  it("is none where nothing was measured or it is no table", () => {
    for (const cost of [undefined, null, {}, [], "x", 5]) expect(costOf(record({ cost }))).toBeNull();
    expect(costOf(record({ cost: { a: { blocked_seconds: null, computed_seconds: -1, bytes: "9" }, b: 3 } }))!.rows).toEqual([{ name: "a", blocked: 0, computed: 0, bytes: 0 }]);
  });
});
