// The net as a picture: a bar for each layer in graph order, as high as it has units.  Pure functions.

import type { OutlookLayer } from "./outlook";

/** Beyond so many layers the first ones are drawn alone. */
export const MOST_LAYERS = 2000;
const NARROWEST = 4;
const WIDEST = 96;
const WIDEST_BAR = 40;
/** In narrower slots what follows is not drawn. */
const FOLLOWED = 8;
/** From so wide a slot on, names stand below all of them. */
const NAMED = 19;
/** Beyond this ratio of the widest to the narrowest layer heights go by square roots. */
const LINEAR = 16;

export interface Bar {
  layer: number;
  x: number;
  width: number;
}

/** One layer that makes its units, and those that pass them on. */
export interface Slot {
  x: number;
  width: number;
  main: Bar;
  followers: Bar[];
}

export interface Skyline {
  slots: Slot[];
  width: number;
  named: boolean;
  /** Height of so many units, as a share of the picture's. */
  height: (units: number) => number;
  square: boolean;
  ticks: number[];
}

export function skyline(layers: readonly OutlookLayer[], originals: readonly number[], room: number): Skyline {
  const groups: number[][] = [];
  layers.slice(0, MOST_LAYERS).forEach((layer, i) => {
    if (layer.mixes || !groups.length) groups.push([i]);
    // Of branches side by side the layers follow each other in turn: what passes units on stands beside whose they are.
    else (layer.together < 0 ? groups.at(-1)! : (groups.findLast(([main]) => layers[main!]!.together === layer.together) ?? groups.at(-1)!)).push(i);
  });
  const slot = Math.min(WIDEST, Math.max(NARROWEST, room / Math.max(1, groups.length)));
  const slots = groups.map(([main, ...followers], at): Slot => {
    const thin = Math.max(1, Math.min(4, slot * 0.12)), gap = slot > 9 ? 1.5 : 0.5, wide = Math.min(WIDEST_BAR, slot * (followers.length ? 0.5 : 0.62));
    const x = at * slot, start = x + Math.max(slot * 0.08, (slot - wide - (followers.length ? 8 : 0)) / 2);
    // What does not fit beside the bar is drawn no less: it shares the place of the last one.
    const beside = (slot < FOLLOWED ? [] : followers).map((layer, i): Bar => ({ layer, x: start + wide + gap + Math.min(i * (thin + gap), Math.max(0, x + slot - start - wide - gap - thin)), width: thin }));
    return { x, width: slot, main: { layer: main!, x: start, width: wide }, followers: beside };
  });
  const sizes = originals.slice(0, MOST_LAYERS).filter((n) => n > 0);
  const largest = sizes.reduce((a, b) => Math.max(a, b), 1), smallest = sizes.reduce((a, b) => Math.min(a, b), largest);
  const square = largest / smallest > LINEAR;
  const height = (units: number) => (square ? Math.sqrt(Math.max(0, units) / largest) : Math.max(0, units) / largest);
  return { slots, width: slots.length * slot, named: slot >= NAMED, height, square, ticks: ticksOf(largest, height) };
}

/** Powers of two, as units mostly are, that stand far enough apart. */
function ticksOf(largest: number, height: (units: number) => number): number[] {
  const found: number[] = [];
  for (let n = 2 ** Math.floor(Math.log2(largest)); n >= 1; n /= 2) {
    if (!found.length || height(found.at(-1)!) - height(n) > 0.16) found.push(n);
    if (height(n) < 0.24) break;
  }
  return found;
}

/** A name that fits below its bar: the first and the last letters of a long one. */
export const clipped = (name: string, most = 16): string => (name.length > most ? `${name.slice(0, most / 2 - 1)}…${name.slice(-most / 2)}` : name);
