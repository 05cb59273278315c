// Filters as marks on a canvas: filled by how active they are, dead ones hollow, doubles joined to the one that stays.

import type { FilterRow } from "../model/filters";
import { css, sequential } from "../theme/palette";

/** Pairs of filters. */
export type Pairs = [number, number][];

export interface Inks {
  ink: string;
  quiet: string;
  faint: string;
  paper: string;
}

/** As many selected ones carry their number; as many have a ring; of more the others stand back. */
const MOST_TAGS = 12;
const MOST_RINGS = 20;
const STEPS = 64;
const FILLS = Array.from({ length: STEPS + 1 }, (_, i) => css(sequential(i / STEPS)));

/** Whether these are so many that the others stand back rather than that each has a ring. */
const crowded = (selected: readonly number[]): boolean => selected.length > MOST_RINGS;

const known = (at: Float32Array, i: number): boolean => Number.isFinite(at[2 * i]) && Number.isFinite(at[2 * i + 1]);

function strokes(context: CanvasRenderingContext2D, at: Float32Array, pairs: Pairs): void {
  context.beginPath();
  for (const [a, b] of pairs) {
    if (!known(at, a) || !known(at, b)) continue;
    context.moveTo(at[2 * a]!, -at[2 * a + 1]!);
    context.lineTo(at[2 * b]!, -at[2 * b + 1]!);
  }
  context.stroke();
}

function circle(context: CanvasRenderingContext2D, at: Float32Array, i: number, radius: number): void {
  context.beginPath();
  context.arc(at[2 * i]!, -at[2 * i + 1]!, radius, 0, 2 * Math.PI);
}

/** All filters; `at`: x and minus y of each, px; `lines` join doubles. */
export function paintFilters(
  context: CanvasRenderingContext2D, at: Float32Array, rows: readonly FilterRow[], radius: number, lines: Pairs, selected: readonly number[], inks: Inks,
): void {
  context.strokeStyle = inks.quiet;
  context.lineWidth = 1;
  const many = crowded(selected) ? new Set(selected) : null;
  context.globalAlpha = many ? 0.16 : 0.6;
  strokes(context, at, lines);
  for (const row of rows) {
    context.globalAlpha = many && !many.has(row.index) ? 0.16 : 1;
    if (!known(at, row.index)) continue;
    circle(context, at, row.index, row.dead ? radius - 0.5 : radius);
    context.lineWidth = row.dead ? 1.5 : 0.75;
    context.strokeStyle = row.dead ? inks.quiet : inks.faint;
    if (!row.dead) {
      context.fillStyle = FILLS[Math.round(STEPS * Math.min(Math.max(row.active || 0, 0), 1))]!;
      context.fill();
    }
    context.stroke();
  }
  context.globalAlpha = 1;
}

/** What is selected or under the pointer: rings and numbers, and dashed lines to what their sums are made of. */
export function paintMarks(
  context: CanvasRenderingContext2D, at: Float32Array, radius: number, sums: Pairs, selected: readonly number[], hovered: number | null, width: number, inks: Inks,
): void {
  context.strokeStyle = inks.ink;
  context.lineWidth = 1;
  context.setLineDash([3, 3]);
  strokes(context, at, sums);
  context.setLineDash([]);
  const marked = [...(crowded(selected) ? [] : selected.filter((i) => i !== hovered)), ...(hovered === null ? [] : [hovered])].filter((i) => known(at, i));
  context.lineWidth = 2;
  for (const i of marked) {
    circle(context, at, i, radius + 3.5);
    context.stroke();
  }
  context.font = `600 11px ${getComputedStyle(context.canvas).fontFamily}`;
  context.textBaseline = "middle";
  context.lineWidth = 3;
  context.lineJoin = "round";
  context.strokeStyle = inks.paper;
  context.fillStyle = inks.ink;
  for (const i of marked.length > MOST_TAGS ? marked.filter((one) => one === hovered) : marked) {
    const left = at[2 * i]! > width - 60;
    context.textAlign = left ? "right" : "left";
    const x = at[2 * i]! + (left ? -radius - 7 : radius + 7);
    context.strokeText(String(i), x, -at[2 * i + 1]!);
    context.fillText(String(i), x, -at[2 * i + 1]!);
  }
}
