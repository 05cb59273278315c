import { describe, expect, it } from "vitest";
import type { FrameRecord, NumericArray } from "../src/api/types";
import { areaWords, hueWords, mapWords, mixedWords, overlayColour, overlayWords, shareOf, wordOf } from "../src/charts/mapColours";
import { attributionMap, attributionsOf, chosenOf, fits, largestOf, methodHelp, methodName, smoothed } from "../src/model/attributions";
import { columnsOf, drawn } from "../src/model/attributionTable";
import { classMap, classMapsOf, classMethod, isEmpty, ranked, sampleWeights } from "../src/model/classMaps";
import { clusterImagesOf } from "../src/model/clusterImages";
import { groupHue, groupMap, groupsOf, isPoint, weightsOf } from "../src/model/factors";
import { maximisingOf } from "../src/model/maximising";
import { byFilter } from "../src/model/recent.svelte";
import { heaviest } from "../src/model/pictures";
import { whyAbsent } from "../src/model/absence";
import { EIGHT_HUES } from "../src/theme/palette";

interface Given { values: NumericArray; shape: number[]; table?: string[] }
type Arrays = Record<string, Given | undefined>;

function record(kind: string, arrays: Arrays, fields: Record<string, unknown> = {}): FrameRecord {
  const there = Object.entries(arrays).filter((entry): entry is [string, Given] => entry[1] !== undefined);
  return { kind, layer: "conv", epoch: 5, fields, arrays: Object.fromEntries(there.map(([name, one]) => [name, { table: null, ...one }])) };
}
const ints = (...values: number[]): Given => ({ values: Int32Array.from(values), shape: [values.length] });
const floats = (...values: number[]): Given => ({ values: Float32Array.from(values), shape: [values.length] });
const shaped = (one: Given, ...shape: number[]): Given => ({ ...one, shape });
const bytes = (...values: number[]): Given => ({ values: Uint8Array.from(values), shape: [values.length] });
/** What a log may hold instead of an array: of another type, of another shape, cut off, or nothing at all. */
const hostile = (one: Given): (Given | undefined)[] => [
  undefined, shaped(one, 1), shaped(one, ...one.shape, 1), { ...one, values: one.values.slice(0, -1) as NumericArray, shape: [Math.max(0, one.values.length - 1)] },
  { values: new Float64Array(one.values.length), shape: one.shape }, { values: new BigInt64Array(one.values.length), shape: one.shape },
  { values: one.values.slice(0, 0) as NumericArray, shape: one.shape.map(() => 0) },
];
const rgba = (pixel: number) => [pixel & 255, (pixel >> 8) & 255, (pixel >> 16) & 255, pixel >>> 24];

/** Two methods, two filters, one sample, 1 × 2 pixels. */
const ATTRIBUTIONS: Arrays = {
  methods: { values: Uint16Array.of(0, 1), shape: [2], table: ["saliency", "occlusion"] }, filters: ints(3, 9), samples: ints(17),
  pixels: shaped(bytes(128, 255, 255, 128, 1, 128, 128, 192), 2, 2, 1, 1, 2), reach: shaped(floats(2, 1, 4, 127), 2, 2, 1), activation: shaped(floats(5, 6), 2, 1),
  boxes: shaped(ints(0, 4, 2, 6, -1, -1, -1, -1, 1, 1, 1, 1, 5, 2, 0, 0), 2, 1, 2, 4),
  twin_pixels: shaped(bytes(255, 255, 255, 128, 128, 128, 128, 128), 2, 2, 1, 1, 2), twin_reach: shaped(floats(8, 1, 0, 0), 2, 2, 1),
};
const sheet = attributionsOf(record("attributions", ATTRIBUTIONS, { input_shape: [28, 30], note: "n" }))!;

