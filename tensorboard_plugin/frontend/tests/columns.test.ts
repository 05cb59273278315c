import { describe, expect, it } from "vitest";
import { normaliseRun } from "../src/api/normalise";
import type { ProbeInfo } from "../src/api/types";
import { columnNames, columnOf, saidOf, type Column } from "../src/model/columns";
import { hues, legend, paint, type SampleColumns } from "../src/model/samples";
import { darker, neutral, sequential } from "../src/theme/palette";

const probe = (attributes: Record<string, unknown>, targets: unknown = null, count = 10): ProbeInfo =>
  normaliseRun({ probe: { count, labels: [], attributes, targets } }).probe!;
const many = [0, 1, 2, 3, 4, 5, 6, 7, 8, null];

describe("columns that came with the probe", () => {
  it("are on a scale where they are many numbers, in hues where they are few values", () => {
    const given = probe({ age: many, site: [..."abababab", null, {}], few: [3, 1, 1, 3], flag: [true, false] });
    expect(columnOf(given, "age")).toMatchObject({ kind: "numeric", low: 0, high: 8 });
    expect(columnOf(given, "site")).toMatchObject({ kind: "category", names: ["a", "b"] });
    expect([...(columnOf(given, "site") as { keys: Int32Array }).keys]).toEqual([0, 1, 0, 1, 0, 1, 0, 1, -1, -1]);
    expect(columnOf(given, "few")).toMatchObject({ names: ["1", "3"] });
    expect(columnOf(given, "flag")).toMatchObject({ names: ["no", "yes"] });
  });

  it("are offered where they say something; a target that is named like an attribute once", () => {
    const texts = Array.from({ length: 300 }, (_, i) => `text ${i}`);
    const given = probe({ none: [null, null], texts, "target 0": ["a"] }, [[1, 2], [null, 3]], 300);
    expect(columnNames(given)).toEqual(["target 0", "target 1"]);
    expect(columnNames(null)).toEqual([]);
    expect(columnOf(given, "gone")).toBeNull();
    expect(columnOf(probe({}), "constructor")).toBeNull();
    expect(columnNames(probe({}, [[0.5], [1.5]]))).toEqual(["target"]);
  });

  it("say – for what is not known", () => {
    expect([saidOf(null), saidOf(undefined), saidOf(true), saidOf(0.1 + 0.2), saidOf("<b>")]).toEqual(["–", "–", "yes", "0.3", "<b>"]);
  });
});

describe("samples coloured by a column", () => {
  const columns: SampleColumns = {
    count: 3, labels: Int32Array.from([0, 1, 1]), predicted: Int32Array.from([0, 1, 0]), certainty: null, cluster: null, classNames: [],
  };
  const options = { colourBy: "column", sizeBy: "uniform", isolated: new Set<number>(), dark: false } as const;
  const bytes = (values: Uint8Array, i: number) => [...values.subarray(4 * i, 4 * i + 3)];

  it("of numbers show the value, also where they are misclassified: there the ring says it", () => {
    const column = { name: "age", kind: "numeric", values: Float64Array.from([NaN, 0, 10]), low: 0, high: 10 } as const;
    const { fill, ring } = paint({ ...columns, column }, options);
    expect([0, 1, 2].map((i) => bytes(fill, i))).toEqual([neutral(false), sequential(0), sequential(1)]);
    expect([ring[11], bytes(ring, 2)]).toEqual([255, hues(columns, { ...options, colourBy: "true" })(0)]);
    expect(legend({ ...columns, column }, options)).toEqual([]);
  });

  it("of few values have hues and a legend with their names", () => {
    const column = { name: "site", kind: "category" as const, keys: Int32Array.from([0, 1, -1]), names: ["Delft", "Leiden"] } satisfies Column;
    const entries = legend({ ...columns, column }, options);
    expect(entries.map(({ name, count, wrong }) => [name, count, wrong])).toEqual([["Delft", 1, 0], ["Leiden", 1, 0], ["not known", 1, 1]]);
    const { fill } = paint({ ...columns, column }, options);
    expect([bytes(fill, 0), bytes(fill, 2)]).toEqual([entries[0]!.colour, darker(neutral(false))]);
  });
});
