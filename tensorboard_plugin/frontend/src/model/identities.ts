// Clusters that keep their number from epoch to epoch, and one hue for each.  Pure functions.

import type { FrameRecord } from "../api/types";
import { noise, oklch, type Rgb } from "../theme/palette";

/** Degrees: turned by it again and again, hues fill the circle evenly, however many there are. */
const GOLDEN = 360 * (1 - 2 / (1 + Math.sqrt(5)));
/** Hues come nearest after a Fibonacci number of turns; these differ in lightness, too: none of 21, 34, 55, 89 divides by 4. */
const LIGHTER = [-0.07, 0.03, 0.09, -0.02];
const palettes = { light: new Map<number, Rgb>(), dark: new Map<number, Rgb>() };

/** The colour of a cluster that keeps its identity, the same in every view; noise (−1) is black, light grey in the dark. */
export function identityColour(identity: number, dark: boolean): Rgb {
  if (identity < 0) return noise(dark);
  const palette = dark ? palettes.dark : palettes.light;
  const turns = Math.floor(identity) % 1024;
  let colour = palette.get(turns);
  if (!colour) palette.set(turns, (colour = oklch((dark ? 0.74 : 0.63) + LIGHTER[turns % 4]!, 0.15, (255 + GOLDEN * turns) % 360)));
  return colour;
}

/** The identity of each cluster of a record; where none was recorded, or it does not fit, the cluster's own number. */
export function clusterIdentities(record: FrameRecord): Int32Array {
  const count = clusterCount(record);
  const found = record.arrays.identities?.values;
  if (found instanceof Int32Array && found.length === count && new Set(found).size === count && found.every((identity) => identity >= 0)) return found;
  return Int32Array.from({ length: count }, (_, cluster) => cluster);
}

/** Whether the clusters of a record are known by identity; else their numbers mean nothing beyond their epoch. */
export function keepsIdentity(record: FrameRecord): boolean {
  return record.arrays.identities?.values instanceof Int32Array && clusterIdentities(record) === record.arrays.identities.values;
}

/** The identity of each sample's cluster, −1 = noise; null where the record has no labels. */
export function sampleIdentities(record: FrameRecord): Int32Array | null {
  const labels = record.arrays.labels?.values;
  if (!(labels instanceof Int32Array)) return null;
  const identities = clusterIdentities(record);
  return labels.map((label) => (label < 0 ? -1 : (identities[label] ?? -1)));
}

/** One more than the highest label; what the record says of its count is not relied on. */
function clusterCount(record: FrameRecord): number {
  const labels = record.arrays.labels?.values;
  let count = 0;
  if (labels instanceof Int32Array) for (const label of labels) if (label >= count) count = label + 1;
  return Math.min(count, labels?.length ?? 0);
}
