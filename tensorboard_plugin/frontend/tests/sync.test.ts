import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { RunEntry } from "../src/api/types";
import { Frames } from "../src/model/frames.svelte";
import { Page } from "../src/model/page.svelte";
import { Sync } from "../src/model/sync";

const entry = (run: string, newest: number, more: Partial<RunEntry> = {}): RunEntry => ({
  run, name: run, generation: "1", updated: newest, problems: [],
  epochs: [Array.from({ length: newest + 1 }, (_, i) => i), [0]],
  series: { predictions: { "": 0 }, embedding: { conv1: 0 }, session: { "": 1 } },
  ...more,
});

/** A server whose index says `runs`; every request is noted. */
class Server {
  runs: RunEntry[] = [];
  asked: string[] = [];
  down = false;
  /** Answers by route; the rest is 404. */
  routes: Record<string, (query: URLSearchParams) => Response | Promise<Response>> = {
    index: (query) => Response.json(query.get("etag") === this.etag ? { etag: this.etag, runs: null } : { etag: this.etag, version: "1", runs: this.runs }),
    run: () => Response.json({ session: { layers: [{ name: "conv1" }] }, probe: { count: 2, labels: [0, 1] }, journal: [], problems: [] }),
    numbers: (query) => Response.json({
      until: 7 + Number(query.get("after")),
      series: [{ kind: "separation", layer: "conv1", epochs: [0], values: { knn_accuracy: [Number(query.get("generation"))] } }],
    }),
  };
  get etag(): string {
    return JSON.stringify(this.runs);
  }
  fetch = async (address: string): Promise<Response> => {
    if (this.down) throw new TypeError("failed to fetch");
    const [route = "", query = ""] = address.replace("./", "").split("?");
    this.asked.push(address);
    return this.routes[route]?.(new URLSearchParams(query)) ?? new Response("not here", { status: 404 });
  };
  count(part: string): number {
    return this.asked.filter((address) => address.includes(part)).length;
  }
}

let server: Server;
beforeEach(() => {
  server = new Server();
  vi.stubGlobal("fetch", server.fetch);
  vi.stubGlobal("localStorage", { getItem: () => null, setItem: () => undefined });
});
afterEach(() => vi.unstubAllGlobals());
const signal = new AbortController().signal;
const settle = () => new Promise((resolve) => setTimeout(resolve, 5));

describe("keeping up with the log", () => {
  let page: Page;
  let sync: Sync;
  beforeEach(() => {
    page = new Page();
    sync = new Sync(page);
    server.runs = [entry("a", 2)];
  });

  it("asks for nothing but the index while nothing is new, and then for what is newer", async () => {
    await sync.round(signal);
    expect([page.epoch, page.layer, page.numbers.at("separation", "conv1", "knn_accuracy", 0)]).toEqual([2, "conv1", 1]);
    const before = server.asked.length;
    await sync.round(signal);
    expect(server.asked.length).toBe(before + 1);
    server.runs = [entry("a", 3)];
    await sync.round(signal);
    expect(server.asked.at(-1)).toContain("after=7");
    expect(server.count("./run?")).toBe(1);
  });

  it("forgets numbers and facts of a generation that is over", async () => {
    await sync.round(signal);
    page.goTo(1);
    page.numbers.merge({ until: 0, series: [{ kind: "separation", layer: "conv1", epochs: [2], values: { knn_accuracy: [0.9] } }] });
    server.runs = [entry("a", 0, { generation: "2" })];
    await sync.round(signal);
    expect(page.numbers.at("separation", "conv1", "knn_accuracy", 2)).toBeNull();
    expect(page.numbers.at("separation", "conv1", "knn_accuracy", 0)).toBe(2);
    expect(server.asked.at(-1)).toContain("generation=2");
    expect(page.epoch).toBe(0);
  });

  it("stays with the run that is shown when a newer one turns up", async () => {
    await sync.round(signal);
    server.runs = [entry("a", 2), entry("b", 99)];
    await sync.round(signal);
    expect(page.run?.run).toBe("a");
  });

  it("follows the other run where the one that was shown is gone", async () => {
    await sync.round(signal);
    page.goTo(1);
    page.selectSample(1, false);
    server.runs = [entry("b", 9)];
    await sync.round(signal);
    expect([page.run?.run, page.epoch, page.samples]).toEqual(["b", 9, []]);
  });

  it("says that the connection is lost, and that it is back", async () => {
    await sync.round(signal);
    server.down = true;
    await sync.round(signal);
    expect([page.connection, page.epoch]).toEqual(["lost", 2]);
    server.down = false;
    await sync.round(signal);
    expect(page.connection).toBe("ok");
  });

  it("a stale generation is no lost connection: the next index says what is there", async () => {
    server.routes.numbers = () => new Response("over", { status: 409 });
    await sync.round(signal);
    expect(page.connection).toBe("ok");
  });
});

