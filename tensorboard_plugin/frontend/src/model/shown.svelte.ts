// The record a view shows: the newest that is there, until the next has come, so that nothing flashes.

import type { FrameRecord } from "../api/types";
import type { Look, Status } from "./look.svelte";
import type { Page } from "./page.svelte";

export class Shown {
  record: FrameRecord | null = $state.raw(null);
  private subject = "";

  /** What there is at the chosen layer and epoch. */
  status: Status = $derived.by(() => this.look.status(this.kind, this.page.layer, this.page.epoch));

  constructor(private readonly page: Page, private readonly look: Look, private readonly kind: string) {
    $effect(() => {
      const now = [page.run?.run, page.run?.generation, page.axis, page.layer].join("\n");
      if (this.status.state === "ready") [this.record, this.subject] = [this.status.record, now];
      else if (this.subject !== now || this.status.state !== "loading") this.record = null;
    });
  }
}
