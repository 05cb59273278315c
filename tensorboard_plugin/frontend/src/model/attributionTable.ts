// Attributions as a table: what stands in each column on which scale, and how a map is drawn.  Pure functions.

import { areaWords, mapWords, overlayWords, type Scale } from "../charts/mapColours";
import { attributionMap, largestOf, smoothed, type AttributionSheet } from "./attributions";
import type { AttributionColumns, AttributionShown } from "./settings";
import { borderPath, importantAreas } from "./watershed";

/** Filters side by side. */
export const MOST_COLUMNS = 8;

/** The maps of one filter by one method, smoothed, one for each sample. */
export interface AttributionColumn extends Scale {
  key: string;
  method: string;
  /** Place in the sheet, and number in the layer. */
  place: number;
  filter: number;
  trained: Float32Array[];
  /** Of the random network, on a scale of its own: its answers are of another size. */
  twin: Float32Array[];
  twinFull: number;
}

/**
 * Columns of the table: of the first of `filters` by every method, or of all of them by one.  Full colour is the largest magnitude in the
 * column; of filters side by side by one method all columns share it.
 */
export function columnsOf(
  sheet: AttributionSheet, by: AttributionColumns, filters: readonly number[], method: number,
  { rows, twin, smoothing, magnitude = false }: {
    rows: number; twin: boolean; smoothing: number;
    /** Whether signs are given up before smoothing, and beyond the edge is nothing: what areas are found in, as in `important_regions`. */
    magnitude?: boolean;
  },
): AttributionColumn[] {
  const first = filters[0];
  if (first === undefined) return [];
  const pairs = by === "methods" ? sheet.methods.map((_, way) => [way, first] as const) : filters.map((place) => [method, place] as const);
  const maps = (network: AttributionSheet["trained"], way: number, place: number) =>
    Array.from({ length: rows }, (_, row) => {
      const map = attributionMap(sheet, network, way, place, row);
      return smoothed(magnitude ? map.map(Math.abs) : map, sheet.columns, sheet.rows, smoothing, magnitude);
    });
  const columns = pairs.map(([way, place]): AttributionColumn => {
    const trained = maps(sheet.trained, way, place);
    const untaught = twin && sheet.twin ? maps(sheet.twin, way, place) : [];
    return {
      key: `${way}/${place}`, method: sheet.methods[way] ?? "", place, filter: sheet.filters[place]!, trained, twin: untaught,
      full: largestOf(trained), twinFull: largestOf(untaught), signed: sheet.signed[way] ?? false,
    };
  });
  if (by === "methods") return columns;
  const [full, twinFull] = [Math.max(...columns.map((one) => one.full)), Math.max(...columns.map((one) => one.twinFull))];
  return columns.map((one) => ({ ...one, full, twinFull }));
}

/** How a map is drawn: its pixels, and the border of its important areas where these are shown. */
export function drawn(
  values: Float32Array, { columns, rows }: { columns: number; rows: number }, mode: AttributionShown, scale: Scale, settings: { mapOpacity: number; areaShare: number },
): { words: Uint32Array<ArrayBuffer>; border: string } {
  if (mode === "map") return { words: mapWords(values, scale), border: "" };
  if (mode === "overlay") return { words: overlayWords(values, scale, settings.mapOpacity), border: "" };
  const mask = importantAreas(values, columns, rows, settings.areaShare);
  return { words: areaWords(mask), border: borderPath(mask, columns, rows) };
}