describe("records with arrays", () => {
  const at = { run: "a", generation: "1" };
  const answer = (query: URLSearchParams) => {
    const records = query.getAll("layer").filter((layer) => layer !== "gone").map((layer) => ({
      kind: query.get("kind"), layer, epoch: Number(query.get("epoch")), fields: {}, arrays: {},
    }));
    const json = new TextEncoder().encode(JSON.stringify({ records, damaged: [] }));
    const padded = new Uint8Array(8 + Math.ceil(json.length / 8) * 8).fill(32);
    padded.set(new TextEncoder().encode("FWF1"));
    new DataView(padded.buffer).setUint32(4, padded.length - 8, true);
    padded.set(json, 8);
    return new Response(padded);
  };

  it("are asked for once, and what is missing in the answer is said", async () => {
    server.routes.records = answer;
    const frames = new Frames();
    frames.ensure("view", at, "embedding", 1, ["conv1", "gone"]);
    await settle();
    expect(frames.get(at, "embedding", 1, "conv1")?.state).toBe("ready");
    expect(frames.get(at, "embedding", 1, "gone")?.state).toBe("damaged");
    frames.ensure("view", at, "embedding", 1, ["conv1", "gone"]);
    await settle();
    expect(server.count("records")).toBe(1);
    frames.retry();
    frames.ensure("view", at, "embedding", 1, ["conv1", "gone"]);
    await settle();
    expect(server.asked.at(-1)).not.toContain("conv1");
  });

  it("of the other layers come where one is refused", async () => {
    server.routes.records = (query) => (query.getAll("layer").includes("bad") ? new Response("no such layer", { status: 400 }) : answer(query));
    const frames = new Frames();
    frames.ensure("view", at, "embedding", 1, ["conv1", "bad", "conv2"]);
    await settle();
    expect(["conv1", "bad", "conv2"].map((layer) => frames.get(at, "embedding", 1, layer)?.state)).toEqual(["ready", "damaged", "ready"]);
  });

  it("that are damaged are listed, each once, for their session", async () => {
    const frames = new Frames();
    server.routes.records = () => {
      const json = '{"records":[],"damaged":[{"layer":"conv1","reason":"checksum"}]}'.padEnd(72);
      const bytes = new Uint8Array(8 + json.length);
      bytes.set(new TextEncoder().encode("FWF1    " + json));
      new DataView(bytes.buffer).setUint32(4, json.length, true);
      return new Response(bytes);
    };
    for (const slot of ["one", "two"]) frames.ensure(slot, at, "health", 4, ["conv1"]);
    await settle();
    expect(frames.get(at, "health", 4, "conv1")).toEqual({ state: "damaged", reason: "checksum" });
    expect(frames.damages(at)).toEqual(["health of conv1 at epoch 4: checksum"]);
    expect(frames.damages({ run: "a", generation: "2" })).toEqual([]);
  });

  it("while one request is under way only the latest wish is kept", async () => {
    let release = () => {};
    const gate = new Promise<void>((resolve) => (release = resolve));
    server.routes.records = async (query) => (await gate, answer(query));
    const frames = new Frames();
    for (const epoch of [1, 2, 3, 4]) frames.ensure("view", at, "embedding", epoch, ["conv1"]);
    release();
    await settle();
    expect(server.asked.map((address) => /epoch=(\d)/.exec(address)![1])).toEqual(["1", "4"]);
    expect(frames.get(at, "embedding", 4, "conv1")?.state).toBe("ready");
  });

  it("of a stale generation leave no trace, a refusal leaves its reason", async () => {
    const frames = new Frames();
    server.routes.records = () => new Response("over", { status: 409 });
    frames.ensure("view", at, "embedding", 1, ["conv1"]);
    await settle();
    expect(frames.get(at, "embedding", 1, "conv1")).toBeUndefined();
    server.routes.records = () => new Response("nothing of that kind", { status: 404 });
    frames.ensure("view", at, "embedding", 1, ["conv1"]);
    await settle();
    expect(frames.get(at, "embedding", 1, "conv1")).toEqual({ state: "damaged", reason: "nothing of that kind" });
  });

  it("never answer for another generation", async () => {
    server.routes.records = answer;
    const frames = new Frames();
    frames.ensure("view", at, "embedding", 1, ["conv1"]);
    await settle();
    expect(frames.get({ run: "a", generation: "2" }, "embedding", 1, "conv1")).toBeUndefined();
  });

  it("send names as data, whatever is in them", async () => {
    server.routes.records = answer;
    const frames = new Frames();
    const evil = "x&kind=session#?/../\"<b>";
    frames.ensure("view", at, "embedding", 1, [evil]);
    await settle();
    expect(new URLSearchParams(server.asked[0]!.split("?").slice(1).join("?")).getAll("layer")).toEqual([evil]);
    expect(frames.get(at, "embedding", 1, evil)?.state).toBe("ready");
  });
});
