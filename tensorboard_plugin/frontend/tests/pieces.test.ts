import { describe, expect, it, vi } from "vitest";
import { Lru } from "../src/api/lru";
import { normaliseRun } from "../src/api/normalise";
import { poll } from "../src/api/poll";
import { boundsOf, fit, keepBounds } from "../src/charts/bounds";
import { sortRows, type FilterKey, type FilterRow } from "../src/model/filters";
import { ago, amount, percent, seconds, short } from "../src/model/format";

describe("the cache", () => {
  it("forgets what was used longest ago, and never what was just put in", () => {
    const cache = new Lru<string>(10);
    cache.set("a", "A", 4);
    cache.set("b", "B", 4);
    cache.get("a");
    cache.set("c", "C", 4);
    expect(["a", "b", "c"].map((key) => cache.has(key))).toEqual([true, false, true]);
    cache.set("huge", "H", 99);
    expect([cache.size, cache.get("huge")]).toEqual([1, "H"]);
  });
});

describe("polling", () => {
  it("asks while visible only, and survives a failing answer", async () => {
    vi.useFakeTimers();
    let visible = true;
    const ask = vi.fn().mockRejectedValue(new Error("gone"));
    const stop = poll(ask, () => visible);
    await vi.advanceTimersByTimeAsync(2100);
    expect(ask).toHaveBeenCalledTimes(3);
    visible = false;
    await vi.advanceTimersByTimeAsync(5000);
    expect(ask).toHaveBeenCalledTimes(3);
    visible = true;
    await vi.advanceTimersByTimeAsync(300);
    expect(ask).toHaveBeenCalledTimes(4);
    stop();
    await vi.advanceTimersByTimeAsync(5000);
    expect(ask).toHaveBeenCalledTimes(4);
    vi.useRealTimers();
  });
});

describe("the window of an embedding", () => {
  const box = (size: number) => boundsOf(Float32Array.from([0, 0, size, size]))!;
  it("stays while points move inside it, and follows when they leave or shrink", () => {
    const first = keepBounds(null, box(10))!;
    expect(keepBounds(first, box(9))).toBe(first);
    expect(keepBounds(first, box(30))!.x1).toBeGreaterThan(30);
    expect(keepBounds(first, box(2))!.x1).toBeLessThan(5);
  });
  it("exists for one point, ignores what is not finite, and is none for no points", () => {
    const single = boundsOf(Float32Array.from([3, 4, NaN, 1, Infinity, 1]))!;
    expect(single.x1).toBeGreaterThan(single.x0);
    expect(Number.isFinite(fit(single, 100, 50).scale)).toBe(true);
    expect(boundsOf(new Float32Array(0))).toBeNull();
  });
});

describe("the table of filters", () => {
  const row = (index: number, energy: number, cause = ""): FilterRow => ({
    index, energy, cause, negative: 0, bias: NaN, scale: NaN, shift: NaN, active: 0, responsive: NaN, maximum: 0, minimum: 0, mean: 0, roughness: NaN,
    dead: cause !== "", proven: false, everAlive: true, group: -1, keep: index, factor: NaN, offset: NaN, residual: NaN, by: "", nearest: -1,
    likeness: NaN, terms: [], unexplained: NaN, removable: false,
  });
  const rows = [row(0, 2), row(1, NaN), row(2, 1, "no energy"), row(3, 2)];
  const order = (key: FilterKey, down: boolean) => sortRows(rows, key, down).map((entry) => entry.index);
  it("sorts either way, unknown last, ties by number", () => {
    expect(order("energy", false)).toEqual([2, 0, 3, 1]);
    expect(order("energy", true)).toEqual([0, 3, 2, 1]);
    expect(order("cause", false)).toEqual([2, 0, 1, 3]);
    expect(rows.map((entry) => entry.index)).toEqual([0, 1, 2, 3]);
  });
});

describe("what a log says of itself", () => {
  it("is brought into shape, whatever it is", () => {
    const run = normaliseRun({
      session: { layers: [{ name: "a", shape: [1, "x", null], path: "no" }, { name: "a" }, 5, { name: { toString: 1 } }], recorders: [], versions: null },
      probe: { labels: [1, "2", null, 1e300], class_names: [5, "<b>"], thumbnails: { width: -3 } },
      journal: ["text", { kind: 7, epoch: "1", text: "t" }],
      problems: null,
    });
    expect(run.session!.layers[0]).toMatchObject({ name: "a", shape: [1, null, null], path: [] });
    expect(run.session!.layers.filter((layer) => layer.name === "a")).toHaveLength(1);
    expect(run.probe).toMatchObject({ labels: [1, -1, -1, -1], class_names: ["5", "<b>"], thumbnails: null });
    expect(run.journal).toEqual([{ kind: "note", text: "" }, { kind: "7", text: "t" }]);
    expect(normaliseRun(null)).toEqual({ session: null, probe: null, journal: [], alerts: [], problems: [] });
    expect(normaliseRun("x")).toEqual({ session: null, probe: null, journal: [], alerts: [], problems: [] });
  });
});

describe("numbers as text", () => {
  it("has a dash for what is not known", () => {
    expect([percent(null), short(NaN), seconds(undefined)]).toEqual(["–", "–", "–"]);
  });
  it("has units", () => {
    expect([percent(0.615), seconds(0.0421), seconds(75), ago(3), ago(90)]).toEqual(["62 %", "42 ms", "1 min 15 s", "just now", "2 min ago"]);
    expect([0, 7056, 9999.6, 12_345, 999_600, 1_234_567, 3.858e9, null, NaN].map(amount)).toEqual(["0", "7,056", "10,000", "12 k", "1.0 M", "1.2 M", "3.9 G", "–", "–"]);
  });
});
