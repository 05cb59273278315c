// How the probe's samples look: category, colour, ring and size of each.  Pure functions on columns.

import type { Column } from "./columns";
import { identityColour } from "./identities";
import { largestHue, largestName, type Largest } from "./largest";
import type { ColourBy, SizeBy } from "./settings";
import { categoryColours, darker, neutral, noise, sequential, type Rgb } from "../theme/palette";

/** What is known of each sample; a column that was not recorded is null. */
export interface SampleColumns {
  count: number;
  /** −1 = no label. */
  labels: Int32Array | null;
  predicted: Int32Array | null;
  certainty: Float32Array | null;
  /** −1 = noise. */
  cluster: Int32Array | null;
  /** Whether clusters are known by a number that they keep over epochs. */
  lasting?: boolean;
  /** The filter of each sample's largest number. */
  largest?: Largest | null;
  classNames: string[];
  /** The attribute or target that was chosen. */
  column?: Column | null;
}

export interface LegendEntry {
  key: number;
  name: string;
  count: number;
  wrong: number;
  colour: Rgb;
}

/** Colours and sizes, four bytes a colour, one radius in pixels a sample. */
export interface Paint {
  fill: Uint8Array;
  ring: Uint8Array;
  radius: Float32Array;
}

export interface PaintOptions {
  colourBy: ColourBy;
  sizeBy: SizeBy;
  /** Categories that stand out; empty = all do. */
  isolated: ReadonlySet<number>;
  /** Samples that stand out from the others; null = there is no such choice. */
  selected?: ReadonlySet<number> | null;
  dark: boolean;
}

const SMALLEST = 1.5; // px radius: diameters 3–9 px
const LARGEST = 4.5;
const UNIFORM = 2.75;
const SHOWN = 215;
/** Of samples that are not selected while others are: back, but not out of reach as those outside an isolated class. */
const BACK = 105;
const FADED = 38;
const MOST_HUES = 20;
/** Above so many samples points shrink, down to a bit more than half, or they would cover each other. */
const CROWDED = 2500;

export function className(columns: Pick<SampleColumns, "classNames">, index: number): string {
  return index < 0 ? "no label" : columns.classNames[index] || String(index);
}

export function categories(columns: SampleColumns, by: ColourBy): Int32Array | null {
  if (by === "column") return columns.column?.kind === "category" ? columns.column.keys : null;
  if (by === "largest") return columns.largest?.keys ?? null;
  return by === "true" ? columns.labels : by === "predicted" ? columns.predicted : columns.cluster;
}

/** How many categories share the hues: all classes for both ways to colour by class, so that hues mean the same. */
export function categoryCount(columns: SampleColumns, by: ColourBy): number {
  if (by === "cluster") return 1 + highest(columns.cluster);
  if (by === "column") return columns.column?.kind === "category" ? columns.column.names.length : 0;
  if (by === "largest") return columns.largest?.hues.size ?? 0;
  return Math.max(columns.classNames.length, 1 + highest(columns.labels), 1 + highest(columns.predicted));
}

export const isWrong = (columns: SampleColumns, i: number): boolean =>
  (columns.labels?.[i] ?? -1) >= 0 && columns.predicted !== null && columns.predicted[i] !== columns.labels![i];

/**
 * The hue of every category.  Where there are too many to tell apart, classes are grey until isolated,
 * and of clusters the largest have hues.
 */
export function hues(columns: SampleColumns, options: Pick<PaintOptions, "colourBy" | "isolated" | "dark">): (key: number) => Rgb {
  const { colourBy, isolated, dark } = options;
  const { largest: filters } = columns;
  if (colourBy === "largest" && filters) return (key) => largestHue(filters, key, dark);
  if (colourBy === "cluster" && columns.lasting) return (key) => identityColour(key, dark);
  const all = categoryColours(categoryCount(columns, colourBy), dark);
  const some = all ? null : categoryColours(colourBy === "cluster" && !isolated.size ? MOST_HUES : Math.min(isolated.size, MOST_HUES), dark);
  const order = isolated.size || colourBy !== "cluster" ? [...isolated].sort((a, b) => a - b) : largest(columns.cluster);
  return (key) => {
    if (key < 0) return colourBy === "cluster" ? noise(dark) : neutral(dark);
    if (all) return all[key] ?? neutral(dark);
    return some?.[order.indexOf(key)] ?? neutral(dark);
  };
}

