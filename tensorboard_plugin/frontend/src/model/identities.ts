// Clusters that keep their number from epoch to epoch, and one hue for each.  Pure functions.

import type { FrameRecord } from "../api/types";
import { categoryColours, noise, type Rgb } from "../theme/palette";

const HUES = 20;
/** Coprime to HUES: identities that follow each other are far apart on the hue circle. */
const STRIDE = 7;
const palettes = new Map<boolean, Rgb[]>();

/** The hue of a cluster that keeps its identity; noise (−1) is black, light grey in the dark.  Hues repeat after 20. */
export function identityColour(identity: number, dark: boolean): Rgb {
  if (identity < 0) return noise(dark);
  let palette = palettes.get(dark);
  if (!palette) palettes.set(dark, (palette = categoryColours(HUES, dark)!));
  return palette[(Math.floor(identity) * STRIDE) % HUES]!;
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
