// Which epochs there are, and which of them are still being analysed.  Pure functions on an index entry.

import type { AxisContent, JournalEntry } from "../api/types";

/** Kinds that are snapshots of the model; the others are bookkeeping. */
export const SNAPSHOT_KINDS = [
  "predictions", "embedding", "clusters", "separation", "health", "histograms", "exemplars", "feature_images",
] as const;

/** Epochs at which this kind of record of this layer was made, rising. */
export function epochsOf(run: AxisContent | null, kind: string, layer: string): number[] {
  const series = run?.series[kind];
  const which = series && Object.hasOwn(series, layer) ? series[layer] : undefined;
  return which === undefined ? [] : (run?.epochs[which] ?? []);
}

/** Whether anything of this kind was recorded. */
export function has(run: AxisContent | null, kind: string): boolean {
  return Object.values(run?.series[kind] ?? {}).some((which) => (run?.epochs[which]?.length ?? 0) > 0);
}

/** Epochs with at least one snapshot record, rising. */
export function snapshotEpochs(run: AxisContent | null): number[] {
  const used = new Set<number>();
  for (const kind of SNAPSHOT_KINDS) for (const which of Object.values(run?.series[kind] ?? {})) used.add(which);
  const union = new Set<number>();
  for (const which of used) for (const epoch of run?.epochs[which] ?? []) union.add(epoch);
  return [...union].sort((a, b) => a - b);
}

/** Epochs of which it is known that no embedding will come, by layer; under "" those of every layer. */
export type Settled = ReadonlyMap<string, ReadonlySet<number>>;

/** What the journal says of embeddings that were left out: by thinning, or because there was nothing to lay out. */
export function settledEpochs(journal: readonly JournalEntry[]): Settled {
  const settled = new Map<string, Set<number>>();
  for (const { kind, recorder, epoch, layer = "" } of journal) {
    if (epoch === undefined || !(kind === "thinned" || isEmbedding(recorder))) continue;
    settled.set(layer, (settled.get(layer) ?? new Set()).add(epoch));
  }
  return settled;
}

/** Whether a recorder of this name makes embeddings. */
export const isEmbedding = (recorder: string | undefined): boolean => /^embedding/i.test(recorder ?? "");

/**
 * Newest epochs whose predictions are there while the layer's embedding is not and may still come: the analysis is
 * behind by these.  Gaps further back are thinned snapshots, not pending ones.
 */
export function pendingEpochs(run: AxisContent | null, layer: string, expected: boolean, settled: Settled = new Map()): number[] {
  if (!expected) return [];
  const embedded = epochsOf(run, "embedding", layer);
  const last = embedded.at(-1) ?? -1;
  const over = (epoch: number) => settled.get(layer)?.has(epoch) || settled.get("")?.has(epoch);
  return epochsOf(run, "predictions", "").filter((epoch) => epoch > last && !over(epoch));
}

/** The member of rising `epochs` nearest to `epoch`; the earlier one on a tie; null where there is none. */
export function nearest(epochs: number[], epoch: number): number | null {
  let best: number | null = null;
  for (const candidate of epochs) {
    if (best === null || Math.abs(candidate - epoch) < Math.abs(best - epoch)) best = candidate;
  }
  return best;
}

/** The epoch `delta` recordings away from `epoch`, held at both ends. */
export function step(epochs: number[], epoch: number, delta: number): number {
  if (!epochs.length) return epoch;
  const next = epochs.findIndex((candidate) => candidate > epoch);
  const after = next < 0 ? epochs.length : next;
  const exact = epochs[after - 1] === epoch;
  const target = delta > 0 ? after + delta - 1 : after + delta - (exact ? 1 : 0);
  return epochs[Math.min(Math.max(target, 0), epochs.length - 1)]!;
}
