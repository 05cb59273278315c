// Playing through the epochs.  At most eight a second; a few epochs play slowly enough for points to travel.

const TRAVEL_MS = 450;
const FASTEST_MS = 125;
const WHOLE_MS = 20_000;

/** Milliseconds an epoch is shown while playing through `epochs` of them. */
export function stepMs(epochs: number): number {
  return Math.min(TRAVEL_MS, Math.max(FASTEST_MS, WHOLE_MS / Math.max(epochs, 1)));
}

/** Milliseconds points travel between two epochs. */
export function travelMs(epochs: number, playing: boolean): number {
  return playing ? Math.min(400, stepMs(epochs)) : 400;
}