describe("attributions", () => {
  it("are found by method, filter and sample, in their units", () => {
    expect(sheet).toMatchObject({ epoch: 5, methods: ["saliency", "occlusion"], rows: 1, columns: 2, input: { height: 28, width: 30 }, note: "n", signed: [false, true] });
    expect([...attributionMap(sheet, sheet.trained, 0, 0, 0)]).toEqual([0, 2]);
    expect([...attributionMap(sheet, sheet.trained, 1, 0, 0)]).toEqual([-4, 0]);
    expect([...attributionMap(sheet, sheet.trained, 1, 1, 0)]).toEqual([0, 64]);
    expect([...attributionMap(sheet, sheet.twin!, 0, 0, 0)]).toEqual([8, 8]);
  });

  it("have the boxes that there are: −1 is none, and so is one whose ends are the wrong way round", () => {
    expect(sheet.boxes(0, 0)).toEqual([{ top: 0, bottom: 4, left: 2, right: 6 }]);
    expect(sheet.boxes(1, 0)).toEqual([{ top: 1, bottom: 1, left: 1, right: 1 }]);
  });

  it("that are not described as they should be are none, or lack what is wrong", () => {
    for (const name of Object.keys(ATTRIBUTIONS)) {
      for (const one of hostile(ATTRIBUTIONS[name]!)) {
        const odd = attributionsOf(record("attributions", { ...ATTRIBUTIONS, [name]: one }));
        const needed = ["methods", "filters", "samples", "pixels"].includes(name);
        // What is needed makes it none, unless it is right after all: a table of methods is read through any whole numbers.
        if (needed && name !== "methods" && (one === undefined || !one.values.length)) expect(odd).toBeNull();
        if (!odd) continue;
        odd.methods.forEach((_, method) => odd.filters.forEach((__, filter) => odd.samples.forEach((___, sample) => {
          expect(attributionMap(odd, odd.trained, method, filter, sample)).toHaveLength(odd.rows * odd.columns);
          if (odd.twin) expect(attributionMap(odd, odd.twin, method, filter, sample)).toHaveLength(odd.rows * odd.columns);
          odd.boxes(filter, sample).forEach((box) => expect(box.top <= box.bottom && box.left <= box.right).toBe(true));
        })));
      }
    }
    expect(attributionsOf(record("maps", ATTRIBUTIONS))).toBeNull();
    const vast = { ...ATTRIBUTIONS, filters: ints(3), pixels: shaped({ values: new Uint8Array(2 * 2048 * 1024), shape: [] }, 2, 1, 1, 2048, 1024) };
    expect(attributionsOf(record("attributions", vast))).toBeNull(); // no such map could be smoothed while one waits
    expect(attributionsOf(record("attributions", ATTRIBUTIONS, { input_shape: ["x", 3] }))!.input).toEqual({ height: 1, width: 2 });
    expect(attributionsOf(record("attributions", { ...ATTRIBUTIONS, twin_pixels: bytes(1) }))!.twin).toBeNull();
  });

  it("call methods by their names, whatever a log calls one", () => {
    expect([methodName("saliency"), methodName("__proto__"), methodName("toString"), methodHelp("constructor")]).toEqual(["Saliency", "__proto__", "toString", "constructor"]);
  });

  it("show the filters that are selected, else all or the first", () => {
    expect([chosenOf(sheet, [9, 4], "all"), chosenOf(sheet, [4], "all"), chosenOf(sheet, [], "first")]).toEqual([[1], [0, 1], [0]]);
  });

  it("lie over thumbnails of the same shape alone", () => {
    const grid = (width: number, height: number) => ({ width, height, columns: 4, note: "" });
    expect([fits({ height: 28, width: 28 }, grid(24, 24)), fits({ height: 28, width: 28 }, grid(48, 24)), fits({ height: 1, width: 60 }, grid(24, 24)), fits({ height: 2, width: 2 }, null)]).toEqual([true, false, false, false]);
  });
});

