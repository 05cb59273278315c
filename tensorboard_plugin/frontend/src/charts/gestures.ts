// Drawing a shape over a picture with the pointer: a rectangle, a circle or a free outline.

import type { Change, Shape } from "../model/selection";
import { changeOf } from "../model/selection";
import type { Tool } from "../model/settings";
import { toPixels, toPlane, type View } from "./window";

/** px that the pointer may move in a click, and between two corners of a free outline. */
export const STILL = 4;

export class Gesture {
  private start: [number, number] | null = null;
  private path: number[] = [];
  private now: [number, number] = [0, 0];

  get active(): boolean {
    return this.start !== null;
  }

  begin(px: number, py: number): void {
    this.start = this.now = [px, py];
    this.path = [px, py];
  }

  move(px: number, py: number): void {
    if (!this.start) return;
    this.now = [px, py];
    const [x, y] = this.path.slice(-2) as [number, number];
    if (Math.hypot(px - x, py - y) >= STILL / 2) this.path.push(px, py);
  }

  cancel(): void {
    this.start = null;
    this.path = [];
  }

  /** The shape in the plane, and what it does to the selection; null where the pointer hardly moved. */
  end(tool: Tool, view: View, event: { shiftKey: boolean; altKey: boolean }): { shape: Shape; change: Change } | null {
    const shape = this.far ? this.shape(tool, view) : null;
    this.cancel();
    return shape && { shape, change: changeOf(event) };
  }

  /** Draws what has been drawn so far. */
  paint(context: CanvasRenderingContext2D, tool: Tool, view: View, colour: string): void {
    const shape = this.far ? this.shape(tool, view) : null;
    if (!shape) return;
    context.beginPath();
    if (shape.kind === "rectangle") {
      const [[x0, y0], [x1, y1]] = [toPixels(view, shape.x0, shape.y0), toPixels(view, shape.x1, shape.y1)];
      context.rect(Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0));
    } else if (shape.kind === "circle") {
      context.arc(...toPixels(view, shape.x, shape.y), shape.radius * view.scale, 0, 2 * Math.PI);
    } else {
      for (let i = 0; i < this.path.length; i += 2) context.lineTo(this.path[i]!, this.path[i + 1]!);
      context.closePath();
    }
    context.fillStyle = colour;
    context.strokeStyle = colour;
    context.globalAlpha = 0.1;
    context.fill();
    context.globalAlpha = 1;
    context.lineWidth = 1.25;
    context.stroke();
  }

  private get far(): boolean {
    const { start } = this;
    if (!start) return false;
    for (let i = 0; i < this.path.length; i += 2) if (Math.hypot(this.path[i]! - start[0], this.path[i + 1]! - start[1]) > STILL) return true;
    return false;
  }

  private shape(tool: Tool, view: View): Shape | null {
    const { start, now } = this;
    if (!start || tool === "move") return null;
    const [[x0, y0], [x1, y1]] = [toPlane(view, ...start), toPlane(view, ...now)];
    if (tool === "rectangle") return { kind: "rectangle", x0, y0, x1, y1 };
    // From the middle outwards.
    if (tool === "circle") return { kind: "circle", x: x0, y: y0, radius: Math.hypot(x1 - x0, y1 - y0) };
    const outline: number[] = [];
    for (let i = 0; i < this.path.length; i += 2) outline.push(...toPlane(view, this.path[i]!, this.path[i + 1]!));
    return { kind: "lasso", outline };
  }
}
