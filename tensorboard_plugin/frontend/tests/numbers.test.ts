import { describe, expect, it } from "vitest";
import { curves, points, valueAt } from "../src/model/curves";
import { heatMatrix, metricsRecorded, rangeOf } from "../src/model/heat";
import { NumberTable } from "../src/model/numbers";
import { METRICS } from "../src/model/settings";

function table(): NumberTable {
  const numbers = new NumberTable();
  numbers.merge({
    until: 5,
    series: [
      { kind: "separation", layer: "a", epochs: [0, 2], values: { knn_accuracy: [0.31, 0.62], silhouette: [-0.2, null], probe_accuracy: [0.4, null], cka_to_last: [null, 0.8] } },
      { kind: "separation", layer: "b", epochs: [0], values: { knn_accuracy: [0.4] } },
      { kind: "health", layer: "a", epochs: [0], values: { dead_count: [3], filters: [12] } },
      { kind: "epoch", layer: "", epochs: [1], values: { loss: [2], accuracy: [0.5], val_loss: [3], val_accuracy: [0.4], elapsed_seconds: [9] } },
    ],
  });
  return numbers;
}

describe("the table of numbers", () => {
  it("keeps what was there and takes what is newer, by epoch", () => {
    const numbers = table();
    expect(numbers.series("separation", "a", "knn_accuracy").epochs).toEqual([0, 2]);
    numbers.merge({ until: 4, series: [{ kind: "separation", layer: "a", epochs: [2, 1], values: { knn_accuracy: [0.7, 0.5] } }] });
    expect(numbers.series("separation", "a", "knn_accuracy")).toEqual({ epochs: [0, 1, 2], values: [0.31, 0.5, 0.7] });
    expect(numbers.until).toBe(5);
    expect(numbers.at("separation", "a", "silhouette", 2)).toBeNull();
    expect(numbers.at("separation", "zzz", "silhouette", 2)).toBeNull();
  });
  it("survives names that an object would not", () => {
    const numbers = new NumberTable();
    numbers.merge({ until: 1, series: [{ kind: "epoch", layer: "__proto__", epochs: [0], values: { constructor: [1] } }] });
    expect(numbers.at("epoch", "__proto__", "constructor", 0)).toBe(1);
  });
});

describe("the heat map", () => {
  it("has a row per layer and null where nothing was recorded", () => {
    const matrix = heatMatrix(table(), "knn_accuracy", ["a", "b"]);
    expect(matrix.epochs).toEqual([0, 2]);
    expect(matrix.cells).toEqual([[0.31, 0.62], [0.4, null]]);
    expect([matrix.low, matrix.high]).toEqual([0.3, 0.65]);
  });
  it("centres silhouettes on zero and shows dead filters as a share", () => {
    const silhouette = heatMatrix(table(), "silhouette", ["a"]);
    expect(silhouette.low).toBe(-silhouette.high);
    expect(silhouette.colour(0)).toEqual([245, 245, 245]);
    expect(heatMatrix(table(), "dead", ["a", "b"]).cells).toEqual([[0.25], [null]]);
  });
  it("offers only metrics that there are", () => {
    expect(metricsRecorded(table(), ["b"], METRICS)).toEqual(["knn_accuracy"]);
    expect(metricsRecorded(table(), ["a"], METRICS)).toEqual([...METRICS]);
  });
  it("spans at least a tenth, so that noise does not look like a trend", () => {
    expect(rangeOf([0.981, 0.984])).toEqual([0.9, 1]);
    expect(rangeOf([0, 0])).toEqual([0, 0.1]);
    expect(rangeOf([null])).toBeNull();
  });
});

describe("the timeline's curves", () => {
  it("are accuracy and loss, validation first, without bookkeeping", () => {
    expect(curves(table()).map((curve) => curve.name)).toEqual(["val_accuracy", "accuracy", "val_loss", "loss"]);
  });
  it("hold every point of a short series and thin a long one to its ends", () => {
    const long = { epochs: Array.from({ length: 5000 }, (_, i) => i), values: Array.from({ length: 5000 }, (_, i) => (i % 7 ? i : null)) };
    const thinned = points(long, 200);
    expect(thinned).toHaveLength(200);
    expect(thinned[0]).toEqual([1, 1]);
    expect(thinned.at(-1)).toEqual([4999, 4999]);
    expect(points({ epochs: [0, 1], values: [null, 2] })).toEqual([[1, 2]]);
  });
  it("read the newest value up to an epoch", () => {
    expect(valueAt({ epochs: [0, 5], values: [1, 2] }, 4)).toBe(1);
    expect(valueAt({ epochs: [3], values: [1] }, 2)).toBeNull();
  });
});
