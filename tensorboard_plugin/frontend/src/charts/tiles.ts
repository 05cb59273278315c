// Small pictures in rows, drawn crisp into one buffer of pixels: hundreds of them in a few milliseconds.  No drawing of lines here.

import { diverging, sequential, type Rgb } from "../theme/palette";

/** A picture whose pixels index a table of 256 colours (words of RGBA). */
export interface Picture {
  pixels: Uint8Array;
  width: number;
  height: number;
  colours: Uint32Array;
}

export interface Canvas {
  pixels: Uint32Array<ArrayBuffer>;
  width: number;
  height: number;
}

/** Draws a picture enlarged to `width` × `height` at (left, top), each target pixel the nearest of the picture's; cut at the canvas' edges. */
export function blit(canvas: Canvas, picture: Picture, left: number, top: number, width: number, height: number): void {
  const { pixels, colours } = picture;
  const [x0, x1] = [Math.max(0, left), Math.min(canvas.width, left + width)];
  const [y0, y1] = [Math.max(0, top), Math.min(canvas.height, top + height)];
  for (let y = y0; y < y1; y++) {
    const row = Math.floor(((y - top) * picture.height) / height) * picture.width;
    const start = y * canvas.width;
    for (let x = x0; x < x1; x++) canvas.pixels[start + x] = colours[pixels[row + Math.floor(((x - left) * picture.width) / width)]!]!;
  }
}

const table = (colour: (value: number) => Rgb): Uint32Array =>
  Uint32Array.from({ length: 256 }, (_, value) => {
    const [r, g, b] = colour(value);
    return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
  });

/** Colours of bytes between the lowest and the highest value. */
export const SEQUENTIAL: Uint32Array = table((value) => sequential(value / 255));

const STEPS = 128;
const known: (Uint32Array | undefined)[] = [];

/** Colours of signed bytes, 128 = 0, where the largest has `strength` (0 … 1) of the full colour. */
export function divergingTable(strength: number): Uint32Array {
  const step = Math.round(STEPS * Math.min(1, Math.max(0, strength)));
  return (known[step] ??= table((value) => diverging(((value - 128) / 127) * (step / STEPS))));
}

/** The largest tile, of pixels × a whole number, such that all fit into a box; `least` where they cannot. */
export function fittingSide(items: number, box: { width: number; height: number }, caption: number, gap: number, least: number, most: number): number {
  for (let side = most; side > least; side--) {
    const columns = Math.max(1, Math.floor((box.width + gap) / (side + gap)));
    if (Math.ceil(items / columns) * (side + caption + gap) <= box.height) return side;
  }
  return least;
}

/** How kernels of one filter stand in a block: so many beside each other, each so large; as large as they can be. */
export interface Block {
  across: number;
  /** Of one kernel. */
  width: number;
  height: number;
}

/** `count` pictures of rows × columns in a block of `width` × `height`, `gap` between them. */
export function blockOf(count: number, rows: number, columns: number, width: number, height: number, gap: number): Block {
  let best: Block = { across: 1, width: 1, height: 1 };
  for (let across = 1; across <= count; across++) {
    const down = Math.ceil(count / across);
    const scale = Math.min((width - gap * (across - 1)) / (across * columns), (height - gap * (down - 1)) / (down * rows));
    const whole = scale > 2 ? Math.floor(scale) : scale; // pixels a weight: some would look wider than others
    if (whole * columns > best.width) best = { across, width: Math.max(1, Math.floor(whole * columns)), height: Math.max(1, Math.floor(whole * rows)) };
  }
  return best;
}
