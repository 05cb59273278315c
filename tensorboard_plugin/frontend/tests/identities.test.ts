import { describe, expect, it } from "vitest";
import type { FrameRecord, NumericArray } from "../src/api/types";
import { clusterIdentities, identityColour, keepsIdentity, sampleIdentities } from "../src/model/identities";
import { pointsAtStage, stagesOf } from "../src/model/stages";
import { noise } from "../src/theme/palette";

function record(arrays: Record<string, [NumericArray, ...number[]]>): FrameRecord {
  const decoded = Object.entries(arrays).map(([name, [values, ...shape]]) => [name, { values, shape: shape.length ? shape : [values.length], table: null }]);
  return { kind: "", layer: "", epoch: 0, fields: {}, arrays: Object.fromEntries(decoded) };
}
const labels = Int32Array.from([1, 0, -1, 1]);

describe("identities", () => {
  it("have a hue each, the same always, and noise is black or light grey", () => {
    for (const dark of [false, true]) {
      const colours = Array.from({ length: 120 }, (_, i) => identityColour(i, dark));
      const far = (a: number[], b: number[]) => Math.hypot(...a.map((value, i) => value - b[i]!));
      for (const [i, colour] of colours.entries()) {
        expect(identityColour(i, dark)).toBe(colour);
        for (const other of colours.slice(i + 1, i + 60)) expect(far(colour, other)).toBeGreaterThan(5);
      }
      expect(identityColour(-1, dark)).toEqual(noise(dark));
    }
  });

  it("are given to samples by way of their clusters", () => {
    const known = record({ labels: [labels], identities: [Int32Array.from([7, 4])] });
    expect(keepsIdentity(known)).toBe(true);
    expect([...sampleIdentities(known)!]).toEqual([4, 7, -1, 4]);
    expect(sampleIdentities(record({}))).toBeNull();
  });

  it.each([
    ["missing", {}],
    ["too few", { identities: [Int32Array.from([7])] }],
    ["twice the same", { identities: [Int32Array.from([7, 7])] }],
    ["negative", { identities: [Int32Array.from([7, -1])] }],
  ] as [string, Record<string, [NumericArray]>][])("%s: the clusters' own numbers stand in", (_, given) => {
    const odd = record({ labels: [labels], ...given });
    expect(keepsIdentity(odd)).toBe(false);
    expect([...clusterIdentities(odd)]).toEqual([0, 1]);
  });

  it("of a hostile label take no more memory than there are samples", () => {
    expect(clusterIdentities(record({ labels: [Int32Array.from([2 ** 31 - 1, 0])] })).length).toBe(2);
  });
});

describe("stages of the optimisation", () => {
  const points: [NumericArray, ...number[]] = [Float32Array.from([9, 9, 8, 8]), 2, 2];
  const stages: [NumericArray, ...number[]] = [Float32Array.from([0, 1, 2, 3, 4, 5, 6, 7]), 2, 2, 2];
  const told = record({ points, stages, rounds: [Int32Array.from([0, 40])] });

  it("are shown instead of the finished layout", () => {
    expect(stagesOf(told)!.rounds).toEqual([0, 40]);
    expect([...pointsAtStage(told, 1)!]).toEqual([4, 5, 6, 7]);
    expect([...pointsAtStage(told, null)!]).toEqual([9, 9, 8, 8]);
    expect([...pointsAtStage(told, 2)!]).toEqual([9, 9, 8, 8]);
  });

  it("that do not fit are as if there were none", () => {
    expect(stagesOf(record({ points }))).toBeNull();
    expect(stagesOf(record({ points: [Float32Array.from([1, 1]), 1, 2], stages }))).toBeNull();
    expect(stagesOf(record({ points, stages, rounds: [Int32Array.from([0])] }))!.rounds).toEqual([0, 1]);
  });
});
