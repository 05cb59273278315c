// What a layer's filters have by turns: not every record holds all of them, so the last few up to the playhead are read together.

import type { FrameRecord } from "../api/types";
import type { Look, Status } from "./look.svelte";
import { Newest, standing } from "./newest.svelte";
import type { Page } from "./page.svelte";

const MOST = 8; // records

export class Recent<T extends { epoch: number }> {
  readonly newest: Newest;
  private readonly known = new WeakMap<FrameRecord, T | null>();
  // Assigned before any of the derived values below is read: they are computed on demand.
  private readonly page!: Page;
  private readonly look!: Look;
  private readonly kind!: string;
  private readonly parse!: (record: FrameRecord) => T | null;

  constructor(page: Page, look: Look, kind: string, parse: (record: FrameRecord) => T | null) {
    this.page = page;
    this.look = look;
    this.kind = kind;
    this.parse = parse;
    this.newest = new Newest(page, look, kind);
  }

  /** Where on the axis to look, the newest first. */
  private epochs: number[] = $derived.by(() => standing(this.page, this.kind).filter((epoch) => epoch <= (this.page.epoch ?? -1)).slice(-MOST).reverse());

  /** What there is of them, the newest first; what is on its way or cannot be drawn is left out. */
  sheets: T[] = $derived.by(() => {
    const { page, look, kind } = this;
    const found = this.epochs.map((epoch): FrameRecord | null => {
      const status: Status = look.status(kind, page.layer, epoch);
      return status.state === "ready" ? status.record : epoch === this.newest.epoch ? this.newest.record : null;
    });
    const sheets = found.flatMap((record) => (record ? (this.sheet(record) ?? []) : []));
    const same = sheets.length === this.before.length && sheets.every((sheet, i) => sheet === this.before[i]);
    return same ? this.before : (this.before = sheets);
  });
  /** The list of before where it holds the same: any record that comes asks again, and nothing needs to be drawn anew for it. */
  private before: T[] = [];

  /** To be called in an effect: asks for the newest one and, once it is there, for those before it. */
  want(): void {
    this.newest.want();
    if (this.newest.status.state !== "ready") return;
    this.epochs.slice(1).forEach((epoch, i) => this.look.ask(`${this.kind} before ${i}`, this.kind, [this.page.layer], epoch));
  }

  private sheet(record: FrameRecord): T | null {
    let sheet = this.known.get(record);
    if (sheet === undefined) this.known.set(record, (sheet = this.parse(record)));
    return sheet;
  }
}

/** Each filter's newest holder: the first of `sheets` that has it.  By filter, rising. */
export function byFilter<T>(sheets: readonly T[], filtersOf: (sheet: T) => Iterable<number>): Map<number, T> {
  const found = new Map<number, T>();
  for (const sheet of sheets) for (const filter of filtersOf(sheet)) if (!found.has(filter)) found.set(filter, sheet);
  return new Map([...found].sort(([a], [b]) => a - b));
}
