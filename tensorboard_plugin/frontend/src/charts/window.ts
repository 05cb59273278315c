// Through what a plane is seen: between its coordinates (y up) and pixels from the top left of a picture.

import type { Window } from "./raster";

/** A window and the picture it fills, px. */
export interface View extends Window {
  width: number;
  height: number;
}

export const toPixels = (view: View, x: number, y: number): [number, number] => [
  view.width / 2 + (x - view.x) * view.scale, view.height / 2 - (y - view.y) * view.scale,
];

export const toPlane = (view: View, px: number, py: number): [number, number] => [
  view.x + (px - view.width / 2) / view.scale, view.y - (py - view.height / 2) / view.scale,
];

/** Clears a canvas that covers a picture, sized to the screen's own pixels; what is drawn on it is in CSS pixels. */
export function cleared(canvas: HTMLCanvasElement, { width, height }: Pick<View, "width" | "height">): CanvasRenderingContext2D | null {
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const context = canvas.getContext("2d");
  context?.setTransform(ratio, 0, 0, ratio, 0, 0);
  context?.clearRect(0, 0, width, height);
  return context;
}
