// Fetches how filters develop: one request at a time, and the last answer stays until the next has come.

import { fetchDevelopment, HttpError, type Address } from "../api/http";
import { evolutionOf, NUMBERS, type Evolution } from "./developmentOf";
import type { Page } from "./page.svelte";
import type { Developed } from "./settings";

interface Wanted {
  at: Address;
  layer: string;
  which: Developed;
  filters: readonly number[];
  /** The epoch that filters are numbered as at; null = they have had the same numbers all along. */
  numbered: number | null;
  /** Epochs of which there are records: with a new one there is more to fetch. */
  epochs: number;
}

export class Evolutions {
  /** Why there is none; "" where there is no reason. */
  reason = $state("");
  private found: { key: string; epochs: number; evolution: Evolution } | null = $state.raw(null);
  private next: Wanted | null = null;
  /** What is being asked for; "" = nothing. */
  private asking = "";
  private failed = "";

  constructor(private readonly page: Page) {}

  /** The development of a number of the chosen layer's filters (none named = all); null while it is not there. */
  get(which: Developed, filters: readonly number[] = []): Evolution | null {
    const wanted = this.wanted(which, filters);
    return wanted && this.found?.key === keyOf(wanted) ? this.found.evolution : null;
  }

  /** Sees to it that it comes.  Cheap where it is there; to be called in an effect. */
  want(which: Developed, filters: readonly number[] = []): void {
    const wanted = this.wanted(which, filters);
    if (!wanted) return;
    const there = this.found?.key === keyOf(wanted) && this.found.epochs === wanted.epochs;
    this.next = null;
    if (there || [this.failed, this.asking].includes(identity(wanted))) return;
    this.next = wanted;
    if (!this.asking) void this.work();
  }

  private wanted(which: Developed, filters: readonly number[]): Wanted | null {
    const { run, layer } = this.page;
    const epochs = this.page.recorded("health").length;
    if (!run || !epochs) return null;
    const { era, eras } = this.page.numbered;
    return { at: { run: run.run, generation: run.generation, axis: run.axis }, layer, which, filters, numbered: era < 0 ? null : eras[era]!.begins, epochs };
  }

  private async work(): Promise<void> {
    for (let wanted = this.next; wanted; wanted = this.next) {
      this.next = null;
      this.asking = identity(wanted);
      const [field] = NUMBERS[wanted.which];
      try {
        const evolution = evolutionOf(await fetchDevelopment(wanted.at, "health", wanted.layer, [field, "dead"], wanted.filters, wanted.numbered), field);
        if (!evolution) throw new Error("the plugin's answer holds no development");
        this.found = { key: keyOf(wanted), epochs: wanted.epochs, evolution };
        this.reason = this.failed = "";
      } catch (error) {
        // Not asked for again until something else is wanted, or there is one epoch more.
        this.failed = identity(wanted);
        const stale = error instanceof HttpError && error.stale;
        this.reason = stale ? "" : error instanceof Error ? error.message : "TensorBoard does not answer";
      }
    }
    this.asking = "";
  }
}

const keyOf = ({ at, layer, which, filters, numbered }: Omit<Wanted, "epochs">): string =>
  [at.run, at.generation, at.axis ?? "epochs", layer, which, filters.join(), numbered].join("\n");
const identity = (wanted: Wanted): string => `${keyOf(wanted)}\n${wanted.epochs}`;
