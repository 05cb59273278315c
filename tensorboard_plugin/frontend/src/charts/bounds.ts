// The window through which an embedding is seen: kept over epochs while it fits, so that points move and the view does not.

export interface Bounds {
  x0: number;
  y0: number;
  x1: number;
  y1: number;
}

/** The smallest window around finite points (x, y alternating), at least a little wide; null where there is none. */
export function boundsOf(points: Float32Array): Bounds | null {
  let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
  for (let i = 0; i + 1 < points.length; i += 2) {
    const [x, y] = [points[i]!, points[i + 1]!];
    if (!Number.isFinite(x) || !Number.isFinite(y)) continue;
    if (x < x0) x0 = x;
    if (x > x1) x1 = x;
    if (y < y0) y0 = y;
    if (y > y1) y1 = y;
  }
  if (x0 > x1) return null;
  const pad = Math.max(x1 - x0, y1 - y0, 1e-3) * 0.04;
  return { x0: x0 - pad, y0: y0 - pad, x1: x1 + pad, y1: y1 + pad };
}

/** `before` where the new points fit into it and still fill most of it, else the new points' own window. */
export function keepBounds(before: Bounds | null, now: Bounds | null): Bounds | null {
  if (!before || !now) return now;
  const fits = now.x0 >= before.x0 && now.x1 <= before.x1 && now.y0 >= before.y0 && now.y1 <= before.y1;
  const fills = Math.max(now.x1 - now.x0, now.y1 - now.y0) > 0.6 * Math.max(before.x1 - before.x0, before.y1 - before.y0);
  if (fits && fills) return before;
  // Grow in one go by a margin: layouts that spread epoch by epoch would otherwise move the window each time.
  const margin = 0.08 * Math.max(now.x1 - now.x0, now.y1 - now.y0);
  return { x0: now.x0 - margin, y0: now.y0 - margin, x1: now.x1 + margin, y1: now.y1 + margin };
}

/** Pixels a unit and the centre, so that a window fills a rectangle. */
export function fit(bounds: Bounds, width: number, height: number): { scale: number; x: number; y: number } {
  return {
    scale: Math.min(width / (bounds.x1 - bounds.x0), height / (bounds.y1 - bounds.y0)),
    x: (bounds.x0 + bounds.x1) / 2,
    y: (bounds.y0 + bounds.y1) / 2,
  };
}
