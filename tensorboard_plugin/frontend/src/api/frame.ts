// Decodes a frame: records with binary arrays.  Whatever is wrong with a record ends up in `damaged`;
// only a frame that is none at all throws.

import { text } from "./normalise";
import type { Damage, DecodedArray, Frame, FrameRecord, NumericArray } from "./types";

const MAGIC = "FWF1";

const DTYPES: Record<string, { bytes: number; view: (b: ArrayBuffer, at: number, n: number) => NumericArray }> = {
  "<f4": { bytes: 4, view: (b, at, n) => new Float32Array(b, at, n) },
  "<f8": { bytes: 8, view: (b, at, n) => new Float64Array(b, at, n) },
  "<i4": { bytes: 4, view: (b, at, n) => new Int32Array(b, at, n) },
  "<i8": { bytes: 8, view: (b, at, n) => new BigInt64Array(b, at, n) },
  "<u2": { bytes: 2, view: (b, at, n) => new Uint16Array(b, at, n) },
  "|u1": { bytes: 1, view: (b, at, n) => new Uint8Array(b, at, n) },
};

export class FrameError extends Error {}

/** The records of a frame and what in it is damaged.  Throws FrameError where `buffer` is not a frame. */
export function decodeFrame(buffer: ArrayBuffer): Frame {
  if (buffer.byteLength < 8) throw new FrameError("the answer is too short to be a frame");
  const magic = String.fromCharCode(...new Uint8Array(buffer, 0, 4));
  if (magic !== MAGIC) throw new FrameError("the answer is not a frame");
  const length = new DataView(buffer).getUint32(4, true);
  const start = 8 + length;
  if (start > buffer.byteLength || start % 8 !== 0) throw new FrameError("the frame's header is cut off");
  const header = parseHeader(new Uint8Array(buffer, 8, length));
  const damaged: Damage[] = header.damaged;
  const records: FrameRecord[] = [];
  for (const raw of header.records) {
    try {
      records.push(decodeRecord(raw, buffer, start));
    } catch (error) {
      const layer = isObject(raw) && typeof raw.layer === "string" ? raw.layer : "";
      damaged.push({ layer, reason: error instanceof Error ? error.message : "unreadable" });
    }
  }
  return { records, damaged };
}

function parseHeader(bytes: Uint8Array): { records: unknown[]; damaged: Damage[] } {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw new FrameError("the frame's header is not JSON");
  }
  if (!isObject(header) || !Array.isArray(header.records)) throw new FrameError("the frame's header has no records");
  const damaged = (Array.isArray(header.damaged) ? header.damaged : [])
    .filter(isObject)
    .map((item) => ({ layer: text(item.layer), reason: text(item.reason) || "unreadable" }));
  return { records: header.records, damaged };
}

function decodeRecord(raw: unknown, buffer: ArrayBuffer, start: number): FrameRecord {
  if (!isObject(raw)) throw new FrameError("a record is not an object");
  const { kind, layer, epoch, fields, arrays } = raw;
  if (typeof kind !== "string" || typeof layer !== "string" || !Number.isInteger(epoch)) {
    throw new FrameError("a record does not say what it is");
  }
  const decoded: Record<string, DecodedArray> = {};
  for (const [name, entry] of Object.entries(isObject(arrays) ? arrays : {})) {
    decoded[name] = decodeArray(name, entry, buffer, start);
  }
  return { kind, layer, epoch: epoch as number, fields: isObject(fields) ? fields : {}, arrays: decoded };
}

function decodeArray(name: string, entry: unknown, buffer: ArrayBuffer, start: number): DecodedArray {
  if (!isObject(entry)) throw new FrameError(`array '${name}' is not described`);
  const type = typeof entry.dtype === "string" && Object.hasOwn(DTYPES, entry.dtype) ? DTYPES[entry.dtype] : undefined;
  if (!type) throw new FrameError(`array '${name}' is of an unknown type`);
  const shape = entry.shape;
  if (!Array.isArray(shape) || !shape.every((n) => Number.isSafeInteger(n) && n >= 0)) {
    throw new FrameError(`array '${name}' has no sensible shape`);
  }
  const count = (shape as number[]).reduce((product, n) => product * n, 1);
  const offset = entry.offset;
  if (!Number.isSafeInteger(offset) || (offset as number) < 0 || (offset as number) % 8 !== 0) {
    throw new FrameError(`array '${name}' is not where it should be`);
  }
  const at = start + (offset as number);
  if (!Number.isSafeInteger(count) || at + count * type.bytes > buffer.byteLength) {
    throw new FrameError(`array '${name}' is longer than the answer`);
  }
  const table = Array.isArray(entry.table) ? entry.table.map(text) : null;
  return { shape: shape as number[], values: type.view(buffer, at, count), table };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
