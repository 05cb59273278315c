// Records of one layer over the epochs, as many as a picture needs: each is a request of its own, so they come one after the other.

import type { Look } from "./look.svelte";

/** Most columns of a picture over epochs. */
export const MOST_COLUMNS = 60;
/** Records of a layer that are kept at once may be this large together: the cache holds others besides. */
const MOST_BYTES = 48 * 2 ** 20;
const SLOTS = 2;

export interface Thinned {
  epochs: number[];
  /** One in so many recorded epochs; 1 = all. */
  every: number;
}

/**
 * Every second, fourth, … of rising `epochs`, so that about `most` remain, with the newest and `keep`.
 * Epochs that come later change nothing of what was chosen before, until the number doubles.
 */
export function thin(epochs: number[], most: number, keep: number | null = null): Thinned {
  let every = 1;
  while (epochs.length / every > Math.max(most, 2)) every *= 2;
  const last = epochs.length - 1;
  return { epochs: epochs.filter((epoch, i) => i % every === 0 || i === last || epoch === keep), every };
}

/** How many columns there is room for where a record takes so many bytes. */
export const columnsFor = (bytes: number): number => Math.max(8, Math.min(MOST_COLUMNS, Math.floor(MOST_BYTES / Math.max(bytes, 1))));

/** Asks for those records of a layer that are not there yet, what is nearest to the playhead first. */
export function wantOver(look: Look, kind: string, layer: string, epochs: number[], around: number | null): void {
  const missing = epochs
    .map((epoch, i) => ({ epoch, slot: i % SLOTS }))
    .filter(({ epoch }) => look.status(kind, layer, epoch).state === "loading")
    .sort((a, b) => Math.abs(a.epoch - (around ?? 0)) - Math.abs(b.epoch - (around ?? 0)));
  for (let slot = 0; slot < SLOTS; slot++) {
    const next = missing.find((wanted) => wanted.slot === slot);
    if (next) look.ask(`over ${slot}`, kind, [layer], next.epoch);
  }
}
