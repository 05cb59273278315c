// The clusters of one record: how large, of what, and who stands for them.  Pure functions.

import type { FrameRecord } from "../api/types";
import { clusterIdentities } from "./identities";

export interface ClusterFacts {
  identity: number;
  /** Samples in it, rising. */
  members: number[];
  /** The most frequent label among its labelled samples, and its share of them; −1 and NaN where none is labelled. */
  label: number;
  purity: number;
  /** Samples that stand for it, the most central first. */
  representatives: number[];
}

/** The clusters, the largest first; null where the record has no labels. */
export function clustersOf(record: FrameRecord, classes: ArrayLike<number> | null): ClusterFacts[] | null {
  const labels = record.arrays.labels?.values;
  if (!(labels instanceof Int32Array)) return null;
  const identities = clusterIdentities(record);
  const members: number[][] = Array.from(identities, () => []);
  labels.forEach((cluster, sample) => members[cluster]?.push(sample));
  const facts = members.map((inside, cluster): ClusterFacts => ({
    identity: identities[cluster]!, members: inside, ...majority(inside, classes), representatives: representativesOf(record, cluster, identities.length, labels),
  }));
  return facts.filter(({ members: inside }) => inside.length).sort((a, b) => b.members.length - a.members.length || a.identity - b.identity);
}

export const noiseOf = (record: FrameRecord): number[] => {
  const labels = record.arrays.labels?.values;
  return labels instanceof Int32Array ? Array.from(labels.keys()).filter((sample) => labels[sample]! < 0) : [];
};

function majority(members: readonly number[], classes: ArrayLike<number> | null): { label: number; purity: number } {
  const counts = new Map<number, number>();
  let labelled = 0;
  for (const sample of members) {
    const label = classes?.[sample] ?? -1;
    if (label < 0) continue;
    counts.set(label, (counts.get(label) ?? 0) + 1);
    labelled++;
  }
  let [label, most] = [-1, 0];
  for (const [key, count] of counts) if (count > most || (count === most && key < label)) [label, most] = [key, count];
  return { label, purity: labelled ? most / labelled : NaN };
}

/** Those that the record names and that are in the cluster. */
function representativesOf(record: FrameRecord, cluster: number, clusters: number, labels: Int32Array): number[] {
  const array = record.arrays.representatives;
  const [rows = 0, shown = 0] = array?.shape ?? [];
  if (!array || rows !== clusters) return [];
  const row = Array.from({ length: shown }, (_, i) => Number(array.values[cluster * shown + i]));
  return [...new Set(row)].filter((sample) => labels[sample] === cluster);
}
