// A layer's feature images and exemplars, as the gallery shows them.  Pure functions on records; whatever a log
// holds, what comes out of here can be drawn.

import type { FrameRecord } from "../api/types";
import { filteringOf, snapshotsOf, type Filtering, type Snapshots } from "./featureExtras";
import { ratio } from "./format";
import type { Order } from "./settings";

/** Records looked through for each filter's newest image. */
export const MOST_RECORDS = 40;

/** The images of one record, in one buffer. */
export interface ImageSheet {
  /** Where on the axis the images were made. */
  epoch: number;
  filters: Int32Array;
  pixels: Uint8Array;
  height: number;
  width: number;
  channels: number;
  low: number[];
  high: number[];
  activation: ArrayLike<number>;
  natural: ArrayLike<number>;
  reached: ArrayLike<number>;
  /** The receptive field in the image, rows then columns, inclusive; null where it is not known. */
  field: Box | null;
  /** Filters of the layer. */
  inAll: number;
  /** Steps that each ascent took, where some ended early; null where all took all. */
  stopped: ArrayLike<number> | null;
  snapshots: Snapshots | null;
  filtering: Filtering | null;
  fields: Record<string, unknown>;
}

/** Lowest and highest row and column, inclusive; may reach beyond the picture. */
export interface Box {
  top: number;
  bottom: number;
  left: number;
  right: number;
}

/** One filter's image: row `row` of a sheet. */
export interface Tile {
  filter: number;
  sheet: ImageSheet;
  row: number;
  activation: number;
  /** The same unit's activation on the best patch of the probe; NaN = not known. */
  natural: number;
  /** false: the unit never received a gradient, so there is no image. */
  reached: boolean;
  epoch: number;
}

/** The images of a record of the kind `feature_images`; null where they cannot be drawn. */
export function imageSheet(record: FrameRecord): ImageSheet | null {
  const { filters, pixels } = record.arrays;
  if (!(filters?.values instanceof Int32Array) || !(pixels?.values instanceof Uint8Array)) return null;
  const [shown = 0, height = 0, width = 0, channels = 0] = pixels.shape;
  if (pixels.shape.length !== 4 || shown !== filters.values.length || !(height * width * channels)) return null;
  const numbers = (name: string): ArrayLike<number> => {
    const values = record.arrays[name]?.values;
    return values && !(values instanceof BigInt64Array) && values.length === shown ? values : new Float32Array(shown).fill(NaN);
  };
  const range = (name: string, otherwise: number) => {
    const values = record.arrays[name]?.values ?? [];
    return Array.from({ length: channels }, (_, i) => (i < values.length ? Number(values[i]) : otherwise));
  };
  const reached = record.arrays.reached?.values;
  const stopped = record.arrays.stopped?.values;
  const sheet: ImageSheet = {
    epoch: record.epoch, filters: filters.values, pixels: pixels.values, height, width, channels,
    low: range("low", 0), high: range("high", 1),
    activation: numbers("activation"), natural: numbers("natural"),
    reached: reached instanceof Uint8Array && reached.length === shown ? reached : new Uint8Array(shown).fill(1),
    field: boxOf(record.fields.box), inAll: Number.isInteger(record.fields.filters_in_all) ? (record.fields.filters_in_all as number) : 0,
    stopped: stopped instanceof Int32Array && stopped.length === shown ? stopped : null,
    snapshots: null, filtering: null, fields: record.fields,
  };
  return { ...sheet, snapshots: snapshotsOf(record, sheet), filtering: filteringOf(record, sheet) };
}

/** lo0, hi0, lo1, hi1 as a box; of one axis alone the picture's columns; null for anything else. */
export function boxOf(bounds: unknown): Box | null {
  if (!(Array.isArray(bounds) || ArrayBuffer.isView(bounds))) return null;
  const numbers = Array.from(bounds as ArrayLike<unknown>);
  if (!numbers.every((n) => Number.isInteger(n))) return null;
  const [a, b, c, d] = numbers as [number, number, number, number];
  if (numbers.length === 4 && a <= b && c <= d) return { top: a, bottom: b, left: c, right: d };
  if (numbers.length === 2 && a <= b) return { top: 0, bottom: 0, left: a, right: b };
  return null;
}

