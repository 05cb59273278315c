import { describe, expect, it } from "vitest";
import type { Alert, FrameRecord } from "../src/api/types";
import { alignmentOf, constant, lowest, redundantAlert, sameRuns } from "../src/model/alignment";
import { beliefInWords, beliefOf, unsteady, whyDoubtful } from "../src/model/belief";
import { heatMatrix } from "../src/model/heat";
import { NumberTable } from "../src/model/numbers";
import { apart, chanceLevel, overEpochs, overLayers, shortcuts, span } from "../src/model/separation";

const numbers = new NumberTable();
numbers.merge({
  until: 1,
  series: [
    { kind: "separation", layer: "a", epochs: [0, 2], values: { knn_accuracy: [0.5, 0.7], probe_accuracy: [null, 0.8], probe_deviation: [null, 0.05], cka_to_last: [null, 0.9] } },
    { kind: "separation", layer: "b", epochs: [0, 2], values: { knn_accuracy: [0.6, 0.9], silhouette: [-0.1, 0.2] } },
  ],
});

describe("separation as curves", () => {
  it("is of one layer over epochs, what is not known left out", () => {
    expect(overEpochs(numbers, "a")).toEqual([
      { measure: "knn_accuracy", points: [{ x: 0, value: 0.5, deviation: 0 }, { x: 2, value: 0.7, deviation: 0 }] },
      { measure: "probe_accuracy", points: [{ x: 2, value: 0.8, deviation: 0.05 }] },
    ]);
    expect(overEpochs(numbers, "gone")).toEqual([]);
  });

  it("is of one epoch over layers", () => {
    expect(overLayers(numbers, ["b", "none", "a"], 2).map(({ measure, points }) => [measure, points.map(({ x, value }) => [x, value])])).toEqual([
      ["knn_accuracy", [[0, 0.9], [2, 0.7]]], ["probe_accuracy", [[2, 0.8]]], ["silhouette", [[0, 0.2]]],
    ]);
  });

  it("has a chance level: the share of the most frequent class among the labelled", () => {
    expect(chanceLevel([0, 0, 0, 1, -1, -1])).toBe(0.75);
    expect(chanceLevel([0, 0])).toBeNull();
    expect(chanceLevel([])).toBeNull();
  });

  it("says what was not taken over everything", () => {
    const some = new NumberTable();
    some.merge({ until: 1, series: [{ kind: "separation", layer: "a", epochs: [0, 1], values: { exact_neighbors: [1, 0], judged: [0, 2000], probed: [0, 5000], distance_error: [0, 0.022] } }] });
    expect(shortcuts(some, "a", 0)).toEqual([]);
    expect(shortcuts(some, "a", 1)).toEqual(["neighbours found by approximate search", "the linear probe saw 5,000 samples", "silhouette over 2,000 samples", "distances within 2.2 %"]);
    expect(shortcuts(some, "old", 1)).toEqual([]);
  });

  it("is drawn on a scale that holds every band and the chance level", () => {
    const lines = overEpochs(numbers, "a");
    expect(span(lines, [], [0, 1])).toEqual([0.5, 0.9]);
    expect(span(lines, [0.3], [0, 1])[0]).toBeLessThan(0.3);
    expect(span([], [0.3], [0, 1])).toEqual([0, 1]);
    const [low, high] = span([{ measure: "knn_accuracy", points: [{ x: 0, value: 1, deviation: 0 }] }], [], [0, 1]);
    expect([low, high]).toEqual([0.9, 1]);
  });

  it("has labels that keep their order and do not cover each other where there is room", () => {
    const placed = apart([50, 48, 51, 10], 15, 0, 100);
    expect(placed[3]!).toBeLessThan(placed[1]!);
    expect([placed[1]! < placed[0]!, placed[0]! < placed[2]!]).toEqual([true, true]);
    const sorted = [...placed].sort((a, b) => a - b);
    for (let i = 1; i < sorted.length; i++) expect(sorted[i]! - sorted[i - 1]!).toBeGreaterThanOrEqual(15);
    expect(Math.max(...apart([98, 99, 100], 15, 0, 100))).toBeLessThanOrEqual(100);
  });

  it("is on the heat map as change, too: what is missing of an alignment of 1", () => {
    const { cells, epochs } = heatMatrix(numbers, "change", ["a", "b"]);
    expect(epochs).toEqual([2]);
    expect(cells[0]![0]).toBeCloseTo(0.1);
    expect(cells[1]![0]).toBeNull();
  });
});

