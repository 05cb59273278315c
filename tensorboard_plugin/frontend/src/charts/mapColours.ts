// Maps over pictures, as pixels: opaque where the map is what is looked at, transparent where little is.  No drawing here.

import { diverging, sequential, type Rgb } from "../theme/palette";

/** A colour as the four bytes of a pixel in one word; `alpha` 0 … 1. */
export const wordOf = ([r, g, b]: Rgb, alpha = 1): number => ((Math.round(255 * Math.min(1, Math.max(0, alpha))) << 24) | (b << 16) | (g << 8) | r) >>> 0;

export interface Scale {
  /** What full colour stands for. */
  full: number;
  /** Whether colours go from blue over white to orange, rather than from dark to light. */
  signed: boolean;
}

/** −1 … 1, or 0 … 1 where there is no sign; 0 where nothing is known. */
export function shareOf(value: number, { full, signed }: Scale): number {
  const share = full > 0 && Number.isFinite(value) ? value / full : 0;
  return signed ? Math.min(1, Math.max(-1, share)) : Math.min(1, Math.abs(share));
}

/** The map as it is. */
export function mapWords(values: ArrayLike<number>, scale: Scale): Uint32Array<ArrayBuffer> {
  return Uint32Array.from({ length: values.length }, (_, i) => {
    const share = shareOf(values[i]!, scale);
    return wordOf(scale.signed ? diverging(share) : sequential(share));
  });
}

/** Over a picture colours begin here on their scale, or what is small would be as grey as the picture, or hide it. */
const LIT = 0.75, TINTED = 0.6;

/** A share of full colour over a picture: its colour, and how opaque that is.  Where the map says nothing the picture is to be seen. */
function overlaid(share: number, signed: boolean): { colour: Rgb; opaque: number } {
  const size = Math.abs(share);
  const colour = signed ? diverging(Math.sign(share) * Math.max(TINTED, size)) : sequential(LIT + (1 - LIT) * size);
  return { colour, opaque: size ** (signed ? 0.5 : 0.7) };
}

/** The map to be laid over a grey picture. */
export function overlayWords(values: ArrayLike<number>, scale: Scale, opacity: number): Uint32Array<ArrayBuffer> {
  return Uint32Array.from({ length: values.length }, (_, i) => {
    const { colour, opaque } = overlaid(shareOf(values[i]!, scale), scale.signed);
    return wordOf(colour, opacity * opaque);
  });
}

/** What a share of full colour looks like over a picture's middle grey: for the scale beside it. */
export function overlayColour(share: number, signed: boolean, opacity: number): Rgb {
  const { colour, opaque } = overlaid(share, signed);
  const part = Math.min(1, Math.max(0, opacity * opaque));
  return colour.map((value) => Math.round(part * value + (1 - part) * GREY)) as Rgb;
}

const GREY = 112;
const DARK: Rgb = [12, 14, 18];
const LIGHT: Rgb = [255, 255, 255];

/** Important areas brightened, all else darkened. */
export function areaWords(mask: ArrayLike<number>): Uint32Array<ArrayBuffer> {
  const [inside, outside] = [wordOf(LIGHT, 0.14), wordOf(DARK, 0.66)];
  return Uint32Array.from({ length: mask.length }, (_, i) => (mask[i] === 1 ? inside : outside));
}

/** Bytes of one hue: 0 is transparent, 255 as opaque as `opacity` says. */
export function hueWords(bytes: ArrayLike<number>, hue: Rgb, opacity: number): Uint32Array<ArrayBuffer> {
  const table = Uint32Array.from({ length: 256 }, (_, value) => wordOf(hue, (opacity * value) / 255));
  return Uint32Array.from({ length: bytes.length }, (_, i) => table[bytes[i]!]!);
}

/** Several maps of bytes in one picture, each in its hue: where several act the hues mix, and the strongest says how opaque. */
export function mixedWords(maps: readonly ArrayLike<number>[], hues: readonly Rgb[], opacity: number): Uint32Array<ArrayBuffer> {
  return Uint32Array.from({ length: maps[0]?.length ?? 0 }, (_, i) => {
    let [r, g, b, sum, most] = [0, 0, 0, 0, 0];
    maps.forEach((map, group) => {
      // Squared: the strongest decides the hue, or most would be grey.
      const value = map[i]!;
      const weight = value * value;
      const hue = hues[group]!;
      r += weight * hue[0];
      g += weight * hue[1];
      b += weight * hue[2];
      sum += weight;
      most = Math.max(most, value);
    });
    return sum ? wordOf([Math.round(r / sum), Math.round(g / sum), Math.round(b / sum)], (opacity * most) / 255) : 0;
  });
}
