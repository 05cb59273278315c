// Which point is under the pointer: the nearest within reach.  Small marks are caught from a few pixels away.

import type { Window } from "./raster";

const REACH = 7;

/**
 * Index of the point nearest to a pixel (from the top left of a width × height picture), or null where none is near.
 * Points that stand back (`faded`) are taken only where no other is within reach.
 */
export function pick(
  points: Float32Array, radius: Float32Array, faded: (index: number) => boolean,
  window: Window, width: number, height: number, px: number, py: number,
): number | null {
  const [x, y] = [window.x + (px - width / 2) / window.scale, window.y - (py - height / 2) / window.scale];
  let [best, nearest]: [number | null, number] = [null, Infinity];
  for (let i = 0; 2 * i + 1 < points.length; i++) {
    const distance = Math.hypot(points[2 * i]! - x, points[2 * i + 1]! - y) * window.scale;
    if (!(distance <= Math.max(REACH, (radius[i] ?? 0) + 2))) continue;
    const rank = distance + (faded(i) ? 1000 : 0);
    if (rank < nearest) [best, nearest] = [i, rank];
  }
  return best;
}
