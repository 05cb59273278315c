import { describe, expect, it } from "vitest";
import { MisclassifiedPoints } from "../src/charts/misclassified";
import { pick } from "../src/charts/pick";
import { raster } from "../src/charts/raster";
import { Travel } from "../src/charts/travel";

const floats = (...values: number[]) => Float32Array.from(values);

describe("travelling points", () => {
  it("go along straight lines from where they are, and arrive exactly", () => {
    const [here, there] = [floats(0, 0, 4, 4), floats(10, 0, 4, 8)];
    const travel = new Travel(here);
    expect(travel.arrived).toBe(true);
    travel.set(there, 1000, 400);
    expect(travel.at(1000)).toEqual(here);
    expect(travel.at(1100)[0]).toBeCloseTo(0.625); // eased: slow at first
    expect([...travel.at(1200)]).toEqual([5, 0, 4, 6]);
    expect(travel.at(1200)).not.toBe(travel.at(1201)); // deck.gl uploads what is another array
    expect(travel.at(1400)).toBe(there);
    expect(travel.arrived).toBe(true);
  });
  it("turn round in the middle of the way without a jump", () => {
    const travel = new Travel(floats(0, 0));
    travel.set(floats(10, 0), 0, 400);
    travel.at(200);
    travel.set(floats(0, 0), 200, 400);
    expect(travel.at(200)[0]).toBe(5);
    expect(travel.at(600)[0]).toBe(0);
  });
  it("jump where there is no time, or where they are other points", () => {
    const travel = new Travel(floats(0, 0));
    travel.set(floats(3, 3), 0, 0);
    expect([...travel.at(0)]).toEqual([3, 3]);
    travel.set(floats(1, 1, 2, 2), 0, 400);
    expect(travel.at(0)).toHaveLength(4);
    expect(travel.arrived).toBe(true);
  });
});

describe("the point under the pointer", () => {
  const window = { scale: 10, x: 0, y: 0 };
  const at = (points: Float32Array, px: number, py: number, faded: number[] = [], radius = points.map(() => 2)) =>
    pick(points, radius, (i) => faded.includes(i), window, 100, 100, px, py);
  it("is the nearest within reach, y up", () => {
    expect(at(floats(0, 0, 1, 2), 60, 31)).toBe(1);
    expect(at(floats(0, 0, 0.5, 0), 53, 50)).toBe(1);
    expect(at(floats(0, 0), 70, 50)).toBeNull();
  });
  it("is reached by its size where it is large", () => {
    expect(at(floats(0, 0), 61, 50)).toBeNull();
    expect(at(floats(0, 0), 61, 50, [], floats(10, 10))).toBe(0);
  });
  it("is a faded one only where no other is near", () => {
    expect(at(floats(0, 0, 0.5, 0), 50, 50, [0])).toBe(1);
    expect(at(floats(0, 0), 50, 50, [0])).toBe(0);
  });
  it("is never one that is nowhere", () => expect(at(floats(NaN, NaN), 50, 50)).toBeNull());
});

describe("misclassified samples", () => {
  it("are gathered by their ring, with the points of the moment", () => {
    const paint = {
      fill: Uint8Array.from([1, 1, 1, 9, 2, 2, 2, 9]), ring: Uint8Array.from([0, 0, 0, 0, 7, 7, 7, 255]), radius: floats(1, 3),
    };
    const points = new MisclassifiedPoints();
    const { length, attributes } = points.at(floats(0, 0, 5, 6), paint);
    expect(length).toBe(1);
    expect([...attributes.getPosition!.value]).toEqual([5, 6]);
    expect([...attributes.getFillColor!.value]).toEqual([2, 2, 2, 9]);
    expect([...attributes.getLineColor!.value]).toEqual([7, 7, 7, 255]);
    expect(attributes.getRadius!.value[0]).toBeGreaterThan(3);
    const next = points.at(floats(0, 0, 8, 8), paint);
    expect([...next.attributes.getPosition!.value]).toEqual([8, 8]);
    expect(next.attributes.getFillColor).toBe(attributes.getFillColor); // not uploaded again
  });
});

describe("small pictures", () => {
  const colours = (...alphas: number[]) => Uint8Array.from(alphas.flatMap((alpha, i) => [i + 1, 0, 0, alpha]));
  const draw = (points: number[], alphas: number[]) => {
    const paint = { fill: colours(...alphas), ring: new Uint8Array(0), radius: new Float32Array(0) };
    const words = raster(Float32Array.from(points), paint, { scale: 1, x: 0, y: 0 }, 6, 6, 2);
    return Array.from({ length: 36 }, (_, i) => words[i]! & 0xff);
  };
  it("have squares where points are, y up", () => {
    const pixels = draw([2, 2], [255]);
    expect(pixels.flatMap((red, i) => (red ? [i] : []))).toEqual([4, 5, 10, 11]);
  });
  it("leave out what is outside or nowhere, and points without a colour", () => {
    expect(draw([9, 0, 0, -9, NaN, 0, Infinity, 1], [255, 255, 255, 255]).some(Boolean)).toBe(false);
    expect(draw([0, 0, 0, 0], [255]).filter(Boolean)).toEqual([1, 1, 1, 1]);
  });
  it("never let a faded point cover another", () => {
    expect(draw([0, 0, 0, 0], [255, 38]).filter(Boolean)).toEqual([1, 1, 1, 1]);
  });
});
