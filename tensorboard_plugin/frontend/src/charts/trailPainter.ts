// Where samples came from: lines under the points that fade into the past.

import type { Trail } from "../model/trails";
import type { Rgb } from "../theme/palette";
import { css } from "../theme/palette";
import { toPixels, type View } from "./window";

/** So many steps of opacity, from the past to now. */
const STEPS = 10;
/** Segments beyond which the past is drawn in longer strides. */
const MOST_SEGMENTS = 24_000;
const FAINTEST = 0.08;

export interface TrailLook {
  /** Behind the others, thin and faint: single samples of which means are shown. */
  single: Trail[];
  /** Wide as they have samples. */
  bundles: Trail[];
  hue: (key: number) => Rgb;
}

export function drawTrails(context: CanvasRenderingContext2D, { single, bundles, hue }: TrailLook, view: View): void {
  context.lineJoin = context.lineCap = "round";
  const crowd = bundles.length ? 0.22 : 1;
  const segments = single.reduce((sum, trail) => sum + trail.path.length / 2 - 1, 0);
  const stride = Math.max(1, Math.ceil(segments / MOST_SEGMENTS));
  for (const trail of single) fading(context, trail, css(hue(trail.key)), 1.5, crowd, stride, view);
  for (const trail of bundles) fading(context, trail, css(hue(trail.key)), widthOf(trail.count), 0.9, 1, view);
  context.globalAlpha = 1;
}

/** px of a mean path: its area grows with how many samples it stands for. */
export const widthOf = (count: number): number => Math.min(12, 1.5 + 0.9 * Math.sqrt(count));

function fading(context: CanvasRenderingContext2D, { path }: Trail, colour: string, width: number, alpha: number, stride: number, view: View): void {
  const n = path.length / 2;
  context.strokeStyle = colour;
  for (let step = 0; step < STEPS; step++) {
    const [from, to] = [Math.floor(((n - 1) * step) / STEPS), Math.floor(((n - 1) * (step + 1)) / STEPS)];
    if (to <= from) continue;
    const age = (step + 1) / STEPS;
    context.globalAlpha = alpha * (FAINTEST + (1 - FAINTEST) * age ** 1.6);
    context.lineWidth = width * (0.45 + 0.55 * age);
    context.beginPath();
    context.moveTo(...toPixels(view, path[2 * from]!, path[2 * from + 1]!));
    for (let i = from + stride; i < to; i += stride) context.lineTo(...toPixels(view, path[2 * i]!, path[2 * i + 1]!));
    context.lineTo(...toPixels(view, path[2 * to]!, path[2 * to + 1]!));
    context.stroke();
  }
}

/** Small marks where a single sample was at every epoch. */
export function drawStations(context: CanvasRenderingContext2D, { path, key }: Trail, hue: (key: number) => Rgb, view: View): void {
  const n = path.length / 2;
  context.fillStyle = css(hue(key));
  for (let i = 0; i < n - 1; i++) {
    context.globalAlpha = FAINTEST + 0.9 * ((i + 1) / n) ** 1.6;
    context.beginPath();
    context.arc(...toPixels(view, path[2 * i]!, path[2 * i + 1]!), 1.75, 0, 2 * Math.PI);
    context.fill();
  }
  context.globalAlpha = 1;
}
