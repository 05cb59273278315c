// One sample as every layer sees it: each layer's channels in one picture, made once and kept.

import type { FrameRecord } from "../api/types";
import type { Look } from "./look.svelte";
import { combined, mapsOf, type MapSheet } from "./maps";
import { newestUpTo } from "./newest.svelte";
import type { Page } from "./page.svelte";

/** What there is of a layer. */
export interface Seen {
  layer: string;
  /** null where it is not there (yet), or does not show this sample. */
  picture: { words: Uint32Array<ArrayBuffer>; width: number; height: number } | null;
  /** Where on the axis it was recorded. */
  epoch: number | null;
  /** Why there is no picture; "" where it is on its way. */
  why: string;
}

const sheets = new WeakMap<FrameRecord, MapSheet | null>();
const pictures = new WeakMap<MapSheet, Map<number, Uint32Array<ArrayBuffer>>>();

/** `mapsOf`, once a record. */
export function sheetOf(record: FrameRecord): MapSheet | null {
  let sheet = sheets.get(record);
  if (sheet === undefined) sheets.set(record, (sheet = mapsOf(record)));
  return sheet;
}

/** `combined`, once a sheet and sample. */
export function pictureOf(sheet: MapSheet, place: number): Uint32Array<ArrayBuffer> {
  let made = pictures.get(sheet);
  if (!made) pictures.set(sheet, (made = new Map()));
  let picture = made.get(place);
  if (!picture) made.set(place, (picture = combined(sheet, place)));
  return picture;
}

/** How a layer sees a sample at the playhead. */
export function seen(page: Page, look: Look, layer: string, sample: number): Seen {
  const epoch = newestUpTo(page.recorded("maps", layer), page.epoch);
  if (epoch === null) return { layer, picture: null, epoch, why: `recorded from ${page.unit} ${page.recorded("maps", layer)[0]} on` };
  const status = look.status("maps", layer, epoch);
  const sheet = status.state === "ready" ? sheetOf(status.record) : null;
  const place = sheet ? sheet.samples.indexOf(sample) : -1;
  if (sheet && place >= 0) return { layer, epoch, why: "", picture: { words: pictureOf(sheet, place), width: sheet.columns, height: sheet.rows } };
  const why = status.state === "damaged" ? status.reason : sheet ? "not recorded of this sample" : status.state === "ready" ? "cannot be drawn" : "";
  return { layer, picture: null, epoch, why };
}

/** To be called in an effect: asks for what of some layers is missing, one request at a time an epoch. */
export function wantSeen(page: Page, look: Look, layers: readonly string[]): void {
  const wanted = new Map<number, string[]>();
  for (const layer of layers) {
    const epoch = newestUpTo(page.recorded("maps", layer), page.epoch);
    if (epoch !== null) wanted.set(epoch, [...(wanted.get(epoch) ?? []), layer]);
  }
  let slot = 0;
  for (const [epoch, there] of wanted) look.ask(`layers ${slot++}`, "maps", there, epoch);
}
