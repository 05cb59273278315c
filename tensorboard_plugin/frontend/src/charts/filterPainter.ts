// Filters as marks on a canvas: filled by how active they are, dead ones hollow, doubles joined to the one that stays.

import type { FilterRow } from "../model/filters";
import { css, sequential } from "../theme/palette";

export interface FilterLook {
  rows: FilterRow[];
  radius: number;
  /** Pairs of filters with a line between them: doubles, and dashed what a sum is made of. */
  lines: [number, number][];
  sums: [number, number][];
  selected: readonly number[];
  hovered: number | null;
}

interface Inks {
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

/** `at`: x and minus y of each filter, px. */
export function paintFilters(context: CanvasRenderingContext2D, at: Float32Array, look: FilterLook, width: number, inks: Inks): void {
  const { rows, radius } = look;
  const known = (i: number) => Number.isFinite(at[2 * i]) && Number.isFinite(at[2 * i + 1]);
  const strokes = (pairs: [number, number][]) => {
    context.beginPath();
    for (const [a, b] of pairs) {
      if (!known(a) || !known(b)) continue;
      context.moveTo(at[2 * a]!, -at[2 * a + 1]!);
      context.lineTo(at[2 * b]!, -at[2 * b + 1]!);
    }
    context.stroke();
  };
  const circle = (i: number, r: number) => {
    context.beginPath();
    context.arc(at[2 * i]!, -at[2 * i + 1]!, r, 0, 2 * Math.PI);
  };
  context.strokeStyle = inks.quiet;
  context.lineWidth = 1;
  const many = look.selected.length > MOST_RINGS ? new Set(look.selected) : null;
  context.globalAlpha = many ? 0.16 : 0.6;
  strokes(look.lines);
  for (const row of rows) {
    context.globalAlpha = many && !many.has(row.index) ? 0.16 : 1;
    if (!known(row.index)) continue;
    circle(row.index, row.dead ? radius - 0.5 : radius);
    context.lineWidth = row.dead ? 1.5 : 0.75;
    context.strokeStyle = row.dead ? inks.quiet : inks.faint;
    if (!row.dead) {
      context.fillStyle = FILLS[Math.round(STEPS * Math.min(Math.max(row.active || 0, 0), 1))]!;
      context.fill();
    }
    context.stroke();
  }
  context.globalAlpha = 1;
  context.strokeStyle = inks.ink;
  context.lineWidth = 1;
  context.setLineDash([3, 3]);
  strokes(look.sums);
  context.setLineDash([]);
  const marked = [...(many ? [] : look.selected.filter((i) => i !== look.hovered)), ...(look.hovered === null ? [] : [look.hovered])].filter((i) => rows[i] && known(i));
  context.lineWidth = 2;
  for (const i of marked) {
    circle(i, radius + 3.5);
    context.stroke();
  }
  context.font = `600 11px ${getComputedStyle(context.canvas).fontFamily}`;
  context.textBaseline = "middle";
  context.lineWidth = 3;
  context.lineJoin = "round";
  context.strokeStyle = inks.paper;
  context.fillStyle = inks.ink;
  for (const i of marked.length > MOST_TAGS ? marked.filter((one) => one === look.hovered) : marked) {
    const left = at[2 * i]! > width - 60;
    context.textAlign = left ? "right" : "left";
    const x = at[2 * i]! + (left ? -radius - 7 : radius + 7);
    context.strokeText(String(i), x, -at[2 * i + 1]!);
    context.fillText(String(i), x, -at[2 * i + 1]!);
  }
}