/** Categories that occur, with their counts and how many samples of each are misclassified. */
export function legend(columns: SampleColumns, options: Pick<PaintOptions, "colourBy" | "isolated" | "dark">): LegendEntry[] {
  const keys = categories(columns, options.colourBy);
  if (!keys) return [];
  const counts = new Map<number, { count: number; wrong: number }>();
  for (let i = 0; i < columns.count; i++) {
    const entry = counts.get(keys[i]!) ?? { count: 0, wrong: 0 };
    entry.count++;
    if (isWrong(columns, i)) entry.wrong++;
    counts.set(keys[i]!, entry);
  }
  const hue = hues(columns, options);
  const name = (key: number) =>
    options.colourBy === "cluster" ? (key < 0 ? "noise" : String(key))
    : options.colourBy === "column" ? columnValue(columns, key)
    : options.colourBy === "largest" && columns.largest ? largestName(columns.largest, key)
    : className(columns, key);
  return [...counts]
    .sort(([a], [b]) => (a < 0 ? 1 : b < 0 ? -1 : a - b))
    .map(([key, entry]) => ({ key, name: name(key), ...entry, colour: hue(key) }));
}

/** Fill, ring and radius of every sample.  Misclassified: darker, ringed in the predicted class's hue. */
export function paint(columns: SampleColumns, options: PaintOptions): Paint {
  const { count } = columns;
  const keys = categories(columns, options.colourBy);
  const hue = hues(columns, options);
  // The ring names the predicted class, whatever the fill shows.
  const byClass = options.colourBy === "true" || options.colourBy === "predicted";
  const classHue = byClass ? hue : hues(columns, { ...options, colourBy: "true", isolated: new Set() });
  const scale = options.colourBy === "column" ? scaled(columns.column, options.dark) : null;
  const fill = new Uint8Array(4 * count);
  const ring = new Uint8Array(4 * count);
  const radius = new Float32Array(count);
  const shrink = Math.max(0.55, Math.min(1, Math.sqrt(CROWDED / Math.max(count, 1))));
  for (let i = 0; i < count; i++) {
    const key = keys ? keys[i]! : -1;
    const shown = !keys || options.isolated.size === 0 || options.isolated.has(key);
    const wrong = isWrong(columns, i);
    const colour = scale ? scale(i) : keys ? hue(key) : neutral(options.dark);
    // Darker on a scale would be another value: there the ring alone says it.
    fill.set(wrong && !scale ? darker(colour) : colour, 4 * i);
    const back = options.selected ? !options.selected.has(i) : false;
    fill[4 * i + 3] = !shown ? FADED : back ? BACK : SHOWN;
    ring.set(wrong ? classHue(columns.predicted![i]!) : fill.subarray(4 * i, 4 * i + 3), 4 * i);
    ring[4 * i + 3] = wrong && shown ? (back ? BACK : 255) : 0;
    radius[i] = shrink * sizeOf(columns.certainty?.[i], options.sizeBy);
  }
  return { fill, ring, radius };
}

const columnValue = ({ column }: SampleColumns, key: number): string => (key < 0 || column?.kind !== "category" ? "not known" : (column.names[key] ?? ""));

/** The colour of each sample on the scale of a numeric column; null for any other. */
function scaled(column: Column | null | undefined, dark: boolean): ((i: number) => Rgb) | null {
  if (column?.kind !== "numeric") return null;
  const { values, low, high } = column;
  return (i) => (Number.isFinite(values[i]) ? sequential(high > low ? (values[i]! - low) / (high - low) : 0.5) : neutral(dark));
}

/** The clusters with most samples, largest first. */
function largest(clusters: Int32Array | null): number[] {
  const sizes = new Map<number, number>();
  for (const key of clusters ?? []) if (key >= 0) sizes.set(key, (sizes.get(key) ?? 0) + 1);
  return [...sizes].sort((a, b) => b[1] - a[1]).slice(0, MOST_HUES).map(([key]) => key);
}

function sizeOf(certainty: number | undefined, by: SizeBy): number {
  if (by === "uniform" || certainty === undefined || !Number.isFinite(certainty)) return UNIFORM;
  const share = Math.min(Math.max(by === "certainty" ? certainty : 1 - certainty, 0), 1);
  return SMALLEST + (LARGEST - SMALLEST) * share;
}

function highest(keys: ArrayLike<number> | null): number {
  let most = -1;
  for (let i = 0; i < (keys?.length ?? 0); i++) if (keys![i]! > most) most = keys![i]!;
  return most;
}
