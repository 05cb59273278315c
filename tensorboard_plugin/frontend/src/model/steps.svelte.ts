// The steps of pruning, fetched with their reasons, for whoever shows them.  To be called while a component is made.

import type { FrameRecord } from "../api/types";
import { epochsOf } from "./epochs";
import type { Page } from "./page.svelte";
import { stepsOf, type Step } from "./prunings";

/** So many are fetched, the last ones; the numbers of all are in the curves. */
const MOST = 200;

export interface Steps {
  readonly all: Step[];
  /** Epochs at which there is one. */
  readonly epochs: number[];
  /** How many earlier ones are not fetched, and how many cannot be read. */
  readonly missing: number;
  readonly damaged: number;
}

/** They stand at epochs, whichever axis is shown. */
export function prunedSteps(page: Page): Steps {
  const at = $derived(page.entry && { run: page.entry.run, generation: page.entry.generation });
  const epochs = $derived(epochsOf(page.entry, "pruning", ""));
  const fetched = $derived(epochs.slice(-MOST));
  $effect(() => {
    if (at) for (const epoch of fetched) page.frames.ensure(`pruning ${epoch}`, at, "pruning", epoch, [""]);
  });
  const entries = $derived(at ? fetched.map((epoch) => page.frames.get(at, "pruning", epoch, "")) : []);
  const all = $derived(stepsOf(entries.flatMap((entry): FrameRecord[] => (entry?.state === "ready" ? [entry.record] : []))));
  return {
    get all() { return all; },
    get epochs() { return epochs; },
    get missing() { return epochs.length - fetched.length; },
    get damaged() { return entries.filter((entry) => entry?.state === "damaged").length; },
  };
}
