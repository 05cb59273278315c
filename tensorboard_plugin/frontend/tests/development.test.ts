import { afterEach, describe, expect, it, vi } from "vitest";
import type { DecodedArray, Frame } from "../src/api/types";
import { deadSince, evolutionOf, medianOver, orderColumns, scaleOf, turns, type Evolution } from "../src/model/developmentOf";
import { Evolutions } from "../src/model/evolutions.svelte";
import type { FilterRow } from "../src/model/filters";
import type { Page } from "../src/model/page.svelte";

const floats = (shape: number[], values: number[]): DecodedArray => ({ shape, values: Float32Array.from(values), table: null });
const ints = (...values: number[]): DecodedArray => ({ shape: [values.length], values: Int32Array.from(values), table: null });
const frame = (arrays: Record<string, DecodedArray>, fields = {}): Frame => ({ records: [{ kind: "development", layer: "conv1", epoch: 0, fields, arrays }], damaged: [] });

/** Columns: 0 dies at 2 and comes back at 4, 1 awakes at 1, 2 lives, 3 is not known at first. */
const dead = [[0, 1, 0, NaN], [0, 0, 0, NaN], [1, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]];
const values = [[1, 0, 4, NaN], [2, 3, 4, NaN], [0, 3, 5, 0], [0, 2, 5, 1], [7, 1, 4, 2]];
const evolution = (over: Partial<Evolution> = {}): Evolution => ({
  epochs: [0, 1, 2, 3, 9], filters: [0, 1, 2, 3], values: Float32Array.from(values.flat()), dead: Float32Array.from(dead.flat()), recorded: 5, ...over,
});

describe("the development of filters", () => {
  it("is read where its arrays fit each other", () => {
    const whole = { epochs: ints(0, 1), energy: floats([2, 2], [1, 2, 3, 4]), dead: floats([2, 2], [0, 0, 0, 1]) };
    expect(evolutionOf(frame(whole, { recorded: 7 }), "energy")).toMatchObject({ epochs: [0, 1], filters: [0, 1], recorded: 7 });
    expect(evolutionOf(frame({ ...whole, filters: ints(5, 9) }), "energy")!.filters).toEqual([5, 9]);
    expect(evolutionOf(frame({ ...whole, epochs: ints(0) }), "energy")).toBeNull();
    expect(evolutionOf(frame({ ...whole, dead: floats([1, 2], [0, 0]) }), "energy")).toBeNull();
    expect(evolutionOf(frame(whole), "bias")).toBeNull();
    expect(evolutionOf({ records: [], damaged: [] }, "energy")).toBeNull();
  });

  it("says when a filter died, came back, or was alive for the first time", () => {
    const of = evolution();
    expect(turns(of, 0)).toEqual([{ at: 2, kind: "died" }, { at: 4, kind: "revived" }]);
    expect(turns(of, 1)).toEqual([{ at: 1, kind: "awoke" }]);
    expect(turns(of, 2)).toEqual([]);
    expect(turns(of, 3)).toEqual([{ at: 3, kind: "awoke" }]); // nothing is known of it before
    expect([deadSince(of, 3, 0), deadSince(of, 4, 0), deadSince(of, 0, 1)]).toEqual([2, null, 0]);
  });

  it("is ordered as asked, what is not known last, ties by number", () => {
    const of = evolution();
    const row = (index: number, group: number, keep: number) => ({ index, group, keep }) as FilterRow;
    expect(orderColumns(of, "index", 0, [])).toEqual([0, 1, 2, 3]);
    expect(orderColumns(of, "now", 0, [])).toEqual([2, 0, 1, 3]);
    expect(orderColumns(of, "change", 0, [])).toEqual([0, 3, 1, 2]); // 6, 2, 1, 0
    const falling = Float32Array.from([...values.slice(0, 4), [7, 1, -5, 2]].flat());
    expect(orderColumns(evolution({ values: falling }), "change", 0, [])).toEqual([2, 0, 3, 1]); // 9, 6, 2, 1
    expect(orderColumns(of, "group", 0, [row(0, -1, 0), row(1, 0, 3), row(2, -1, 2), row(3, 0, 3)])).toEqual([3, 1, 0, 2]);
  });

  it("has one scale: shares from 0 to 1, signs about zero, energies by ratio where they differ much", () => {
    expect(scaleOf("active", evolution())).toMatchObject({ low: 0, high: 1, log: false });
    expect(scaleOf("energy", evolution())).toMatchObject({ low: 0, high: 7, log: false });
    const signed = evolution({ values: Float32Array.from(values.flat().map((value) => value - 4)) });
    expect(scaleOf("bias", signed)).toMatchObject({ low: -3, high: 3 });
    expect(scaleOf("bias", signed).colour(0)).toEqual([245, 245, 245]);
    const wide = evolution({ values: Float32Array.from(values.flat().map((value) => 10 ** value)), dead: new Float32Array(20) });
    const scale = scaleOf("energy", wide);
    expect(scale).toMatchObject({ low: 1, high: 1e7, log: true });
    expect(scale.colour(10 ** 3.5)).toEqual(scaleOf("active", wide).colour(0.5));
    expect(scaleOf("mean", evolution({ values: new Float32Array(20).fill(NaN) })).high).toBeGreaterThan(0);
  });

  it("has a median of the living", () => {
    expect(medianOver(evolution()).map(({ x, value }) => [x, value])).toEqual([[0, 4], [1, 3], [2, 5], [3, 2], [9, 4]]);
  });
});

describe("what is fetched of it", () => {
  afterEach(() => vi.unstubAllGlobals());
  const answer = (status: number): Response => new Response(status === 200 ? new ArrayBuffer(4) : "no such layer", { status });
  const page = (epochs: number) => ({ run: { run: "r", generation: "1", axis: "epochs" }, layer: "conv1", numbered: { era: -1, eras: [] }, recorded: () => Array(epochs).fill(0) }) as unknown as Page;

  it("is asked for once, and again where there is an epoch more; what fails is said", async () => {
    const asked: string[] = [];
    vi.stubGlobal("fetch", vi.fn(async (address: string) => (asked.push(address), answer(404))));
    const of = page(3);
    const store = new Evolutions(of);
    for (let i = 0; i < 3; i++) store.want("energy", [5]);
    await vi.waitFor(() => expect(store.reason).toBe("no such layer"));
    store.want("energy", [5]);
    expect(asked).toEqual(["./development?run=r&generation=1&kind=health&layer=conv1&field=energy&field=dead&filter=5"]);
    of.recorded = () => [0, 1, 2, 3];
    store.want("energy", [5]);
    await vi.waitFor(() => expect(asked).toHaveLength(2));
    expect(store.get("energy", [5])).toBeNull();
  });
});