function record(names: string[], rows: number[][], more: Partial<FrameRecord["arrays"]> = {}): FrameRecord {
  return {
    kind: "cka", layer: "", epoch: 3, fields: { last: 2, samples: 100 },
    arrays: {
      layers: { shape: [names.length], values: Uint16Array.from(names.keys()), table: names },
      matrix: { shape: [rows.length, rows[0]?.length ?? 0], values: Float32Array.from(rows.flat()), table: null },
      to_last: { shape: [names.length], values: Float32Array.from(names, () => 0.5), table: null },
      ...more,
    },
  };
}

describe("alignment of layers", () => {
  const names = ["a", "b", "c", "d", "e"];
  // a, b, c are nearly the same, any two of them; d is like c, but not like a.
  const rows = [
    [1, 0.99, 0.985, 0.9, 0.2], [0.99, 1, 0.99, 0.95, 0.2], [0.985, 0.99, 1, 0.99, 0.2], [0.9, 0.95, 0.99, 1, 0.2], [0.2, 0.2, 0.2, 0.2, 1],
  ];

  it("finds runs of neighbours of which any two are nearly the same", () => {
    const alignment = alignmentOf(record(names, rows))!;
    const runs = sameRuns(alignment);
    expect(runs.map(({ first, last }) => [first, last])).toEqual([[0, 2]]);
    expect(runs[0]!.least).toBeCloseTo(0.985);
    expect(sameRuns(alignment, 0.995)).toEqual([]);
    expect(lowest(alignment)).toBeCloseTo(0.2);
  });

  it("knows layers that are constant, and takes NaN for no likeness", () => {
    const odd = rows.map((row, i) => row.map((value, j) => ((i === 1) !== (j === 1) ? NaN : value)));
    const alignment = alignmentOf(record(names, odd))!;
    expect(constant(alignment)).toEqual(["b"]);
    expect(sameRuns(alignment).map(({ first, last }) => [first, last])).toEqual([[2, 3]]);
  });

  it("of one layer has nothing to compare", () => {
    const alone = alignmentOf(record(["a"], [[1]]))!;
    expect([sameRuns(alone), constant(alone), lowest(alone)]).toEqual([[], [], 0]);
  });

  it.each([
    ["no names", { layers: { shape: [5], values: Uint16Array.of(0, 1, 2, 3, 4), table: null } }],
    ["another number of rows", { matrix: { shape: [4, 5], values: new Float32Array(20), table: null } }],
    ["whole numbers", { matrix: { shape: [5, 5], values: new Int32Array(25), table: null } }],
  ] as [string, Partial<FrameRecord["arrays"]>][])("is none where its arrays do not fit: %s", (_, more) => {
    expect(alignmentOf(record(names, rows, more))).toBeNull();
    expect(alignmentOf({ ...record(names, rows), arrays: {} })).toBeNull();
  });

  it("goes with the open alert that calls one of the layers redundant", () => {
    const alert = (more: Partial<Alert>) => ({ kind: "redundant layer", layer: "b", resolved: -1, ...more }) as Alert;
    expect(redundantAlert([alert({ resolved: 4 }), alert({ layer: "e" }), alert({ kind: "dead filters" }), alert({ id: "it" })], ["a", "b"])?.id).toBe("it");
    expect(redundantAlert([], ["a"])).toBeNull();
  });
});

describe("how far a picture may be believed", () => {
  const of = (fields: Record<string, unknown>) => beliefOf({ kind: "embedding", layer: "a", epoch: 1, fields, arrays: {} });

  it("is doubted below a trustworthiness, with the reason", () => {
    expect(whyDoubtful(of({ trustworthiness: 0.6 }))).toContain("0.60");
    expect(whyDoubtful(of({ trustworthiness: 0.9 }))).toBe("");
    expect(whyDoubtful(of({}))).toBe("");
  });

  it("says that a fresh start means nothing for what was before", () => {
    const fresh = of({ trustworthiness: 0.9, neighbors_kept: 0.5, neighbors: 15, stability: null, started_from: -1 });
    expect([fresh.stability, fresh.started]).toEqual([null, null]);
    expect(beliefInWords(fresh, "epoch")).toContain("fresh start");
    expect(beliefInWords(of({ stability: 0.4, stability_rank: 0.1, points_moved: 0.4, features_moved: 0.2, started_from: 3 }), "epoch")).toMatch(/Stability 0.40.*epoch 3[^]*do not read movement/);
    expect([{}, { stability_rank: 0.3 }, { points_moved: 0.1 }, { features_moved: 0.6 }, { stability_rank: null }].map((fields) => unsteady(of({ stability_rank: 0.1, points_moved: 0.4, features_moved: 0.2, ...fields })))).toEqual([true, false, false, false, false]);
    expect(beliefInWords(of({ started_from: -1, beside: "conv1" }), "epoch")).toContain("the layout of conv1");
  });
});
