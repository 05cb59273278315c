import { describe, expect, it } from "vitest";
import type { RunEntry } from "../src/api/types";
import { epochsOf, has, nearest, pendingEpochs, settledEpochs, snapshotEpochs, step } from "../src/model/epochs";

const run: RunEntry = {
  run: "r", name: "r", generation: "1", updated: 0, problems: [],
  epochs: [[0, 1, 2], [0, 1, 2, 3, 4], [9], []],
  series: { embedding: { conv1: 0, dead: 3 }, predictions: { "": 1 }, journal: { "": 2 }, unknown: { x: 2 } },
};

describe("epochs of a run", () => {
  it("are the snapshots', not the journal's or an unknown kind's", () => expect(snapshotEpochs(run)).toEqual([0, 1, 2, 3, 4]));
  it("of a series, none where there is none", () => {
    expect(epochsOf(run, "embedding", "conv1")).toEqual([0, 1, 2]);
    expect(epochsOf(run, "embedding", "conv9")).toEqual([]);
    expect(epochsOf(run, "embedding", "constructor")).toEqual([]);
    expect(epochsOf(null, "embedding", "conv1")).toEqual([]);
  });
  it("an empty series is nothing", () => {
    expect(has(run, "embedding")).toBe(true);
    expect(has({ ...run, series: { embedding: { dead: 3 } } }, "embedding")).toBe(false);
  });
});

describe("epochs still being analysed", () => {
  it("are those after the last embedding", () => expect(pendingEpochs(run, "conv1", true)).toEqual([3, 4]));
  it("are none where no embedding is expected", () => expect(pendingEpochs(run, "conv1", false)).toEqual([]));
  it("are not those of which the journal says that none will come", () => {
    const text = "activations are not finite";
    const settled = settledEpochs([
      { kind: "note", text, epoch: 3, layer: "conv1", recorder: "embeddings" },
      { kind: "note", text, epoch: 4, layer: "conv1", recorder: "separation" },
      { kind: "thinned", text: "the analysis was behind", epoch: 4 },
    ]);
    expect(pendingEpochs(run, "conv1", true, settled)).toEqual([]);
    expect(pendingEpochs(run, "conv2", true, settled)).toEqual([0, 1, 2, 3]);
  });
  it("a thinned snapshot in between is not pending", () => {
    const thinned = { ...run, epochs: [[0, 2, 4], ...run.epochs.slice(1)] };
    expect(pendingEpochs(thinned, "conv1", true)).toEqual([]);
  });
});

describe("stepping", () => {
  const sparse = [0, 1, 2, 5, 10];
  it("goes from recording to recording and stops at the ends", () => {
    expect(step(sparse, 2, 1)).toBe(5);
    expect(step(sparse, 5, -1)).toBe(2);
    expect(step(sparse, 10, 1)).toBe(10);
    expect(step(sparse, 0, -1)).toBe(0);
    expect(step(sparse, 2, 99)).toBe(10);
    expect(step([], 3, 1)).toBe(3);
  });
  it("from between two recordings goes to the neighbour on that side", () => {
    expect(step(sparse, 7, 1)).toBe(10);
    expect(step(sparse, 7, -1)).toBe(5);
  });
  it("nearest: the earlier one on a tie", () => {
    expect(nearest(sparse, 7)).toBe(5);
    expect(nearest(sparse, 8)).toBe(10);
    expect(nearest([1, 3], 2)).toBe(1);
    expect(nearest([], 2)).toBeNull();
  });
});
