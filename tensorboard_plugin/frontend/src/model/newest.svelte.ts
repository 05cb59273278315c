// What is recorded every few epochs, as the playhead shows it: the newest record at or before it.

import type { FrameRecord } from "../api/types";
import { nearest } from "./epochs";
import type { Look, Status } from "./look.svelte";
import type { Page } from "./page.svelte";

export class Newest {
  // Assigned before any of the derived values below is read: they are computed on demand.
  private readonly page!: Page;
  private readonly look!: Look;
  private readonly kind!: string;
  /** The last record of this layer, until the next has come, so that nothing flashes. */
  private last: { subject: string; record: FrameRecord } | null = null;

  constructor(page: Page, look: Look, kind: string) {
    this.page = page;
    this.look = look;
    this.kind = kind;
  }

  /** Where on the axis it was recorded; null where nothing was up to the playhead. */
  epoch: number | null = $derived.by(() => newestUpTo(standing(this.page, this.kind), this.page.epoch));
  status: Status = $derived.by((): Status => {
    const { page } = this;
    if (this.epoch === null) return { state: "absent", nearest: page.epoch === null ? null : nearest(page.recorded(this.kind), page.epoch) };
    return this.look.status(this.kind, page.layer, this.epoch);
  });
  record: FrameRecord | null = $derived.by(() => {
    const { status, page } = this;
    const subject = [page.run?.run, page.run?.generation, page.axis, page.layer].join("\n");
    if (status.state === "ready") this.last = { subject, record: status.record };
    else if (this.last?.subject !== subject || status.state !== "loading") this.last = null;
    return this.last?.record ?? null;
  });

  /** To be called in an effect: asks for it, and for the next one after it. */
  want(): void {
    const { page, look, kind } = this;
    if (this.epoch === null) return;
    look.ask(kind, kind, [page.layer], this.epoch);
    const next = page.recorded(kind).find((epoch) => epoch > this.epoch!);
    if (next !== undefined) look.ask(`${kind} 1`, kind, [page.layer], next);
  }
}

/** Kinds that stand by filter: before the layer was pruned their numbers are those of other filters. */
const BY_FILTER = new Set(["arrangement", "exemplars", "exemplar_maps", "maps", "specificity", "kernels", "factors", "attributions", "maximising"]);

/** Epochs at which the chosen layer has a record of a kind that speaks of the filters of the playhead. */
export function standing(page: Page, kind: string): number[] {
  const recorded = page.recorded(kind), { begins } = page.numbered;
  return BY_FILTER.has(kind) && begins > -Infinity ? recorded.filter((epoch) => epoch >= begins) : recorded;
}

/** The last of rising epochs that is not beyond the playhead. */
export const newestUpTo = (recorded: readonly number[], epoch: number | null): number | null =>
  recorded.findLast((one) => one <= (epoch ?? -1)) ?? null;
