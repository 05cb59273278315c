// Decision regions under the points: estimated over what is to be seen, and again while the points move, as often as it is cheap.

import { outline, regions, type Regions } from "../model/regions";
import { boundsOf, type Bounds } from "./bounds";
import type { Rgb } from "../theme/palette";
import { toPixels, toPlane, type View } from "./window";

export interface RegionLook {
  style: "boundary" | "regions";
  /** The predicted class of each sample; −1 = none. */
  classes: Int32Array;
  hue: (key: number) => Rgb;
  /** Opacity of the regions, 0 to 1. */
  alpha: number;
  line: string;
}

/** Cells along the longer side, at rest and while points move; of very many points half as many. */
const FINE = 200;
const COARSE = 96;
const MANY = 20_000;
/** Standard deviation of the smoothing, as a share of the layout's longer side, a margin included; as in model/regions.ts. */
const SMOOTHING = 0.0125;
/** Far into the picture the Gaussian would be wider than what is seen of it. */
const WIDEST = 0.06;
/** ms between two estimates, and from the last move of a point until they are fine. */
const LEAST = 40;
const REST = 120;
/** How much more than the picture is covered, so that it can be moved a little. */
const AROUND = 0.1;

export class RegionPainter {
  private found: Regions | null = null;
  private lines: Float32Array[] = [];
  private readonly sheet = document.createElement("canvas");
  private seen: { points: Float32Array; classes: Int32Array; bounds: Bounds; fine: boolean } | null = null;
  private painted: Regions | null = null;
  private paintedFor = "";
  private points: Float32Array | null = null;
  private restless = -Infinity;
  private cost = 0;
  private last = -Infinity;

  /** Estimates and, where they are filled, draws the regions; true where they are older or coarser than they could be: draw again soon. */
  draw(context: CanvasRenderingContext2D, look: RegionLook, points: Float32Array, view: View, now: number): boolean {
    if (points !== this.points) [this.points, this.restless] = [points, now + REST];
    const fine = now >= this.restless;
    const stale = this.isStale(look, points, view, fine);
    const due = now - this.last > Math.max(LEAST, 3 * this.cost);
    if (stale && due) this.estimate(look, points, view, fine, now);
    if (this.found && look.style === "regions") this.fill(context, look, view);
    return (stale && !due) || !fine;
  }

  private isStale({ classes }: RegionLook, points: Float32Array, view: View, fine: boolean): boolean {
    const { seen } = this;
    if (!seen || seen.points !== points || seen.classes !== classes || (fine && !seen.fine)) return true;
    const { x0, y0, x1, y1 } = extentOf(view, 0);
    const covered = x0 >= seen.bounds.x0 && y0 >= seen.bounds.y0 && x1 <= seen.bounds.x1 && y1 <= seen.bounds.y1;
    return !covered || (x1 - x0) / (seen.bounds.x1 - seen.bounds.x0) < 0.6;
  }

  private estimate({ classes }: RegionLook, points: Float32Array, view: View, fine: boolean, now: number): void {
    const began = performance.now();
    const around = boundsOf(points);
    const bounds = extentOf(view, AROUND);
    const many = points.length / 2 > MANY ? 2 : 1;
    const seenSide = Math.max(bounds.x1 - bounds.x0, bounds.y1 - bounds.y0);
    const wholeSide = around ? Math.max(around.x1 - around.x0, around.y1 - around.y0) : seenSide;
    this.found = regions(points, classes, {
      extent: bounds, resolution: (fine ? FINE : COARSE) / many, smoothing: Math.min(WIDEST, (SMOOTHING * wholeSide) / seenSide),
    });
    this.lines = this.found ? outline(this.found) : [];
    this.seen = { points, classes, bounds, fine };
    this.cost = performance.now() - began;
    this.last = now;
  }

  private fill(context: CanvasRenderingContext2D, { hue, alpha }: RegionLook, view: View): void {
    const found = this.found!;
    const { columns, rows, cells, left, bottom, step } = found;
    const key = `${hue(0)} ${hue(1)} ${alpha}`;
    if (this.painted !== found || this.paintedFor !== key) {
      [this.painted, this.paintedFor] = [found, key];
      this.sheet.width = columns;
      this.sheet.height = rows;
      const pixels = new ImageData(columns, rows);
      const known = new Map<number, Rgb>();
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++) {
          const cell = cells[row * columns + column]!;
          if (cell < 0) continue;
          let colour = known.get(cell);
          if (!colour) known.set(cell, (colour = hue(cell)));
          pixels.data.set([...colour, Math.round(255 * alpha)], 4 * ((rows - 1 - row) * columns + column));
        }
      }
      this.sheet.getContext("2d")?.putImageData(pixels, 0, 0);
    }
    const [x, y] = toPixels(view, left - step / 2, bottom + (rows - 0.5) * step);
    context.imageSmoothingEnabled = true;
    context.drawImage(this.sheet, x, y, columns * step * view.scale, rows * step * view.scale);
  }

  /** Draws the boundary as last estimated; over images in `ink` on a `paper` line, or it would be lost in them. */
  stroke(context: CanvasRenderingContext2D, { line }: RegionLook, view: View, paper = "", ink = ""): void {
    context.lineJoin = "round";
    context.beginPath();
    for (const path of this.lines) {
      for (let i = 0; i < path.length; i += 2) {
        const [x, y] = toPixels(view, path[i]!, path[i + 1]!);
        if (i) context.lineTo(x, y);
        else context.moveTo(x, y);
      }
    }
    if (paper) {
      [context.strokeStyle, context.lineWidth] = [paper, 3.5];
      context.stroke();
    }
    [context.strokeStyle, context.lineWidth] = [paper ? ink : line, paper ? 1.75 : 1];
    context.setLineDash([5, 4]);
    context.stroke();
    context.setLineDash([]);
  }
}

/** What of the plane is to be seen, and a share of it around. */
function extentOf(view: View, around: number): Bounds {
  const [x0, y1] = toPlane(view, -around * view.width, -around * view.height);
  const [x1, y0] = toPlane(view, (1 + around) * view.width, (1 + around) * view.height);
  return { x0, y0, x1, y1 };
}
