// Fetches how the chosen layer's filters were numbered over the training, where it may have been pruned.

import { fetchNumbering, type Address } from "../api/http";
import { eraAt, type Era } from "./numbering";
import { epochsOf } from "./epochs";
import type { Page } from "./page.svelte";

const NONE: readonly Era[] = [];

export class Numbered {
  private found: { layer: string; key: string; eras: readonly Era[] } | null = $state.raw(null);
  private asking = "";
  // Assigned before any of the derived values below is read: they are computed on demand.
  private readonly page!: Page;

  constructor(page: Page) {
    this.page = page;
  }

  private subject: string = $derived.by(() => [this.page.run?.run, this.page.run?.generation, this.page.axis, this.page.layer].join("\n"));
  /** A session begins wherever layers have other filters: there is more to know with each. */
  private key: string = $derived.by(() => [this.subject, epochsOf(this.page.run, "session", "").length, epochsOf(this.page.entry, "pruning", "").length].join("\n"));
  /** Empty where the layer has had the same filters all along, or nothing is known yet. */
  eras: readonly Era[] = $derived.by(() => (this.found?.layer === this.subject ? this.found.eras : NONE));
  /** The one at the playhead. */
  era: number = $derived.by(() => eraAt(this.eras, this.page.epoch ?? Infinity));
  /** From where on the filters are numbered as at the playhead; what was recorded before is of others. */
  begins: number = $derived.by(() => (this.era > 0 ? this.eras[this.era]!.begins : -Infinity));

  /** Asks for it, where there is something to ask for.  To be called in an effect. */
  want(): void {
    const { key, subject, page } = this;
    if (!page.run || !page.layer || epochsOf(page.run, "session", "").length < 2) return;
    if (this.found?.key === key || this.asking === key) return;
    const at: Address = { run: page.run.run, generation: page.run.generation, axis: page.axis };
    this.asking = key;
    fetchNumbering(at, page.layer)
      .then((eras) => {
        if (this.asking === key) this.found = { layer: subject, key, eras };
      })
      .catch(() => undefined) // with the next session, or another layer, it is asked for again
      .finally(() => {
        if (this.asking === key) this.asking = "";
      });
  }
}
