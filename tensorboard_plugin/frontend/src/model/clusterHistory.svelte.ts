// The clusters of the chosen layer over the epochs, fetched as far as a picture needs them.

import { flowOf, type Flow, type Moment } from "./flow";
import { columnsFor, thin, wantOver } from "./history";
import { keepsIdentity, sampleIdentities } from "./identities";
import type { Look } from "./look.svelte";
import type { Page } from "./page.svelte";

export class ClusterHistory {
  private readonly page!: Page;
  private readonly look!: Look;

  constructor(page: Page, look: Look) {
    this.page = page;
    this.look = look;
  }

  private recorded: number[] = $derived.by(() => this.page.recorded("clusters"));
  /** Whether clusters of this layer are known by identity: without it bands would mean nothing from one epoch to the next. */
  lasting: boolean = $derived.by(() => {
    void this.page.numbersVersion;
    return (this.page.numbers.series("clusters", this.page.layer, "next_identity").values.at(-1) ?? 0) > 0;
  });
  private thinned = $derived.by(() => thin(this.recorded, columnsFor(4 * (this.page.info?.probe?.count ?? 0)), this.page.epoch));
  every: number = $derived(this.thinned.every);
  /** The epochs of which something has come. */
  private moments: Moment[] = $derived.by(() =>
    this.thinned.epochs.flatMap((epoch): Moment[] => {
      const status = this.look.status("clusters", this.page.layer, epoch);
      const identities = status.state === "ready" && keepsIdentity(status.record) ? sampleIdentities(status.record) : null;
      return identities ? [{ epoch, identities }] : [];
    }),
  );
  flow: Flow | null = $derived.by(() => (this.lasting && this.moments.length > 1 ? flowOf(this.moments) : null));
  /** Columns that are still on their way, or cannot be read. */
  missing: number = $derived(this.thinned.epochs.length - this.moments.length);

  /** Asks for what is missing.  To be called in an effect. */
  want(): void {
    if (this.lasting) wantOver(this.look, "clusters", this.page.layer, this.thinned.epochs, this.page.epoch);
  }
}
