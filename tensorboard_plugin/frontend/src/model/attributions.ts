// What filters answer to in some samples, by several methods.  Pure functions on records; whatever a log holds, what comes out
// of here can be drawn.

import { list, text, whole } from "../api/plain";
import type { FrameRecord, Thumbnails } from "../api/types";
import { boxOf, type Box } from "./gallery";

/** Maps of one network: methods × filters × samples. */
interface Network {
  /** (pixel − 128) / 127 · `reach`. */
  pixels: Uint8Array;
  reach: Float32Array;
}

export interface AttributionSheet {
  /** Where on the axis they were recorded. */
  epoch: number;
  methods: string[];
  filters: Int32Array;
  /** Indices into the probe. */
  samples: Int32Array;
  rows: number;
  columns: number;
  trained: Network;
  /** Of a network of the same architecture that has learnt nothing; null where there is none. */
  twin: Network | null;
  /** The largest of each filter's map of each sample; NaN = not known. */
  activation: Float32Array;
  /** Receptive fields of the units that act most, in the input. */
  boxes: (filter: number, sample: number) => Box[];
  /** What the boxes are in: the input; where it is not known, the maps. */
  input: { height: number; width: number };
  /** Which methods have values below 0. */
  signed: boolean[];
  note: string;
}

const NAMES: Record<string, string> = {
  saliency: "Saliency", occlusion: "Occlusion", deconv: "DeconvNet", guided: "Guided backprop", gradient: "Gradient",
};

const HELP: Record<string, string> = {
  saliency: "How strongly the filter's answer changes with each pixel, either way.",
  occlusion: "How much the answer drops (orange) or rises (blue) when a patch there is hidden.",
  deconv: "What excites the strongest units, carried back to the input; only what is positive on the way passes.",
  guided: "As plain backprop, but only what excites passes on the way: sharp, and near to an edge picture of the input.",
  gradient: "The gradient of the strongest units at each pixel: brighter there (orange) or darker there (blue) excites more.",
};

/** Pixels of a map that are still drawn, and methods: more are in no honest record. */
const MOST_PIXELS = 2 ** 20, MOST_METHODS = 12;

const own = (words: Record<string, string>, name: string): string => (Object.hasOwn(words, name) ? words[name]! : name);

/** What a method is called, and what it says; of one that is not known, its own name. */
export const methodName = (method: string): string => own(NAMES, method);
export const methodHelp = (method: string): string => own(HELP, method);

/** The maps of a record; null where they cannot be drawn. */
export function attributionsOf(record: FrameRecord): AttributionSheet | null {
  const { methods, filters, samples, pixels, reach, activation, boxes, twin_pixels, twin_reach } = record.arrays;
  if (record.kind !== "attributions" || !(pixels?.values instanceof Uint8Array) || pixels.shape.length !== 5) return null;
  if (!methods?.table || !(filters?.values instanceof Int32Array) || !(samples?.values instanceof Int32Array)) return null;
  const [ways = 0, chosen = 0, shown = 0, rows = 0, columns = 0] = pixels.shape;
  const maps = ways * chosen * shown;
  if (!(maps * rows * columns) || rows * columns > MOST_PIXELS || ways > MOST_METHODS || methods.values.length !== ways || filters.values.length !== chosen || samples.values.length !== shown) return null;
  const numbers = (array: typeof reach, length: number) => (array?.values instanceof Float32Array && array.values.length === length ? array.values : null);
  const trained = { pixels: pixels.values, reach: numbers(reach, maps) ?? new Float32Array(maps).fill(NaN) };
  const untaught = twin_pixels?.values instanceof Uint8Array && twin_pixels.values.length === trained.pixels.length ? twin_pixels.values : null;
  const twin = untaught && { pixels: untaught, reach: numbers(twin_reach, maps) ?? new Float32Array(maps).fill(NaN) };
  const size = list(record.fields.input_shape).map((n) => whole(n));
  const input = size.length === 2 && size[0]! > 0 && size[1]! > 0 ? { height: size[0]!, width: size[1]! } : { height: rows, width: columns };
  const units = boxes?.values instanceof Int32Array && boxes.shape.length === 4 && boxes.shape[0] === chosen && boxes.shape[1] === shown && boxes.shape[3] === 4 ? boxes.shape[2]! : 0;
  const block = chosen * shown * rows * columns;
  return {
    epoch: record.epoch, methods: Array.from({ length: ways }, (_, i) => methods.table![Number(methods.values[i])] ?? ""), filters: filters.values, samples: samples.values, rows, columns, trained, twin,
    activation: numbers(activation, chosen * shown) ?? new Float32Array(chosen * shown).fill(NaN),
    boxes: (filter, sample) =>
      Array.from({ length: units }, (_, unit) => 4 * ((filter * shown + sample) * units + unit))
        .map((at) => (boxes!.values as Int32Array).subarray(at, at + 4))
        .flatMap((bounds) => (bounds.every((bound) => bound >= 0) ? (boxOf(bounds) ?? []) : [])),
    input, note: text(record.fields.note),
    signed: Array.from({ length: ways }, (_, method) =>
      [trained.pixels, twin?.pixels].some((one) => one?.subarray(method * block, (method + 1) * block).some((pixel) => pixel < 128)),
    ),
  };
}

