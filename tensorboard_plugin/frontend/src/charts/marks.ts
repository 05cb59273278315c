// Around the samples that are selected or under the pointer: a ring around a dot, a frame around an image.

import type { Picture } from "./pointScene";
import { toPixels } from "./window";

/** Of more, rings would hide what they mark: those that are not selected stand back, and that says it. */
export const MOST_RINGS = 60;
const FEW = 12;

export interface Marks {
  selected: readonly number[];
  hovered: number | null;
  radius: Float32Array;
  /** Width over height of a sample's image. */
  aspect: number;
  ink: string;
  paper: string;
}

export function drawMarks(context: CanvasRenderingContext2D, { points, view, side }: Picture, { selected, hovered, radius, aspect, ink, paper }: Marks): void {
  const ringed = selected.length <= MOST_RINGS ? selected : [];
  const many = ringed.length > FEW;
  const marked = hovered === null || ringed.includes(hovered) ? ringed : [...ringed, hovered];
  for (const line of ["paper", "ink"] as const) {
    context.strokeStyle = line === "paper" ? paper : ink;
    context.globalAlpha = line === "paper" ? 0.7 : 1;
    for (const index of marked) {
      if (2 * index + 1 >= points.length) continue;
      const strong = index === hovered || !many;
      const [x, y] = toPixels(view, points[2 * index]!, points[2 * index + 1]!);
      context.lineWidth = (strong ? 2 : 1.25) + (line === "paper" ? 2 : 0);
      context.beginPath();
      if (side) {
        const [w, h] = [side * Math.min(aspect, 1) + 2, side / Math.max(aspect, 1) + 2];
        context.rect(x - w / 2, y - h / 2, w, h);
      } else context.arc(x, y, (radius[index] ?? 3) + (strong ? 3.5 : 2), 0, 2 * Math.PI);
      context.stroke();
    }
  }
  context.globalAlpha = 1;
}
