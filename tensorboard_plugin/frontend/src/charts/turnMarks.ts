// Marks for what happened to a filter: ✕ it died, ▲ it came back, ○ it was alive for the first time.

import type { Turn } from "../model/developmentOf";

export const TURN_WORDS: Record<Turn["kind"], string> = { died: "died", revived: "came back to life", awoke: "awoke" };

export function drawTurn(context: CanvasRenderingContext2D, kind: Turn["kind"], x: number, y: number, size: number, ink: string, halo: string): void {
  const r = size / 2;
  context.beginPath();
  if (kind === "died") {
    context.moveTo(x - r, y - r);
    context.lineTo(x + r, y + r);
    context.moveTo(x + r, y - r);
    context.lineTo(x - r, y + r);
  } else if (kind === "revived") {
    context.moveTo(x, y - r);
    context.lineTo(x + r, y + r * 0.8);
    context.lineTo(x - r, y + r * 0.8);
    context.closePath();
  } else context.arc(x, y, r, 0, 2 * Math.PI);
  for (const [colour, width] of [[halo, 3.5], [ink, 1.75]] as const) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.stroke();
  }
}

/** Thin lines aslant, for what is dead: in CSS pixels. */
export function hatching(context: CanvasRenderingContext2D, colour: string): CanvasPattern | null {
  const side = 6;
  const tile = new OffscreenCanvas(side, side);
  const inner = tile.getContext("2d")!;
  inner.strokeStyle = colour;
  inner.lineWidth = 1;
  for (const shift of [-side, 0, side]) {
    inner.moveTo(shift - 1, side + 1);
    inner.lineTo(shift + side + 1, -1);
  }
  inner.stroke();
  return context.createPattern(tile, "repeat");
}
