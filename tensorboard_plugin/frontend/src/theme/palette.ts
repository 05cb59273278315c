// Colours that carry meaning: classes, clusters and quantities.  The same in every view.

import { interpolateCividis } from "d3-scale-chromatic";

export type Rgb = [number, number, number];

// Okabe & Ito 2008, without black (which stands for cluster noise), grey last.
const OKABE_ITO: Rgb[] = [
  [0, 114, 178], [230, 159, 0], [0, 158, 115], [204, 121, 167], [86, 180, 233], [213, 94, 0], [214, 196, 40], [140, 140, 140],
];

/** Eight hues beside which grey can mean "none of these". */
export const EIGHT_HUES: readonly Rgb[] = [...OKABE_ITO.slice(0, 7), [126, 87, 194]];

const LARGEST = 20;

/** Hues of `count` categories: Okabe–Ito up to 8, equal lightness up to 20, else null (grey until isolated). */
export function categoryColours(count: number, dark: boolean): Rgb[] | null {
  if (count <= OKABE_ITO.length) return OKABE_ITO.slice(0, count);
  if (count > LARGEST) return null;
  // Neighbours on the hue circle differ a little in lightness too, or ten of them could not be told apart.
  const lightness = dark ? 0.75 : 0.64;
  return Array.from({ length: count }, (_, i) => oklch(lightness + (i % 2 ? 0.06 : -0.06), 0.155, 25 + (360 * i) / count));
}

export const neutral = (dark: boolean): Rgb => (dark ? [120, 128, 138] : [165, 171, 178]);
export const noise = (dark: boolean): Rgb => (dark ? [205, 210, 216] : [26, 28, 31]);

/** Colour of a share 0…1 of a sequential quantity. */
export function sequential(share: number): Rgb {
  return parse(interpolateCividis(Math.min(Math.max(share, 0), 1)));
}

const BLUE: Rgb = [33, 102, 172];
const WHITE: Rgb = [245, 245, 245];
const ORANGE: Rgb = [217, 95, 2];

/** Colour of −1…1: blue, white at zero, orange. */
export function diverging(value: number): Rgb {
  const v = Math.min(Math.max(value, -1), 1);
  return v < 0 ? mix(WHITE, BLUE, -v) : mix(WHITE, ORANGE, v);
}

export const mix = (a: Rgb, b: Rgb, t: number): Rgb => [0, 1, 2].map((i) => Math.round(a[i]! + (b[i]! - a[i]!) * t)) as Rgb;
export const darker = (colour: Rgb, amount = 0.35): Rgb => mix(colour, [0, 0, 0], amount);
export const css = ([r, g, b]: Rgb, alpha = 1): string => (alpha === 1 ? `rgb(${r} ${g} ${b})` : `rgb(${r} ${g} ${b} / ${alpha})`);

function parse(text: string): Rgb {
  return (text.match(/\d+/g) ?? ["0", "0", "0"]).slice(0, 3).map(Number) as Rgb;
}

/** sRGB of an OKLCH colour (Ottosson 2020), clipped to the gamut; hue in degrees. */
export function oklch(l: number, c: number, hue: number): Rgb {
  const [a, b] = [c * Math.cos((hue * Math.PI) / 180), c * Math.sin((hue * Math.PI) / 180)];
  const L = (l + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const M = (l - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const S = (l - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const linear = [
    4.0767416621 * L - 3.3077115913 * M + 0.2309699292 * S,
    -1.2684380046 * L + 2.6097574011 * M - 0.3413193965 * S,
    -0.0041960863 * L - 0.7034186147 * M + 1.707614701 * S,
  ];
  return linear.map((x) => {
    const clipped = Math.min(Math.max(x, 0), 1);
    return Math.round(255 * (clipped <= 0.0031308 ? 12.92 * clipped : 1.055 * clipped ** (1 / 2.4) - 0.055));
  }) as Rgb;
}
