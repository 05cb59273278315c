// The feature images of a layer up to the playhead: which records to ask for, and what they make together.

import type { FrameRecord } from "../api/types";
import { assembleFiltered, type Filtered } from "./featureExtras";
import { assemble, imageSheet, MOST_RECORDS, type ImageSheet, type Tile } from "./gallery";
import type { Look } from "./look.svelte";
import { eraAt, renumbered, type Era } from "./numbering";
import type { Page } from "./page.svelte";

const SLOTS = 4; // requests at a time

export class Sheets {
  /** Set while a filter is looked at closely: its images of all epochs are wanted then. */
  closely = $state(false);
  /** Set where one filter alone is wanted: nothing is looked for beyond its newest image. */
  sought: number | null = $state(null);
  /** Set where filtered images are wanted: few filters have them, and whose are in older records is not known beforehand. */
  further = $state(false);
  private readonly known = new WeakMap<FrameRecord, ImageSheet | null>();
  private readonly page!: Page;
  private readonly look!: Look;

  constructor(page: Page, look: Look) {
    this.page = page;
    this.look = look;
  }

  recorded: number[] = $derived(this.page.recorded("feature_images"));
  /** Where to look: everywhere, or where there is much, at the last records up to the playhead. */
  window: number[] = $derived.by(() => {
    const { recorded } = this;
    if (recorded.length <= MOST_RECORDS) return recorded;
    const past = recorded.filter((epoch) => epoch <= (this.page.epoch ?? -1));
    return (past.length ? past : recorded).slice(-MOST_RECORDS);
  });
  past: number[] = $derived(this.window.filter((epoch) => epoch <= (this.page.epoch ?? -1)).reverse());

  /** What has come of the records in the window, newest first. */
  private walk = $derived.by(() => {
    const { page } = this;
    const sheets: ImageSheet[] = [];
    const missing: number[] = [];
    const found = new Set<number>();
    let reason = "";
    for (const epoch of this.past) {
      const entry = page.run ? page.frames.get(page.run, "feature_images", epoch, page.layer) : undefined;
      const sheet = entry?.state === "ready" ? this.numbered(this.sheet(entry.record)) : null;
      if (!entry) missing.push(epoch);
      else if (!sheet) reason ||= entry.state === "damaged" ? entry.reason : "the images are not described as they should be";
      else if (sheets[0] && sheet.inAll !== sheets[0].inAll) break; // pruned since, and nothing tells which filters these are
      else {
        sheets.push(sheet);
        for (const filter of sheet.filters) if (filter >= 0) found.add(filter); // −1 = gone since
      }
      if (missing.length || this.further) continue;
      if (this.sought !== null ? found.has(this.sought) : sheets[0] && sheets[0].inAll > 0 && found.size >= sheets[0].inAll) break;
    }
    return { sheets, missing, reason };
  });
  sheets: ImageSheet[] = $derived(this.settled(this.walk.sheets));
  /** Each filter's newest image at the playhead. */
  tiles: Tile[] = $derived(assemble(this.sheets));
  /** Filters whose newest image was put through activation filtering, of the records that were looked through. */
  filtered: Filtered[] = $derived(assembleFiltered(this.sheets));
  /** Records of the gallery that are still on their way. */
  loading: number = $derived(this.walk.missing.length);
  /** Why a record cannot be shown; "" where all can. */
  reason: string = $derived(this.walk.reason);
  /** Filters of the layer. */
  inAll: number = $derived(this.sheets[0]?.inAll || this.page.layerInfo?.filters || this.tiles.length);
  /** The gallery was looked for no further back than this many records. */
  capped: boolean = $derived(this.tiles.length < this.inAll && this.past.length === MOST_RECORDS && this.recorded.some((epoch) => epoch < this.past.at(-1)!));

  /** To be called in an effect: asks for what is missing, a few records at a time. */
  want(): void {
    const { page } = this;
    const others = this.closely ? this.window.filter((epoch) => page.run && !page.frames.get(page.run, "feature_images", epoch, page.layer)) : [];
    const asked = new Set<number>();
    for (const epoch of [...this.walk.missing, ...others]) {
      const slot = this.window.indexOf(epoch) % SLOTS; // always the same for an epoch: nothing is asked for twice
      if (asked.has(slot)) continue;
      asked.add(slot);
      this.look.ask(`${this.sought === null ? "gallery" : "card"} ${slot}`, "feature_images", [page.layer], epoch);
    }
  }

  /** One filter's images over the epochs at which it was refreshed, rising. */
  development(filter: number): Tile[] {
    const { page } = this;
    return this.window.flatMap((epoch) => {
      const entry = page.run ? page.frames.get(page.run, "feature_images", epoch, page.layer) : undefined;
      const sheet = entry?.state === "ready" ? this.numbered(this.sheet(entry.record)) : null;
      const row = sheet && sheet.inAll === this.inAll ? sheet.filters.indexOf(filter) : -1;
      return sheet && row >= 0 ? assemble([sheet]).filter((tile) => tile.filter === filter) : [];
    });
  }

  /** The list of before where it holds the same: any record that comes asks again, and nothing needs to be drawn anew for it. */
  private settled(sheets: ImageSheet[]): ImageSheet[] {
    const same = sheets.length === this.before.length && sheets.every((sheet, i) => sheet === this.before[i]);
    return same ? this.before : (this.before = sheets);
  }
  private before: ImageSheet[] = [];

  /** With filters by the numbers that they have at the playhead; as it is where nothing tells which they are. */
  private numbered(sheet: ImageSheet | null): ImageSheet | null {
    const { eras, era } = this.page.numbered;
    const its = sheet ? eraAt(eras, sheet.epoch) : era;
    if (!sheet || its === era || Math.min(its, era) < 0 || sheet.inAll !== eras[its]!.filters.length) return sheet;
    const known = this.others.get(sheet);
    if (known?.era === era && known.eras === eras) return known.sheet;
    const filters = Int32Array.from(sheet.filters, (filter) => renumbered(eras, filter, sheet.epoch, eras[era]!.begins) ?? -1);
    const made = { ...sheet, filters, inAll: eras[era]!.filters.length, filtering: null };
    this.others.set(sheet, { era, eras, sheet: made });
    return made;
  }
  private readonly others = new WeakMap<ImageSheet, { era: number; eras: readonly Era[]; sheet: ImageSheet }>();

  private sheet(record: FrameRecord): ImageSheet | null {
    let sheet = this.known.get(record);
    if (sheet === undefined) this.known.set(record, (sheet = imageSheet(record)));
    return sheet;
  }
}