describe("smoothing", () => {
  it("is a Gaussian's, and leaves what is flat as it is", () => {
    const peak = new Float32Array(225);
    peak[112] = 1;
    const soft = smoothed(peak, 15, 15, 1);
    expect(soft.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 5);
    expect(soft[113]! / soft[112]!).toBeCloseTo(Math.exp(-0.5), 4);
    expect(soft[128]! / soft[112]!).toBeCloseTo(Math.exp(-1), 4);
    smoothed(new Float32Array(12).fill(3), 4, 3, 2).forEach((value) => expect(value).toBeCloseTo(3, 5));
    expect(smoothed(peak, 15, 15, 0)).toBe(peak);
    // With nothing beyond the edge, a corner of a flat map keeps a little more than a quarter.
    const corner = smoothed(new Float32Array(225).fill(1), 15, 15, 1, true);
    expect(corner[0]).toBeCloseTo(((1 + 0.3989) / 2) ** 2, 3);
    expect(corner[112]).toBeCloseTo(1, 5);
  });
});

describe("a table of attributions", () => {
  const options = { rows: 1, twin: true, smoothing: 0 };
  it("has a column a method, each on its own scale, the random network on one of its own", () => {
    const columns = columnsOf(sheet, "methods", [1], 0, options);
    expect(columns.map(({ key, method, filter, full, twinFull, signed }) => ({ key, method, filter, full, twinFull, signed }))).toEqual([
      { key: "0/1", method: "saliency", filter: 9, full: 1, twinFull: 1, signed: false }, { key: "1/1", method: "occlusion", filter: 9, full: 64, twinFull: 0, signed: true },
    ]);
  });

  it("has a column a filter, all on one scale", () => {
    const columns = columnsOf(sheet, "filters", [0, 1], 0, options);
    expect(columns.map(({ filter, full, twinFull }) => [filter, full, twinFull])).toEqual([[3, 2, 8], [9, 2, 8]]);
    expect(columnsOf(sheet, "filters", [0], 0, { ...options, twin: false })[0]).toMatchObject({ twin: [], twinFull: 0 });
    expect(columnsOf(sheet, "filters", [], 0, options)).toEqual([]);
  });

  it("for areas gives up signs before smoothing: neighbours of unlike signs do not cancel", () => {
    const maps = (magnitude: boolean, smoothing: number) => columnsOf(sheet, "methods", [0], 0, { ...options, smoothing, magnitude })[1]!.trained[0]!;
    expect([[...maps(false, 0)], [...maps(true, 0)]]).toEqual([[-4, 0], [4, 0]]);
    expect(maps(true, 1)[0]).toBeGreaterThan(0);
    expect(maps(false, 1)[0]).toBeLessThan(0);
  });

  it("draws a map as it is, over a picture, or as areas with their border", () => {
    const values = Float32Array.of(0, 2);
    const settings = { mapOpacity: 0.5, areaShare: 0.5 };
    expect(drawn(values, sheet, "map", { full: 2, signed: false }, settings).border).toBe("");
    expect([...drawn(values, sheet, "overlay", { full: 2, signed: true }, settings).words].map((pixel) => rgba(pixel)[3])).toEqual([0, 128]);
    expect(drawn(values, sheet, "areas", { full: 2, signed: false }, settings).border).toBe("M1 0H2M1 1H2M1 0V1M2 0V1");
  });
});