/** Whether images of two records may stand side by side: the same size and channels. */
export const alike = (a: ImageSheet, b: ImageSheet): boolean =>
  a.height === b.height && a.width === b.width && a.channels === b.channels;

/** Each filter's newest image; `sheets` come newest first, those unlike the newest are left out.  By filter. */
export function assemble(sheets: readonly ImageSheet[]): Tile[] {
  const newest = sheets[0];
  const tiles = new Map<number, Tile>();
  for (const sheet of sheets) {
    if (!newest || !alike(sheet, newest)) continue;
    for (const tile of tilesOf(sheet)) if (!tiles.has(tile.filter)) tiles.set(tile.filter, tile);
  }
  return [...tiles.values()].sort((a, b) => a.filter - b.filter);
}

export function tilesOf(sheet: ImageSheet): Tile[] {
  return Array.from(sheet.filters, (filter, row) => ({
    filter, sheet, row, activation: Number(sheet.activation[row]), natural: Number(sheet.natural[row]),
    reached: sheet.reached[row] !== 0, epoch: sheet.epoch,
  })).filter((tile) => tile.filter >= 0);
}

/** How much more the image drives the unit than the best patch of the probe does; NaN where that says nothing. */
export const excess = ({ activation, natural, reached }: Tile): number => (reached && natural > 0 ? activation / natural : NaN);

/** Tiles in an order; what has no image or no ratio goes last. */
export function arrange(tiles: readonly Tile[], order: Order): Tile[] {
  if (order === "ratio") {
    const key = (tile: Tile) => (Number.isFinite(excess(tile)) ? excess(tile) : -Infinity);
    return [...tiles].sort((a, b) => key(b) - key(a) || a.filter - b.filter);
  }
  if (order === "similarity") {
    const drawn = tiles.filter((tile) => tile.reached);
    return [...chain(drawn.map(thumbprint)).map((i) => drawn[i]!), ...tiles.filter((tile) => !tile.reached)];
  }
  return [...tiles];
}

/** The image in a few dozen numbers of mean 0 and length 1: averages over a grid of cells, of each channel where they are few. */
function thumbprint(tile: Tile): Float32Array {
  const { sheet, row } = tile;
  const { height, width, channels, pixels } = sheet;
  const apart = channels <= 3 ? channels : 1;
  const grid = apart === 1 ? 6 : 4;
  const [rows, columns] = [Math.min(grid, height), Math.min(grid, width)];
  const print = new Float32Array(rows * columns * apart);
  const counts = new Float32Array(print.length);
  let at = row * height * width * channels;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const cell = (Math.floor((y * rows) / height) * columns + Math.floor((x * columns) / width)) * apart;
      for (let c = 0; c < channels; c++) {
        print[cell + (c % apart)]! += pixels[at++]!;
        counts[cell + (c % apart)]!++;
      }
    }
  }
  let mean = 0;
  print.forEach((sum, i) => (mean += (print[i] = sum / counts[i]!)));
  mean /= print.length;
  let length = 0;
  print.forEach((value, i) => (length += (print[i] = value - mean) ** 2));
  const scale = 1 / (Math.sqrt(length) || 1);
  return print.map((value) => value * scale);
}

/** A path through vectors in which each is followed by the most similar one that is left; starts at the oddest. */
export function chain(vectors: readonly Float32Array[]): number[] {
  const left = new Set(vectors.keys());
  const mean = new Float32Array(vectors[0]?.length ?? 0);
  for (const vector of vectors) vector.forEach((value, i) => (mean[i]! += value));
  const nearest = (to: Float32Array, sign: 1 | -1) => {
    let best = -1;
    let most = -Infinity;
    for (const i of left) {
      const vector = vectors[i]!;
      let product = 0;
      for (let k = 0; k < to.length; k++) product += to[k]! * vector[k]!;
      if (sign * product > most) [most, best] = [sign * product, i];
    }
    left.delete(best);
    return best;
  };
  const path: number[] = [];
  if (vectors.length) path.push(nearest(mean, -1));
  while (left.size) path.push(nearest(vectors[path.at(-1)!]!, 1));
  return path;
}

/** Whether the images are no pictures but rows of numbers: of an input that is a vector or a series. */
export const isLine = (sheet: ImageSheet): boolean => sheet.height === 1 && sheet.width > 1;

