// Many thin rows, of which only those in sight are drawn.

/** What of the rows is in sight, in CSS pixels. */
export interface Sight {
  first: number;
  /** One beyond the last. */
  end: number;
  /** Where the first one's upper edge is, from the top of the picture. */
  top: number;
  rowHeight: number;
  width: number;
  height: number;
  /** Device pixels a CSS pixel. */
  ratio: number;
}

/** Whole pixels a row, so that all fit where they can, within limits. */
export function rowHeight(count: number, height: number, least: number, most: number): number {
  return Math.max(least, Math.min(most, Math.floor(height / Math.max(count, 1))));
}

export function inSight(count: number, rowHeight: number, scrolled: number, width: number, height: number, ratio: number): Sight {
  const first = Math.min(Math.max(0, Math.floor(scrolled / rowHeight)), count);
  const end = Math.min(count, Math.ceil((scrolled + height) / rowHeight));
  return { first, end, top: first * rowHeight - scrolled, rowHeight, width, height, ratio };
}

/** Which rows carry their labels: every few where they are thin; marked ones always, pushing their neighbours out. */
export function labelled(sight: Sight, marked: number[]): number[] {
  const every = Math.ceil(13 / sight.rowHeight);
  const kept: number[] = [];
  for (const row of marked) {
    if (row >= sight.first && row < sight.end && kept.every((other) => Math.abs(other - row) >= every)) kept.push(row);
  }
  const forced = [...kept];
  // From the middle of the first few on: the uppermost label has room above it.
  for (let row = Math.ceil(sight.first / every) * every + (every >> 1); row < sight.end; row += every) {
    if (forced.every((other) => Math.abs(other - row) >= every)) kept.push(row);
  }
  return kept;
}
