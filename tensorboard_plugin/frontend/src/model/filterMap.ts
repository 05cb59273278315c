// Where filters lie in the plane: by energy and negative weights, or by what their weights look for.  Pure functions.

import type { FrameRecord } from "../api/types";
import { fit, type Bounds } from "../charts/bounds";
import type { FilterRow } from "./filters";
import type { WeightMap } from "./settings";

const ARRAYS: Record<WeightMap, string> = { pca: "weight_map", umap: "weight_layout" };

/** (x, y alternating) where the weights of each filter lie; null where that was not recorded. */
export function weightPoints(similarity: FrameRecord, which: WeightMap): Float32Array | null {
  const array = similarity.arrays[ARRAYS[which]];
  const count = similarity.arrays.group?.values.length ?? 0;
  const fits = array?.shape.length === 2 && array.shape[1] === 2 && array.shape[0] === count && count > 0;
  return fits && array.values instanceof Float32Array && array.values.some(Number.isFinite) ? array.values : null;
}

/** Which pictures of the weights there are. */
export const weightMaps = (similarity: FrameRecord): WeightMap[] => (["pca", "umap"] as const).filter((which) => weightPoints(similarity, which));

/** The share of the variance along both axes of the PCA; null where it is not known. */
export function explainedOf(similarity: FrameRecord): [number, number] | null {
  const shares = similarity.fields.explained;
  if (!Array.isArray(shares) || shares.length < 2) return null;
  const [x, y] = shares.map(Number) as [number, number];
  return Number.isFinite(x) && Number.isFinite(y) ? [x, y] : null;
}

/** Points of a plane (y up) in pixels from the top left, y negated: the plane in which shapes are drawn over a picture. */
export function intoPicture(points: Float32Array, bounds: Bounds, width: number, height: number, pad: number): Float32Array {
  const { scale, x, y } = fit(bounds, Math.max(1, width - 2 * pad), Math.max(1, height - 2 * pad));
  return points.map((value, i) => (i % 2 ? (value - y) * scale - height / 2 : (value - x) * scale + width / 2));
}

/** Lines from a filter to the filters that its weighted sum is made of. */
export function sumLines(rows: FilterRow[], shown: readonly number[]): [number, number][] {
  return shown.flatMap((index) => {
    const row = rows[index];
    return row?.removable ? row.terms.map((term): [number, number] => [index, term.filter]) : [];
  });
}