describe("colours of maps", () => {
  it("are shares of what full colour stands for; what is not known is nothing", () => {
    expect([shareOf(3, { full: 2, signed: false }), shareOf(-1, { full: 2, signed: true }), shareOf(-1, { full: 2, signed: false }), shareOf(NaN, { full: 2, signed: true }), shareOf(1, { full: 0, signed: true })]).toEqual([1, -0.5, 0.5, 0, 0]);
    expect(largestOf([Float32Array.of(NaN, -3), Float32Array.of(2, Infinity)])).toBe(3);
  });

  it("are white at zero, blue below, orange above", () => {
    expect([...mapWords([0, -1, 1], { full: 1, signed: true })].map(rgba)).toEqual([[245, 245, 245, 255], [33, 102, 172, 255], [217, 95, 2, 255]]);
  });

  it("let the picture through where a map says little", () => {
    expect([...overlayWords([0, 1, 4], { full: 4, signed: true }, 0.8)].map((pixel) => rgba(pixel)[3])).toEqual([0, 102, 204]);
    expect([...overlayWords([0, 1, 4], { full: 4, signed: false }, 0.6)].map((pixel) => rgba(pixel)[3])).toEqual([0, 58, 153]);
    const [low, , high] = [0.01, 0.5, 1].map((value) => rgba(overlayWords([value], { full: 1, signed: false }, 1)[0]!));
    expect([low![0]! > 1.2 * low![2]!, high![0]! > 2 * high![2]!]).toEqual([true, true]); // yellow all along: the dark end would hide pictures
    expect(overlayColour(0, false, 0.7)).toEqual(overlayColour(0, true, 0.7));
    expect(overlayColour(1, true, 1)).toEqual([217, 95, 2]);
  });

  it("of groups are their hues, the strongest deciding", () => {
    expect([...hueWords([0, 255], [10, 20, 30], 0.5)].map(rgba)).toEqual([[10, 20, 30, 0], [10, 20, 30, 128]]);
    const mixed = [...mixedWords([[255, 0, 0], [0, 255, 0]], [[200, 0, 0], [0, 0, 200]], 1)].map(rgba);
    expect(mixed).toEqual([[200, 0, 0, 255], [0, 0, 200, 255], [0, 0, 0, 0]]);
    expect([rgba(areaWords([1])[0]!)[3]! < rgba(areaWords([0])[0]!)[3]!, wordOf([1, 2, 3])]).toEqual([true, 0xff030201]);
  });
});

/** Two samples, two groups, 1 × 2 positions, three filters. */
const GROUPS: Arrays = {
  samples: ints(4, 7), maps: shaped(bytes(255, 0, 1, 2, 3, 4, 5, 6), 2, 2, 1, 2), largest: floats(2, 3), weights: shaped(floats(0.8, 0.6, 0, 0, 0.001, 1), 2, 3), share: floats(0.5, 0.2),
  pixels: shaped(bytes(9, 8), 2, 1, 1, 1), low: floats(0), high: floats(1), activation: floats(1, 2), reached: bytes(1, 0), likeness: floats(NaN, 0.4),
};

describe("groups of filters", () => {
  it("have a map a sample, weights, a share and an image", () => {
    const groups = groupsOf(record("factors", GROUPS, { unexplained: 0.3, full_size: [4, 8], note: "n" }))!;
    expect(groups).toMatchObject({ groups: 2, rows: 1, columns: 2, filters: 3, unexplained: 0.3, fullSize: [4, 8], note: "n" });
    expect([[...groupMap(groups, 0, 1)], [...groupMap(groups, 1, 0)]]).toEqual([[1, 2], [3, 4]]);
    expect(heaviest(weightsOf(groups, 0), 5).map(({ filter }) => filter)).toEqual([0, 1]);
    expect(heaviest(weightsOf(groups, 1), 5).map(({ filter }) => filter)).toEqual([2]); // a thousandth is none
    expect(groups.tiles!.map(({ filter, reached, activation }) => [filter, reached, activation])).toEqual([[0, true, 1], [1, false, 2]]);
    expect(isPoint(groups)).toBe(false);
  });

  it("need no images", () => {
    expect(groupsOf(record("factors", { ...GROUPS, pixels: undefined }))!.tiles).toBeNull();
  });

  it("that are not described as they should be are none, or lack what is wrong", () => {
    for (const name of Object.keys(GROUPS)) {
      for (const one of hostile(GROUPS[name]!)) {
        const odd = groupsOf(record("factors", { ...GROUPS, [name]: one }, { unexplained: "x" }));
        if (!odd) continue;
        expect(odd.unexplained).toBeNaN();
        expect([odd.share.length, odd.largest.length, odd.likeness.length]).toEqual([odd.groups, odd.groups, odd.groups]);
        expect(odd.tiles === null || odd.tiles.length === odd.groups).toBe(true);
        for (let group = 0; group < odd.groups; group++) expect(groupMap(odd, odd.samples.length - 1, group)).toHaveLength(odd.rows * odd.columns);
      }
    }
    expect(groupsOf(record("factors", { ...GROUPS, weights: shaped(floats(1, 2, 3), 1, 3) }))).toBeNull();
  });

  it("have eight hues that anyone can tell apart, then others", () => {
    expect([groupHue(0, false), groupHue(7, true)]).toEqual([EIGHT_HUES[0], EIGHT_HUES[7]]);
    expect(groupHue(30, true)).toHaveLength(3);
  });
});

