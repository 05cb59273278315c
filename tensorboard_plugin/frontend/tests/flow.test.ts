import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { normaliseEvents, type EventKind } from "../src/api/events";
import type { FrameRecord, NumericArray, RunEntry } from "../src/api/types";
import { normaliseRun } from "../src/api/normalise";
import { clustersOf, noiseOf } from "../src/model/clusters";
import { chosenEvents, jumpTo, kindsOf, perEpoch, sizeInWords, subjectOf, subjectsInWords } from "../src/model/eventList";
import { countsOf, flowOf, MOST_BANDS, NOISE, SMALL } from "../src/model/flow";
import { Page } from "../src/model/page.svelte";

const moment = (epoch: number, ...runs: [identity: number, count: number][]) => ({
  epoch, identities: Int32Array.from(runs.flatMap(([identity, count]) => Array<number>(count).fill(identity))),
});

describe("the flow of clusters", () => {
  // 40 of 0 come apart into 0 and 5; 1 stays; 2 goes over into 1; the rest is noise.
  const flow = flowOf([
    moment(3, [0, 40], [1, 30], [2, 20], [-1, 10]),
    moment(4, [0, 25], [5, 15], [1, 30], [1, 20], [-1, 10]),
  ]);

  it("has bands as high as they have samples, which fill the column", () => {
    for (const { bands } of flow.columns) {
      expect(bands.reduce((sum, { size }) => sum + size, 0)).toBe(100);
      bands.forEach((band, i) => expect(band.start).toBe(i ? bands[i - 1]!.start + bands[i - 1]!.size : 0));
    }
    expect(Object.fromEntries(flow.columns[1]!.bands.map(({ key, size }) => [key, size]))).toEqual({ [NOISE]: 10, 0: 25, 5: 15, 1: 50 });
  });

  it("shows a split and a merge as ribbons", () => {
    const sizes = Object.fromEntries(flow.columns[0]!.ribbons.map(({ from, into, size }) => [`${from}>${into}`, size]));
    expect(sizes).toEqual({ "-1>-1": 10, "0>0": 25, "0>5": 15, "1>1": 30, "2>1": 20 });
    expect(flow.columns[1]!.ribbons).toEqual([]);
  });

  it("has ribbons that fill the bands they leave and enter", () => {
    const { ribbons, bands } = flow.columns[0]!;
    for (const { key, start, size } of bands) {
      const leaving = ribbons.filter(({ from }) => from === key).sort((a, b) => a.left - b.left);
      let at = start;
      for (const ribbon of leaving) (expect(ribbon.left).toBe(at), (at += ribbon.size));
      expect(at).toBe(start + size);
    }
    for (const { key, start, size } of flow.columns[1]!.bands) {
      const entering = ribbons.filter(({ into }) => into === key).sort((a, b) => a.right - b.right);
      let at = start;
      for (const ribbon of entering) (expect(ribbon.right).toBe(at), (at += ribbon.size));
      expect(at).toBe(start + size);
    }
  });

  it("puts what came out of a cluster beside it, noise at the bottom", () => {
    expect(flow.order.indexOf(5)).toBe(flow.order.indexOf(0) + 1);
    expect(flow.order[0]).toBe(NOISE);
  });

  it("folds clusters that were always small, and all beyond the largest, into one band", () => {
    const many = flowOf([moment(0, ...Array.from({ length: 40 }, (_, i): [number, number] => [i, 10 + i])), moment(1, [99, 3], [3, 1000])]);
    expect(many.order.filter((key) => key >= 0)).toHaveLength(MOST_BANDS);
    expect(many.small).toBe(41 - MOST_BANDS);
    expect(many.columns[0]!.bands.some(({ key }) => key === SMALL)).toBe(true);
    for (const { bands } of many.columns) expect(bands.reduce((sum, { size }) => sum + size, 0)).toBe(bands === many.columns[0]!.bands ? 1180 : 1003);
  });

  it("of noise alone, of one column and of none is defined", () => {
    expect(flowOf([moment(0, [-1, 5])]).columns[0]!.bands).toEqual([{ key: NOISE, start: 0, size: 5 }]);
    expect(flowOf([])).toEqual({ columns: [], samples: 0, order: [NOISE, SMALL], small: 0 });
    expect([...countsOf(Int32Array.of(1, 1, -1))]).toEqual([[1, 2], [-1, 1]]);
  });
});

function clustering(arrays: Record<string, [NumericArray, ...number[]]>): FrameRecord {
  const decoded = Object.entries(arrays).map(([name, [values, ...shape]]) => [name, { values, shape: shape.length ? shape : [values.length], table: null }]);
  return { kind: "clusters", layer: "a", epoch: 0, fields: {}, arrays: Object.fromEntries(decoded) };
}

