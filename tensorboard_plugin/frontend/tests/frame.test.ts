import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { decodeFrame, FrameError } from "../src/api/frame";
import { pointsOf } from "../src/model/look.svelte";
import { filterRows, groups } from "../src/model/filters";

/** A frame as `http_api.md` lays it out; `header` may say anything. */
function frame(header: unknown, payload = new Uint8Array(0)): ArrayBuffer {
  const json = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const length = Math.ceil(json.length / 8) * 8;
  const bytes = new Uint8Array(8 + length + payload.length).fill(32);
  bytes.set(new TextEncoder().encode("FWF1"));
  new DataView(bytes.buffer).setUint32(4, length, true);
  bytes.set(json, 8);
  bytes.set(payload, 8 + length);
  return bytes.buffer;
}

const record = (arrays: unknown, more = {}) => ({ kind: "embedding", layer: "conv1", epoch: 3, fields: {}, arrays, ...more });
const points = { dtype: "<f4", shape: [2, 2], offset: 0 };
const payload = new Uint8Array(new Float32Array([1, 2, 3, 4]).buffer);

function stored(name: string): ArrayBuffer {
  const bytes = readFileSync(new URL(`./fixtures/${name}`, import.meta.url));
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
}

describe("frames that the plugin really sent", () => {
  it("gives the embedding that fw.load gives", () => {
    const { records, damaged } = decodeFrame(stored("embedding.frame"));
    const found = records.find((entry) => entry.layer === "classifier")!;
    expect(damaged).toEqual([]);
    expect(found.epoch).toBe(2);
    expect(found.fields.started_from).toBe(1);
    expect([...pointsOf(found)!]).toEqual([-3.8492369651794434, -4.315333843231201, 1.8387370109558105, 5.002381324768066]);
  });

  it("gives the filters that fw.load gives, causes by name", () => {
    const rows = filterRows(decodeFrame(stored("health.frame")).records[0]!);
    expect(rows).toHaveLength(64);
    expect(rows[0]!.energy).toBe(1.6223427057266235);
    expect(rows[63]!.energy).toBe(0.9603138566017151);
    expect(rows[5]!.bias).toBe(-0.011313717812299728);
    expect(rows.filter((row) => row.dead).map((row) => [row.index, row.cause])).toEqual([
      [11, "negative bias"], [33, "no energy"], [44, "negative bias"],
    ]);
    expect([...groups(rows)].map(([group, members]) => [group, members.length]).sort()).toEqual([[0, 2], [1, 3]]);
    expect(rows.reduce((sum, row) => sum + row.active, 0)).toBeCloseTo(23.54899, 4);
  });
});

describe("frames that are damaged or hostile", () => {
  it("decodes what is whole", () => {
    const { records } = decodeFrame(frame({ records: [record({ points })], damaged: [] }, payload));
    expect([...records[0]!.arrays.points!.values]).toEqual([1, 2, 3, 4]);
  });

  it.each([
    ["beyond the end", { ...points, offset: 8 }],
    ["negative offset", { ...points, offset: -8 }],
    ["crooked offset", { ...points, offset: 4 }],
    ["fractional offset", { ...points, offset: 0.5 }],
    ["unknown type", { ...points, dtype: "<f2" }],
    ["type from the prototype", { ...points, dtype: "constructor" }],
    ["negative shape", { ...points, shape: [-2, -2] }],
    ["astronomical shape", { ...points, shape: [2 ** 40, 2 ** 40] }],
    ["shape that is none", { ...points, shape: "2,2" }],
    ["no description", null],
  ])("says that an array is damaged: %s", (_, entry) => {
    const { records, damaged } = decodeFrame(frame({ records: [record({ points: entry })] }, payload));
    expect(records).toEqual([]);
    expect(damaged).toHaveLength(1);
    expect(damaged[0]!.layer).toBe("conv1");
    expect(damaged[0]!.reason).toContain("points");
  });

  it("takes for points only pairs", () => {
    const shaped = (shape: number[]) => pointsOf(decodeFrame(frame({ records: [record({ points: { ...points, shape } })] }, payload)).records[0]!);
    expect(shaped([2, 2])).toHaveLength(4);
    expect([shaped([4]), shaped([1, 4]), shaped([1, 2, 2])]).toEqual([null, null, null]);
    expect(pointsOf(decodeFrame(frame({ records: [record({})] })).records[0]!)).toBeNull();
  });

  it("keeps the readable records beside a damaged one, and the server's own findings", () => {
    const header = {
      records: [record({ points }), record({ points: { ...points, shape: [9, 2] } }, { layer: "conv2" }), 7, { kind: 1 }],
      damaged: [{ layer: "conv3", reason: { toString: 1 } }],
    };
    const { records, damaged } = decodeFrame(frame(header, payload));
    expect(records.map((entry) => entry.layer)).toEqual(["conv1"]);
    expect(damaged.map((entry) => entry.layer)).toEqual(["conv3", "conv2", "", ""]);
  });

  it.each([
    ["empty", new ArrayBuffer(0)],
    ["of another kind", new TextEncoder().encode("<html>not found").buffer as ArrayBuffer],
    ["cut off in the header", frame({ records: [] }).slice(0, 12)],
    ["without JSON", frame("not json")],
    ["without records", frame({ damaged: [] })],
    ["a list", frame([1, 2])],
  ])("refuses what is no frame: %s", (_, buffer) => {
    expect(() => decodeFrame(buffer)).toThrow(FrameError);
  });

  it("never throws anything else, whatever bit is flipped", () => {
    const whole = new Uint8Array(stored("health.frame"));
    let seed = 1;
    const random = (n: number) => (seed = (seed * 48271) % 2147483647) % n;
    for (let i = 0; i < 400; i++) {
      const bytes = whole.slice(0, random(3) ? whole.length : random(whole.length));
      if (bytes.length) bytes[random(Math.min(bytes.length, 1200))]! ^= 1 << random(8);
      try {
        decodeFrame(bytes.buffer);
      } catch (error) {
        expect(error).toBeInstanceOf(FrameError);
      }
    }
  });
});