/** The numbers of such an image, a row for each channel shown; colours are CSS. */
export function valuesOf({ sheet, row }: Pick<Tile, "sheet" | "row">, choice: Channels): { values: Float64Array; colour: string }[] {
  const { width, channels, pixels, low, high } = sheet;
  const channel = (c: number) =>
    Float64Array.from({ length: width }, (_, i) => low[c]! + (pixels[(row * width + i) * channels + c]! / 255) * (high[c]! - low[c]!));
  if (typeof choice === "number") return [{ values: channel(Math.min(choice, channels - 1)), colour: "var(--accent)" }];
  const all = Array.from({ length: channels }, (_, c) => channel(c));
  if (choice === "all" && channels > 1) return all.slice(0, 3).map((values, c) => ({ values, colour: `var(--channel-${c})` }));
  return [{ values: all[0]!.map((_, i) => all.reduce((sum, values) => sum + values[i]!, 0) / channels), colour: "var(--accent)" }];
}

/** How channels can be shown: as they are, one of them, or their mean. */
export type Channels = "all" | "mean" | number;

/** What can be chosen for so many channels; the first is the default. */
export function channelChoices(channels: number): Channels[] {
  const single = Array.from({ length: channels }, (_, i) => i);
  return channels === 1 ? ["all"] : channels <= 3 ? ["all", "mean", ...single] : ["mean", ...single];
}

export function channelName(choice: Channels, channels: number): string {
  if (choice === "mean") return `mean of ${channels} channels`;
  if (choice !== "all") return `channel ${choice}`;
  return channels === 1 ? "one channel" : channels === 2 ? "red and green" : "red, green, blue";
}

/** A caption that says what the colours mean, with the values at both ends. */
export function colourNote(sheet: ImageSheet, choice: Channels): string {
  const range = (i: number) => `${ratio(sheet.low[i])} … ${ratio(sheet.high[i])}`;
  if (isLine(sheet)) {
    const shown = choice === "all" && sheet.channels > 1 ? `channels ${["red", "green", "blue"].slice(0, sheet.channels).map((name, c) => `${c} ${name}`).join(", ")}` : channelName(choice, sheet.channels);
    return `${sheet.width} values along the input, ${shown}; all on one scale, ${ratio(Math.min(0, ...sheet.low))} … ${ratio(Math.max(0, ...sheet.high))}`;
  }
  const same = sheet.low.every((low, i) => low === sheet.low[0] && sheet.high[i] === sheet.high[0]);
  if (choice === "all" && sheet.channels > 1) {
    const names = sheet.channels === 2 ? ["red", "green"] : ["red", "green", "blue"];
    return `channels ${names.map((_, i) => i).join(", ")} as ${names.join(", ")}: ` + (same ? range(0) : names.map((name, i) => `${name} ${range(i)}`).join(", "));
  }
  if (typeof choice === "number") return `channel ${choice} as grey, black … white = ${range(choice)}`;
  return `${sheet.channels > 1 ? `the mean of ${sheet.channels} channels` : "one channel"} as grey, black … white = ${same ? range(0) : "lowest … highest of each channel"}`;
}

/** The image of a tile as RGBA bytes. */
export function rgba({ sheet, row }: Pick<Tile, "sheet" | "row">, choice: Channels): Uint8ClampedArray<ArrayBuffer> {
  const { height, width, channels, pixels } = sheet;
  const size = height * width;
  const out = new Uint8ClampedArray(4 * size);
  const start = row * size * channels;
  for (let i = 0; i < size; i++) {
    const at = start + i * channels;
    if (choice === "all" && channels > 1) {
      out[4 * i] = pixels[at]!;
      out[4 * i + 1] = pixels[at + 1]!;
      out[4 * i + 2] = channels > 2 ? pixels[at + 2]! : 0;
    } else {
      let grey = 0;
      if (choice === "mean") {
        for (let c = 0; c < channels; c++) grey += pixels[at + c]! / channels;
      } else grey = pixels[at + (choice === "all" ? 0 : Math.min(choice, channels - 1))]!;
      out[4 * i] = out[4 * i + 1] = out[4 * i + 2] = grey;
    }
    out[4 * i + 3] = 255;
  }
  return out;
}