describe("the clusters of a record", () => {
  const record = clustering({
    labels: [Int32Array.of(0, 1, 1, -1, 1, 0)], identities: [Int32Array.of(9, 4)], representatives: [Int32Array.of(5, 0, -1, 4, 3, 99), 2, 3],
  });

  it("are said with their members, class and representatives, the largest first", () => {
    expect(clustersOf(record, [7, 7, 8, 8, 8, -1])).toEqual([
      { identity: 4, members: [1, 2, 4], label: 8, purity: 2 / 3, representatives: [4] },
      { identity: 9, members: [0, 5], label: 7, purity: 1, representatives: [5, 0] },
    ]);
    expect(noiseOf(record)).toEqual([3]);
  });

  it("without labels of the samples have no class, without representatives none", () => {
    const [only] = clustersOf(clustering({ labels: [Int32Array.of(0, 0)] }), null)!;
    expect(only).toMatchObject({ identity: 0, label: -1, purity: NaN, representatives: [] });
    expect(clustersOf(clustering({}), null)).toBeNull();
  });
});

describe("the list of events", () => {
  const answer = normaliseEvents({
    events: [
      { kind: "flip", epoch: 1, sample: 4, size: 0.9, rank: 1 }, { kind: "split", epoch: 2, layer: "conv1", size: 140, from: [1], into: [1, 3] },
      { kind: "travelled", epoch: 2, layer: "conv2", sample: 2, size: 4.25 },
    ],
    counts: { flip: [[1, 3], [2, 4]] },
  });

  it("counts all, not only those that are listed", () => {
    expect(kindsOf(answer)).toEqual([{ kind: "flip", count: 7 }, { kind: "travelled", count: 1 }, { kind: "split", count: 1 }]);
    expect(perEpoch(answer, new Set())).toEqual([[1, 3], [2, 6]]);
    expect(perEpoch(answer, new Set<EventKind>(["flip"]))).toEqual([[1, 3], [2, 4]]);
    expect(chosenEvents(answer.events, new Set<EventKind>(["split"]))).toHaveLength(1);
  });

  it("names whom its kinds are about", () => {
    expect([subjectOf("flip"), subjectOf("gone"), subjectOf("awoke")]).toEqual(["samples", "clusters", "filters"]);
    expect(subjectsInWords(["flip"])).toBe("single samples");
    expect(subjectsInWords(["died", "flip"])).toBe("samples and filters");
    expect(subjectsInWords(["died", "split", "flip"])).toBe("samples, clusters and filters");
    const [small, large] = normaliseEvents({ events: [{ kind: "died", epoch: 1, filter: 1, size: 0.0123 }, { kind: "died", epoch: 1, filter: 2, size: 0.31 }] }).events;
    expect([sizeInWords(small!), sizeInWords(large!)]).toEqual(["1.2 %", "31 %"]);
  });

  it("says sizes in the unit of the kind", () => {
    expect(answer.events.map(sizeInWords)).toEqual(["90 %", "140 samples", "4.25 ×"]);
  });

  describe("leads", () => {
    const entry: RunEntry = {
      run: "r", name: "r", generation: "1", updated: 1, problems: [], epochs: [[0, 1, 2]],
      series: { predictions: { "": 0 }, embedding: { conv1: 0, conv2: 0 }, clusters: { conv1: 0, conv2: 0 } }, steps: null,
    };
    let page: Page;
    beforeEach(() => {
      vi.stubGlobal("localStorage", { getItem: () => null, setItem: vi.fn() });
      page = new Page();
      page.runs = [entry];
      page.info = normaliseRun({ session: { layers: [{ name: "conv1" }, { name: "conv2" }] } });
    });
    afterEach(() => vi.unstubAllGlobals());

    it("to the sample, its epoch and its layer", () => {
      page.playing = true;
      jumpTo(page, answer.events[2]!);
      expect([page.tab, page.epoch, page.layer, page.samples, page.playing]).toEqual(["samples", 2, "conv2", [2], false]);
      jumpTo(page, answer.events[0]!);
      expect([page.epoch, page.layer, page.samples]).toEqual([1, "conv2", [4]]);
    });

    it("to the filter of the layer, at the epoch at which it died", () => {
      page.runs = [{ ...entry, series: { ...entry.series, health: { conv1: 0, conv2: 0 } } }];
      page.samples = [5];
      jumpTo(page, normaliseEvents({ events: [{ kind: "died", epoch: 1, layer: "conv1", filter: 3, size: 0.04 }] }).events[0]!);
      expect([page.tab, page.epoch, page.layer, page.filters, page.samples]).toEqual(["filters", 1, "conv1", [3], [5]]);
    });

    it("to the clusters, coloured as such, alone", () => {
      jumpTo(page, answer.events[1]!);
      expect([page.tab, page.epoch, page.layer, page.settings.colourBy, [...page.isolated]]).toEqual(["samples", 2, "conv1", "cluster", [1, 3]]);
    });
  });
});
