// What happened to samples, clusters and filters of the run that is shown: fetched where a view wants it, one copy for all views.

import { fetchEvents, type EventKind, type Happening, type Happenings } from "../api/events";
import { HttpError } from "../api/http";
import { has } from "./epochs";
import type { Page } from "./page.svelte";

const NONE: Happenings = { events: [], counts: {}, problems: [] };

export class HappeningsOf {
  private found: { run: string; answer: Happenings } | null = $state.raw(null);
  /** Why there is none: the plugin's answer; "" where there is no reason. */
  problem = $state("");
  private asked = "";
  /** A large log takes its time: one request at a time, and once more at its end where the run has grown meanwhile. */
  private busy = false;
  private readonly page!: Page;

  constructor(page: Page) {
    this.page = page;
  }

  private run: string = $derived(`${this.page.run?.run}\n${this.page.run?.generation}\n${this.page.run?.axis}`);
  /** Whether it says something that there is none: an older log has no record of them, nor clusters that keep their identity. */
  expected: boolean = $derived.by(() => {
    void this.page.numbersVersion;
    const { run, numbers } = this.page;
    return has(run, "events") || Object.keys(run?.series.clusters ?? {}).some((layer) => (numbers.series("clusters", layer, "next_identity").values.at(-1) ?? 0) > 0);
  });
  /** Whether this log can hold any: filters' events are told by their health, but not by an older one. */
  recorded: boolean = $derived(this.expected || has(this.page.run, "health"));
  answer: Happenings = $derived(this.found?.run === this.run ? this.found.answer : NONE);
  /** Whether anything has come of this run yet. */
  ready: boolean = $derived(this.found?.run === this.run);

  /** To be called in an effect: asks again where the run has grown. */
  want(): void {
    const at = this.page.run;
    const { run } = this;
    const state = `${run}\n${at?.updated}`;
    if (!at || !this.recorded || state === this.asked || this.busy) return;
    [this.asked, this.busy] = [state, true];
    fetchEvents(at).then(
      (answer) => {
        if (run === this.run) [this.found, this.problem] = [{ run, answer }, ""];
      },
      (error: unknown) => {
        if (this.asked === state) this.asked = ""; // once more when something else of the run comes
        if (run !== this.run || (error instanceof HttpError && error.stale)) return;
        this.problem = error instanceof Error ? error.message : "TensorBoard does not answer";
      },
    ).finally(() => {
      this.busy = false;
      if (this.asked) this.want();
    });
  }

  /** Those of one sample, in the order of epochs. */
  ofSample(sample: number): Happening[] {
    return this.answer.events.filter((event) => event.sample === sample).sort((a, b) => a.epoch - b.epoch);
  }

  /** Those of one filter, in the order of epochs. */
  ofFilter(layer: string, filter: number): Happening[] {
    return this.answer.events.filter((event) => event.filter === filter && event.layer === layer).sort((a, b) => a.epoch - b.epoch);
  }
}

const known = new WeakMap<Page, HappeningsOf>();

/** The one copy that a page's views share. */
export function happeningsOf(page: Page): HappeningsOf {
  let found = known.get(page);
  if (!found) known.set(page, (found = new HappeningsOf(page)));
  return found;
}

/** What a kind of event is called, and what it means. */
export const EVENT_NAMES: Record<EventKind, [name: string, meaning: string]> = {
  forgotten: ["forgotten", "recognised at the epoch before, no more at this one"],
  learnt: ["learnt", "recognised for the first time"],
  flip: ["flip", "taken for another class, wrongly before and after"],
  jump: ["jump", "the same class, with quite another certainty"],
  travelled: ["travelled", "its features moved farther than most; in median distances to the k-th neighbour"],
  split: ["split", "a cluster came apart"],
  merge: ["merge", "clusters became one"],
  born: ["born", "a cluster that was none before"],
  gone: ["gone", "a cluster dissolved"],
  died: ["died", "a filter that did something gives nothing any more on the whole probe"],
  revived: ["revived", "a filter that was dead is back"],
  awoke: ["awoke", "a filter that had been dead since the beginning is alive for the first time"],
};