const CLUSTERS: Arrays = {
  clusters: ints(0, 1), identities: ints(6, 2), samples: ints(10, 40), weights: shaped(floats(1, 0, 0, 1), 2, 2), pixels: shaped(bytes(1, 2), 2, 1, 1, 1), low: floats(0), high: floats(1),
  activation: floats(1, 2), reached: bytes(1, 1),
};

describe("images of clusters", () => {
  it("come the largest first, by the names that they keep", () => {
    const found = clusterImagesOf(record("cluster_images", CLUSTERS, { of: 4 }))!;
    expect(found).toMatchObject({ epoch: 5, of: 4, lasting: true });
    expect(found.clusters.map(({ cluster, identity, samples, weights, tile }) => [cluster, identity, samples, [...weights], tile.row])).toEqual([[1, 2, 40, [0, 1], 1], [0, 6, 10, [1, 0], 0]]);
  });

  it("go by their numbers where names do not fit", () => {
    for (const identities of [undefined, ints(6), ints(6, 6), ints(-1, 2)]) {
      expect(clusterImagesOf(record("cluster_images", { ...CLUSTERS, identities }))).toMatchObject({ lasting: false, of: -1, clusters: [{ identity: 1 }, { identity: 0 }] });
    }
  });

  it("that are not described as they should be are none, or lack what is wrong", () => {
    for (const name of Object.keys(CLUSTERS)) {
      for (const one of hostile(CLUSTERS[name]!)) clusterImagesOf(record("cluster_images", { ...CLUSTERS, [name]: one }))?.clusters.forEach(({ tile }) => expect(tile.sheet.pixels.length).toBeGreaterThan(tile.row));
    }
    expect(clusterImagesOf(record("cluster_images", { ...CLUSTERS, pixels: undefined }))).toBeNull();
    expect(clusterImagesOf(record("cluster_images", { ...CLUSTERS, weights: undefined }))!.clusters[0]!.weights).toHaveLength(0);
  });
});

const CLASSES: Arrays = {
  samples: ints(3, 5), classes: ints(1, 0), pixels: shaped(bytes(1, 2, 3, 4), 2, 1, 2), largest: floats(1, 2), weights: shaped(floats(1, -1, 2, 0, 0, 3), 2, 3), influence: floats(0.2, NaN, 0.8),
};

