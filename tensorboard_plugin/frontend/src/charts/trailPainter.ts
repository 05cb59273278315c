// Where samples came from: lines that fade into the past, those of single samples under the points, mean paths above them.

import type { Trail } from "../model/trails";
import type { Rgb } from "../theme/palette";
import { css } from "../theme/palette";
import { toPixels, type View } from "./window";

/** So many steps of opacity, from the past to now. */
const STEPS = 10;
/** Segments beyond which the past is drawn in longer strides. */
const MOST_SEGMENTS = 24_000;
/** Opacity of the farthest past, of single samples and of means. */
const FAINTEST = 0.28;
const FAINTEST_MEAN = 0.5;

type Hue = (key: number) => Rgb;

/** Lines of single samples; faint where mean paths lie above them. */
export function drawTrails(context: CanvasRenderingContext2D, trails: readonly Trail[], hue: Hue, bundled: boolean, view: View): void {
  const segments = trails.reduce((sum, trail) => sum + trail.path.length / 2 - 1, 0);
  const stride = Math.max(1, Math.ceil(segments / MOST_SEGMENTS));
  for (const trail of trails) fading(context, trail.path, css(hue(trail.key)), bundled ? 1 : 1.75, bundled ? 0.35 : 1, FAINTEST, stride, view);
}

/** Mean paths, as wide as they have samples, on a line of the background; each ends in a disc where the mean is now. */
export function drawBundles(context: CanvasRenderingContext2D, trails: readonly Trail[], hue: Hue, paper: string, ink: string, view: View): void {
  for (const { path, count, key } of trails) {
    const width = widthOf(count);
    fading(context, path, paper, width + 3, 0.9, 1, 1, view);
    fading(context, path, css(hue(key)), width, 1, FAINTEST_MEAN, 1, view);
    context.beginPath();
    context.arc(...toPixels(view, path.at(-2)!, path.at(-1)!), width / 2 + 3, 0, 2 * Math.PI);
    context.fillStyle = css(hue(key));
    context.fill();
    context.lineWidth = 1.5;
    context.strokeStyle = ink;
    context.stroke();
  }
}

/** px of a mean path: its width grows with the root of how many samples it stands for. */
export const widthOf = (count: number): number => Math.min(10, 1.5 + 0.6 * Math.sqrt(count));

function fading(
  context: CanvasRenderingContext2D, path: Float32Array, colour: string, width: number, alpha: number, faintest: number, stride: number, view: View,
): void {
  const n = path.length / 2;
  context.lineJoin = "round";
  context.lineCap = "butt"; // round ends would show where two steps overlap
  context.strokeStyle = colour;
  for (let step = 0; step < STEPS; step++) {
    const [from, to] = [Math.floor(((n - 1) * step) / STEPS), Math.floor(((n - 1) * (step + 1)) / STEPS)];
    if (to <= from) continue;
    const age = (step + 1) / STEPS;
    context.globalAlpha = alpha * (faintest + (1 - faintest) * age ** 1.4);
    context.lineWidth = width * (0.5 + 0.5 * age);
    context.beginPath();
    context.moveTo(...toPixels(view, path[2 * from]!, path[2 * from + 1]!));
    for (let i = from + stride; i < to; i += stride) context.lineTo(...toPixels(view, path[2 * i]!, path[2 * i + 1]!));
    context.lineTo(...toPixels(view, path[2 * to]!, path[2 * to + 1]!));
    context.stroke();
  }
  context.globalAlpha = 1;
}

/** Small marks where a single sample was at every epoch. */
export function drawStations(context: CanvasRenderingContext2D, { path, key }: Trail, hue: Hue, view: View): void {
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
