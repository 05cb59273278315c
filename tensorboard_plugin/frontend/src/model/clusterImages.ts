// What sets each cluster of an embedding apart, as an image.  Pure functions on records; whatever a log holds, what comes out of here
// can be drawn.

import { text, whole } from "../api/plain";
import type { FrameRecord } from "../api/types";
import type { Tile } from "./gallery";
import { picturesOf } from "./pictures";

export interface ClusterImage {
  /** Its number in the clustering that the images are of. */
  cluster: number;
  /** What it is called over epochs; its number where it has no name. */
  identity: number;
  /** How many samples; NaN = not known. */
  samples: number;
  /** Of each filter, how far the cluster stands out in it: 0 and more, of length 1. */
  weights: Float32Array;
  tile: Tile;
}

export interface ClusterSheet {
  /** Where on the axis they were recorded, and the clustering was made that they are of; −1 = not known. */
  epoch: number;
  of: number;
  /** Whether clusters keep their numbers and hues over epochs. */
  lasting: boolean;
  /** The largest first. */
  clusters: ClusterImage[];
  note: string;
}

/** The images of a record; null where they cannot be drawn. */
export function clusterImagesOf(record: FrameRecord): ClusterSheet | null {
  const { clusters, identities, samples, weights } = record.arrays;
  if (record.kind !== "cluster_images" || !(clusters?.values instanceof Int32Array)) return null;
  const count = clusters.values.length;
  const tiles = picturesOf(record, count);
  if (!count || !tiles) return null;
  const filters = weights?.values instanceof Float32Array && weights.shape.length === 2 && weights.shape[0] === count ? weights.shape[1]! : 0;
  const named = identities?.values instanceof Int32Array && identities.values.length === count ? identities.values : null;
  const lasting = named !== null && new Set(named).size === count && named.every((identity) => identity >= 0);
  const sizes = samples?.values instanceof Int32Array && samples.values.length === count ? samples.values : null;
  return {
    epoch: record.epoch, of: whole(record.fields.of, -1), lasting, note: text(record.fields.note),
    clusters: tiles
      .map((tile, i): ClusterImage => ({
        cluster: clusters.values[i] as number, identity: lasting ? named![i]! : (clusters.values[i] as number), samples: sizes?.[i] ?? NaN,
        weights: filters ? (weights!.values as Float32Array).subarray(i * filters, (i + 1) * filters) : new Float32Array(), tile,
      }))
      .sort((a, b) => (b.samples || 0) - (a.samples || 0) || a.identity - b.identity),
  };
}