describe("class maps", () => {
  it("are found by sample, and filters are ranked by influence", () => {
    const found = classMapsOf(record("class_activation", CLASSES, { method: "gradcam++", full_size: [7, 7] }))!;
    expect([[...classMap(found, 1)], [...sampleWeights(found, 1)!], classMethod(found.method), found.fullSize]).toEqual([[3, 4], [0, 0, 3], "Grad-CAM++", [7, 7]]);
    expect(ranked(found).map(({ filter, together }) => [filter, Number(together.toFixed(3))])).toEqual([[2, 0.8], [0, 1], [1, 1]]);
    expect([0, 1].map((place) => isEmpty(found, place))).toEqual([false, false]);
    expect(isEmpty(classMapsOf(record("class_activation", { ...CLASSES, pixels: shaped(bytes(0, 0, 3, 4), 2, 1, 2) }))!, 0)).toBe(true);
    expect([classMethod("constructor"), classMethod("<b>")]).toEqual(["constructor", "<b>"]);
  });

  it("that are not described as they should be are none, or lack what is wrong", () => {
    for (const name of Object.keys(CLASSES)) {
      for (const one of hostile(CLASSES[name]!)) {
        const odd = classMapsOf(record("class_activation", { ...CLASSES, [name]: one }));
        if (!odd) continue;
        expect(classMap(odd, odd.samples.length - 1)).toHaveLength(odd.rows * odd.columns);
        expect(sampleWeights(odd, 1)?.length ?? odd.filters).toBe(odd.filters);
        expect(odd.largest).toHaveLength(odd.samples.length);
      }
    }
  });
});

const MAXIMISING: Arrays = {
  filters: ints(8, 3), samples: ints(17, 4), pixels: shaped(bytes(0, 229, 230, 255), 2, 1, 2, 1), low: floats(0), high: floats(1), started: floats(1, 2), activation: floats(3, 4), noise: floats(0.1, 0.2),
  boxes: shaped(ints(0, 1, 0, 0, 0, 0, 5, 2), 2, 4),
};

describe("maximising images", () => {
  it("are told from the sample to what is above 0.9 of the range", () => {
    const found = maximisingOf(record("maximising", MAXIMISING, { steps: 12, natural_noise: 0.1, calibrated_on: 5 }))!;
    expect(found).toMatchObject({ steps: 12, naturalNoise: 0.1, calibratedOn: 5 });
    expect(found.rows.map(({ filter, sample, started, activation }) => [filter, sample, started, activation])).toEqual([[8, 17, 1, 3], [3, 4, 2, 4]]);
    expect([...found.rows[0]!.thresholded.sheet.pixels]).toEqual([0, 0, 255, 255]); // 0.9 · 255 = 229.5
    expect(found.rows.map(({ box }) => box)).toEqual([{ top: 0, bottom: 1, left: 0, right: 0 }, null]);
    expect([...found.rows[0]!.tile.sheet.pixels]).toEqual([0, 229, 230, 255]);
  });

  it("that are not described as they should be are none, or lack what is wrong", () => {
    for (const name of Object.keys(MAXIMISING)) {
      for (const one of hostile(MAXIMISING[name]!)) maximisingOf(record("maximising", { ...MAXIMISING, [name]: one }, { steps: {} }))?.rows.forEach(({ tile }) => expect(tile.sheet.pixels).toHaveLength(4));
    }
    expect(maximisingOf(record("maximising", { ...MAXIMISING, samples: undefined }))).toBeNull();
    expect(maximisingOf(record("maximising", { ...MAXIMISING, started: undefined }))!.rows[0]!.started).toBeNaN();
  });
});

describe("filters that have turns", () => {
  it("are those of the newest record that has them", () => {
    const sheets = [{ epoch: 9, filters: [7, 2] }, { epoch: 4, filters: [2, 1] }];
    expect([...byFilter(sheets, (sheet) => sheet.filters)].map(([filter, { epoch }]) => [filter, epoch])).toEqual([[1, 4], [2, 9], [7, 9]]);
  });
});

describe("what was not recorded", () => {
  it("says what to add", () => {
    const info = { session: { recorders: { embeddings: {} } }, journal: [] } as never;
    const codes = ["attributions", "factors", "cluster_images", "class_activation", "maximising"].map((kind) => whyAbsent(info, kind, "conv", 3)?.code);
    expect(codes).toEqual(["fw.Attributions([0, 3], 6)", "fw.FactorGroups()", "fw.ClusterImages()", "fw.ClassActivation()", "fw.MaximisingImages()"]);
  });
});
