import { describe, expect, it } from "vitest";
import { hues, isWrong, legend, paint, type SampleColumns } from "../src/model/samples";
import { categoryColours, css, darker, noise } from "../src/theme/palette";

const columns: SampleColumns = {
  count: 4,
  labels: Int32Array.from([0, 1, 1, -1]),
  predicted: Int32Array.from([0, 1, 0, 1]),
  certainty: Float32Array.from([1, 0.5, 0, NaN]),
  cluster: Int32Array.from([0, 0, -1, 1]),
  classNames: ["cat"],
};
const options = { colourBy: "true", sizeBy: "certainty", isolated: new Set<number>(), dark: false } as const;
const bytes = (array: Uint8Array, i: number) => [...array.subarray(4 * i, 4 * i + 3)];
const hueOf = hues(columns, options);

describe("samples", () => {
  it("are wrong only where there is a label and a prediction", () => {
    expect([0, 1, 2, 3].map((i) => isWrong(columns, i))).toEqual([false, false, true, false]);
    expect(isWrong({ ...columns, predicted: null }, 2)).toBe(false);
    expect(isWrong({ ...columns, labels: null }, 2)).toBe(false);
  });

  it("misclassified: darker fill, ring in the predicted class's hue, also when coloured by cluster", () => {
    const { fill, ring } = paint(columns, options);
    expect(bytes(fill, 1)).toEqual(hueOf(1));
    expect(bytes(fill, 2)).toEqual(darker(hueOf(1)));
    expect(bytes(ring, 2)).toEqual(hueOf(0));
    expect([0, 1, 2, 3].map((i) => ring[4 * i + 3])).toEqual([0, 0, 255, 0]);
    expect(bytes(paint(columns, { ...options, colourBy: "cluster" }).ring, 2)).toEqual(hueOf(0));
  });

  it("are sized from 3 to 9 px, middling where certainty is unknown", () => {
    expect([...paint(columns, options).radius]).toEqual([4.5, 3, 1.5, 2.75]);
    expect([...paint(columns, { ...options, sizeBy: "uncertainty" }).radius]).toEqual([1.5, 3, 4.5, 2.75]);
    expect(new Set(paint(columns, { ...options, sizeBy: "uniform" }).radius)).toEqual(new Set([2.75]));
  });

  it("outside an isolated class fade and lose their ring", () => {
    const { fill, ring } = paint(columns, { ...options, isolated: new Set([0]) });
    expect(fill[3]).toBeGreaterThan(200);
    expect(fill[4 * 1 + 3]).toBeLessThan(60);
    expect(ring[4 * 2 + 3]).toBe(0);
  });

  it("can be painted with nothing known of them", () => {
    const bare = { ...columns, labels: null, predicted: null, certainty: null, cluster: null, classNames: [] };
    expect(paint(bare, options).radius).toHaveLength(4);
    expect(legend(bare, options)).toEqual([]);
  });
});

describe("the legend", () => {
  it("counts classes and mistakes, those without a label last", () => {
    expect(legend(columns, options).map(({ name, count, wrong }) => [name, count, wrong])).toEqual([
      ["cat", 1, 0], ["1", 2, 1], ["no label", 1, 0],
    ]);
  });
  it("names noise, which is black, or light in the dark", () => {
    const entries = legend(columns, { ...options, colourBy: "cluster" });
    expect(entries.map((entry) => entry.name)).toEqual(["0", "1", "noise"]);
    expect(entries.at(-1)!.colour).toEqual(noise(false));
    expect(Math.min(...noise(true))).toBeGreaterThan(150);
  });
});

describe("hues", () => {
  it("mean the same class whether true or predicted", () => {
    expect(hues(columns, { ...options, colourBy: "predicted" })(1)).toEqual(hueOf(1));
  });
  it("are Okabe–Ito up to 8, all different up to 20, and none beyond", () => {
    expect(categoryColours(2, false)).toEqual([[0, 114, 178], [230, 159, 0]]);
    for (const dark of [false, true]) {
      for (let n = 1; n <= 20; n++) expect(new Set(categoryColours(n, dark)!.map((rgb) => css(rgb))).size).toBe(n);
    }
    expect(categoryColours(21, false)).toBeNull();
  });
  it("of many classes: grey until isolated; of many clusters: the largest have hues", () => {
    const labels = Int32Array.from({ length: 90 }, (_, i) => (i < 60 ? i % 30 : 29));
    const many = { ...columns, count: 90, labels, cluster: labels, predicted: null };
    const grey = hues(many, options);
    expect(grey(3)).toEqual(grey(4));
    const isolated = hues(many, { ...options, isolated: new Set([4]) });
    expect(isolated(4)).not.toEqual(isolated(3));
    const clusters = hues(many, { ...options, colourBy: "cluster" });
    expect(clusters(29)).not.toEqual(grey(0));
  });
});