/** One map, row by row; `method`, `filter` and `sample` are places in the sheet.  Of unknown reach: between −1 and 1. */
export function attributionMap(sheet: AttributionSheet, network: Network, method: number, filter: number, sample: number): Float32Array {
  const place = (method * sheet.filters.length + filter) * sheet.samples.length + sample;
  const size = sheet.rows * sheet.columns;
  const reach = network.reach[place]!;
  const scale = (Number.isFinite(reach) ? reach : 1) / 127;
  return Float32Array.from(network.pixels.subarray(place * size, (place + 1) * size), (pixel) => (pixel - 128) * scale);
}

/**
 * A map smoothed by a Gaussian of standard deviation `sigma` pixels, cut off at four of them.  At edges the weights that are left are brought
 * to the sum 1, so that a flat map stays as it is; with `open` edges there is nothing beyond.
 */
export function smoothed(values: Float32Array, width: number, height: number, sigma: number, open = false): Float32Array {
  if (!(sigma > 0)) return values;
  const reach = Math.floor(4 * sigma + 0.5);
  const weights = Array.from({ length: reach + 1 }, (_, i) => Math.exp(-(i * i) / (2 * sigma * sigma)));
  const all = weights.reduce((sum, weight, i) => sum + (i ? 2 : 1) * weight, 0);
  const along = (from: Float32Array, length: number, step: number, start: (line: number) => number, lines: number): Float32Array => {
    const to = new Float32Array(from.length);
    for (let line = 0; line < lines; line++) {
      const first = start(line);
      for (let i = 0; i < length; i++) {
        let [sum, whole] = [0, 0];
        for (let j = Math.max(0, i - reach); j <= Math.min(length - 1, i + reach); j++) {
          const weight = weights[Math.abs(i - j)]!;
          sum += weight * from[first + j * step]!;
          whole += weight;
        }
        to[first + i * step] = sum / (open ? all : whole);
      }
    }
    return to;
  };
  const across = along(values, width, 1, (y) => y * width, height);
  return along(across, height, width, (x) => x, width);
}

/** The largest magnitude of some maps: what full colour stands for; 0 where all are 0. */
export function largestOf(maps: readonly Float32Array[]): number {
  let most = 0;
  for (const map of maps) for (const value of map) if (Math.abs(value) > most && Number.isFinite(value)) most = Math.abs(value);
  return most;
}

/** Filters to show, as places in the sheet: those that are selected, in the sheet's order; where none of them is in it, all or the first. */
export function chosenOf(sheet: AttributionSheet, selected: readonly number[], otherwise: "all" | "first"): number[] {
  const places = Array.from(sheet.filters.keys());
  const chosen = places.filter((place) => selected.includes(sheet.filters[place]!));
  return chosen.length ? chosen : otherwise === "all" ? places : places.slice(0, 1);
}

/** Whether the thumbnails show what maps of this input are of: pictures of the same shape. */
export function fits(input: { height: number; width: number }, grid: Thumbnails | null): boolean {
  const stretched = grid ? grid.width / grid.height / (input.width / input.height) : 0;
  return stretched > 0.85 && stretched < 1.18;
}
