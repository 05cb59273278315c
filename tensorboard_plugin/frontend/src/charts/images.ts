// How large samples' images are drawn, and whether they have a background.  No drawing here.

/** What is drawn of the samples instead of dots. */
export interface Images {
  sheet: ImageBitmap;
  grid: { width: number; height: number; columns: number };
  /** Whether the background is transparent. */
  cutout: boolean;
  /** How large, as a multiple of what suits their number and the zoom. */
  size: number;
}

const SMALLEST = 7;
const LARGEST = 34;
/** px beyond which a small picture only gets coarser. */
const COARSEST = 160;
/** Images grow more slowly than the plane does: zooming in parts those that overlap. */
const GROWTH = 0.6;
/** Of a cell: a thin line of the background stays between neighbours. */
const FILLED = 0.94;

/**
 * px of an image's longer side.  `zoom`: how much larger than where everything is to be seen.  On the grid (`toGrid` 1) an image
 * fills its cell of `cell` px and never more.
 */
export function imageSide(count: number, width: number, height: number, zoom: number, size: number, toGrid: number, cell: number): number {
  const suiting = Math.min(LARGEST, Math.max(SMALLEST, 0.5 * Math.sqrt((width * height) / Math.max(count, 1))));
  const free = Math.min(COARSEST, suiting * size * Math.max(zoom, 1) ** GROWTH);
  if (!(toGrid > 0) || !(cell > 0)) return free;
  return Math.max(1, free + toGrid * (FILLED * Math.min(size, 1) * cell - free));
}

const PROBED = 64;

/** Whether a sheet of thumbnails has transparent parts, as far as its first rows tell. */
export function isCutout(sheet: ImageBitmap, { width, height, columns }: Images["grid"]): boolean {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = PROBED;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) return false;
  context.imageSmoothingEnabled = false;
  // The first thumbnails, at most eight by eight: the sheet's last row may end early.
  const side = Math.min(columns, 8);
  context.drawImage(sheet, 0, 0, side * width, Math.min(sheet.height, height), 0, 0, PROBED, PROBED);
  const { data } = context.getImageData(0, 0, PROBED, PROBED);
  for (let i = 3; i < data.length; i += 4) if (data[i]! < 128) return true;
  return false;
}
