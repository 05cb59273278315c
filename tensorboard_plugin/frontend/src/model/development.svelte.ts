// One filter's histograms over the epochs, or the whole layer's where none is chosen: fetched as far as a picture needs them.

import { columnsFor, thin, wantOver } from "./history";
import { histogramsOf, layerRow, rowOf, type Column } from "./histograms";
import type { Look } from "./look.svelte";
import { renumbered } from "./numbering";
import type { Page } from "./page.svelte";

/** What a record takes beside its counts, roughly: maxima of a few dozen inputs. */
const BESIDES = 32 * 4;
const BINS = 64;

export class Development {
  constructor(private readonly page: Page, private readonly look: Look) {}

  filter: number | null = $derived.by(() => this.page.hoveredFilter ?? this.page.filters.at(-1) ?? null);
  private all: number[] = $derived.by(() => this.page.recorded("histograms"));
  private thinned = $derived.by(() => {
    // As the session says; a log that holds more than it says costs requests, nothing else.
    const bins = Number(this.page.info?.session?.recorders.activation_histograms?.bins) || BINS;
    const bytes = (this.page.layerInfo?.filters ?? 0) * (4 * bins + BESIDES);
    return thin(this.all, columnsFor(bytes), this.page.epoch);
  });
  recorded: number = $derived(this.all.length);
  every: number = $derived(this.thinned.every);
  columns: Column[] = $derived.by(() =>
    this.thinned.epochs.map((epoch) => {
      const status = this.look.status("histograms", this.page.layer, epoch);
      if (status.state !== "ready") return { epoch, row: null, problem: status.state === "damaged" ? status.reason : "" };
      const histograms = histogramsOf(status.record);
      const filter = this.filter === null ? null : renumbered(this.page.numbered.eras, this.filter, this.page.epoch ?? epoch, epoch);
      if (this.filter !== null && filter === null) return { epoch, row: null, problem: "pruned" };
      const row = histograms && (filter === null ? layerRow(histograms) : rowOf(histograms, filter));
      return { epoch, row, problem: row ? "" : "the arrays of the record do not fit each other" };
    }),
  );

  /** Asks for what is missing.  To be called in an effect. */
  want(): void {
    wantOver(this.look, "histograms", this.page.layer, this.thinned.epochs, this.page.epoch);
  }
}
