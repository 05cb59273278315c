// What is recorded of some filters at a time: the newest record up to the playhead that has what is looked for.

import type { FrameRecord } from "../api/types";
import type { Look } from "./look.svelte";
import { standing } from "./newest.svelte";
import type { Page } from "./page.svelte";

/** Records looked through. */
const MOST = 12;

export class Backwards<T> {
  // Assigned before any of the derived values below is read: they are computed on demand.
  private readonly page!: Page;
  private readonly look!: Look;
  private readonly kind!: string;
  private readonly read!: (record: FrameRecord) => T | null;
  private readonly known = new WeakMap<FrameRecord, { value: T | null }>();
  /** Whether a record has what is looked for; to be set anew where that is something else. */
  wanted: (value: T) => boolean = $state.raw(() => true);

  constructor(page: Page, look: Look, kind: string, read: (record: FrameRecord) => T | null) {
    this.page = page;
    this.look = look;
    this.kind = kind;
    this.read = read;
  }

  private past: number[] = $derived(standing(this.page, this.kind).filter((epoch) => epoch <= (this.page.epoch ?? -1)).slice(-MOST).reverse());
  private walk = $derived.by((): { found: T | null; missing: number | null; damaged: boolean } => {
    const { page } = this;
    let damaged = false;
    for (const epoch of this.past) {
      const entry = page.run ? page.frames.get(page.run, this.kind, epoch, page.layer) : undefined;
      if (!entry) return { found: null, missing: epoch, damaged };
      const value = entry.state === "ready" ? this.once(entry.record) : null;
      damaged ||= value === null;
      if (value !== null && this.wanted(value)) return { found: value, missing: null, damaged };
    }
    return { found: null, missing: null, damaged };
  });

  found: T | null = $derived(this.walk.found);
  loading: boolean = $derived(this.walk.missing !== null);
  /** A record on the way there could not be read. */
  damaged: boolean = $derived(this.walk.damaged);

  /** To be called in an effect: asks for the next record to look into. */
  want(): void {
    const { missing } = this.walk;
    if (missing !== null) this.look.ask(`back ${this.kind}`, this.kind, [this.page.layer], missing);
  }

  private once(record: FrameRecord): T | null {
    let known = this.known.get(record);
    if (!known) this.known.set(record, (known = { value: this.read(record) }));
    return known.value;
  }
}
