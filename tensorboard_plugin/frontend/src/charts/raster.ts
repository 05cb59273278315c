// Points as tiny squares, rounded where they are larger, in a pixel buffer: thousands of them in a millisecond,
// which a canvas' own calls do not manage.
import type { Paint } from "../model/samples";

export interface Window {
  /** Pixels a unit, and what lies in the middle. */
  scale: number;
  x: number;
  y: number;
}

/**
 * Pixels (width × height, RGBA bytes in one word each, transparent where nothing is) of points (x, y alternating, y up).
 * Points that stand back are drawn first, so that they never cover the others.
 */
export function raster(
  points: Float32Array, paint: Paint, window: Window, width: number, height: number, side: number,
): Uint32Array<ArrayBuffer> {
  const pixels = new Uint32Array(width * height);
  const colours = new Uint32Array(paint.fill.buffer, paint.fill.byteOffset, paint.fill.length >> 2);
  const count = Math.min(points.length >> 1, colours.length);
  for (const front of [false, true]) {
    for (let i = 0; i < count; i++) {
      if (paint.fill[4 * i + 3]! > 100 !== front) continue;
      const left = Math.round(width / 2 + (points[2 * i]! - window.x) * window.scale - side / 2);
      const top = Math.round(height / 2 - (points[2 * i + 1]! - window.y) * window.scale - side / 2);
      // Comparisons with NaN are false: a point that is nowhere is not drawn.
      if (!(left >= 0 && top >= 0 && left + side <= width && top + side <= height)) continue;
      for (let row = 0; row < side; row++) {
        // Without its corners a square of three pixels or more looks round.
        const inset = side > 2 && (row === 0 || row === side - 1) ? 1 : 0;
        const start = (top + row) * width + left;
        pixels.fill(colours[i]!, start + inset, start + side - inset);
      }
    }
  }
  return pixels;
}
