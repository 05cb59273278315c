import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { normaliseEvents } from "../src/api/events";
import type { RunEntry } from "../src/api/types";
import { happeningsOf } from "../src/model/happenings.svelte";
import { Page } from "../src/model/page.svelte";

describe("events of a log", () => {
  it("keep what is known of them", () => {
    const { events, counts } = normaliseEvents({
      events: [
        { kind: "forgotten", epoch: 7, layer: "", sample: 17, size: 0.83, rank: 0.97, before: 3, after: 5 },
        { kind: "split", epoch: 4, layer: "conv2", size: 140, rank: 0.4, from: [2], into: [2, 7] },
        { kind: "died", epoch: 6, layer: "conv2", filter: 3, size: 0.04, rank: 0.6 },
      ],
      counts: { forgotten: [[7, 12], [8, 3]] },
    });
    expect(events[0]).toEqual({ kind: "forgotten", epoch: 7, layer: "", sample: 17, filter: -1, size: 0.83, rank: 0.97, before: 3, after: 5, from: [], into: [] });
    expect(events[1]).toMatchObject({ kind: "split", sample: -1, from: [2], into: [2, 7] });
    expect(events[2]).toMatchObject({ kind: "died", sample: -1, filter: 3, size: 0.04 });
    expect(counts).toEqual({ forgotten: [[7, 12], [8, 3]] });
  });

  it("of a hostile log are brought into shape or left out, and are bounded", () => {
    const odd = [
      null, 5, {}, { kind: "constructor", epoch: 1, sample: 1 }, { kind: "flip", epoch: 1 }, { kind: "flip", epoch: -1, sample: 1 },
      { kind: "died", epoch: 1, sample: 1 }, { kind: "awoke", epoch: 1, filter: "3" }, { kind: "revived", epoch: -1, filter: 3 },
      { kind: "flip", epoch: "1", sample: 1 }, { kind: "jump", epoch: 1, sample: 1, size: "x", rank: 7, layer: { toString: 1 }, before: null, from: "x" },
      { kind: "born", epoch: 1, into: Array(1000).fill(1), from: [-1, "2", 1e99] },
    ];
    const { events } = normaliseEvents({ events: odd, counts: { __proto__: [[1, 2]], flip: [[1, "2"], [null, 1], [2, 3], 4] } });
    expect(events).toHaveLength(2);
    expect(events[0]).toMatchObject({ kind: "jump", size: NaN, rank: 1, layer: "", before: -1, from: [] });
    expect(events[1]!.into).toHaveLength(64);
    expect(events[1]!.from).toEqual([]);
    expect(normaliseEvents({ events: odd, counts: { flip: [[1, "2"], [2, 3], 4] } }).counts).toEqual({ flip: [[2, 3]] });
    expect(normaliseEvents({ events: Array(5000).fill({ kind: "flip", epoch: 1, sample: 1 }) }).events).toHaveLength(1000);
    expect(normaliseEvents("x")).toEqual({ events: [], counts: {}, problems: [] });
  });
});

describe("the events of the shown run", () => {
  const entry = (run: string, kinds: string[], updated = 1): RunEntry => ({
    run, name: run, generation: "1", updated, problems: [], epochs: [[0, 1]], series: Object.fromEntries(kinds.map((kind) => [kind, { "": 0 }])),
  });
  let page: Page;
  let answer: ReturnType<typeof vi.fn>;
  beforeEach(() => {
    answer = vi.fn(async () => new Response(JSON.stringify({ events: [{ kind: "flip", epoch: 1, sample: 4 }, { kind: "jump", epoch: 0, sample: 4 }, { kind: "flip", epoch: 1, sample: 5 }] })));
    vi.stubGlobal("fetch", answer);
    vi.stubGlobal("localStorage", { getItem: () => null, setItem: vi.fn() });
    page = new Page();
  });
  afterEach(() => vi.unstubAllGlobals());

  it("are asked for once, and again when the run has grown", async () => {
    page.runs = [entry("a", ["predictions", "events"])];
    const events = happeningsOf(page);
    events.want();
    events.want();
    await vi.waitFor(() => expect(events.ready).toBe(true));
    expect(answer).toHaveBeenCalledTimes(1);
    expect(events.ofSample(4).map(({ kind }) => kind)).toEqual(["jump", "flip"]);
    page.runs = [entry("a", ["predictions", "events"], 2)];
    events.want();
    page.runs = [entry("a", ["predictions", "events"], 3)];
    events.want();
    expect(answer).toHaveBeenCalledTimes(2); // one at a time
    await vi.waitFor(() => expect(answer).toHaveBeenCalledTimes(3)); // and once more, for it has grown
    await new Promise((done) => setTimeout(done, 20));
    expect(answer).toHaveBeenCalledTimes(3);
    expect(happeningsOf(page)).toBe(events);
  });

  it("of another run are not shown, and an old log is not asked", async () => {
    page.runs = [entry("a", ["predictions", "events"])];
    const events = happeningsOf(page);
    events.want();
    await vi.waitFor(() => expect(events.ready).toBe(true));
    page.runs = [entry("b", ["predictions"])];
    expect(events.answer.events).toEqual([]);
    events.want();
    expect([answer.mock.calls.length, events.recorded]).toEqual([1, false]);
    page.runs = [entry("c", ["predictions", "health"])]; // its filters may have died, but an older log does not tell
    expect([events.recorded, events.expected]).toEqual([true, false]);
  });

  it("are asked for on the axis that is shown", async () => {
    page.runs = [{ ...entry("a", ["predictions", "events"]), steps: { epochs: [[0, 100]], series: { predictions: { "": 0 }, events: { "": 0 } } } }];
    const events = happeningsOf(page);
    events.want();
    await vi.waitFor(() => expect(events.ready).toBe(true));
    page.selectAxis("steps");
    expect([events.ready, events.answer.events]).toEqual([false, []]);
    events.want();
    expect(answer.mock.calls.map(([address]) => String(address).includes("axis=steps"))).toEqual([false, true]);
  });

  it("that cannot be had say why", async () => {
    answer.mockImplementation(async () => new Response("no such route", { status: 404 }));
    page.runs = [entry("a", ["events"])];
    const events = happeningsOf(page);
    events.want();
    await vi.waitFor(() => expect(events.problem).toBe("no such route"));
  });
});
