// How far a layout may be believed: its numbers, and from where on not.  Pure functions.

import type { FrameRecord } from "../api/types";
import { percent, ratio } from "./format";

/** Below it a picture is veiled. */
export const DOUBTFUL = 0.75;
/** A rank correlation below it: points moved otherwise than their features did (`layout_stability` of the alerts). */
export const UNSTEADY = 0.2;

export interface Belief {
  trustworthiness: number | null;
  kept: number | null;
  neighbors: number | null;
  /** Pearson's r and Spearman's ρ of how far samples moved in features and in the plane; null where it started afresh. */
  stability: number | null;
  rank: number | null;
  /** The epoch whose layout it started from; null = a fresh start. */
  started: number | null;
  /** The layer of the same epoch whose layout it started from; "" = none. */
  beside: string;
}

export function beliefOf(record: FrameRecord): Belief {
  const known = (name: string): number | null => {
    const value = record.fields[name];
    return typeof value === "number" && Number.isFinite(value) ? value : null;
  };
  const started = known("started_from");
  return {
    trustworthiness: known("trustworthiness"), kept: known("neighbors_kept"), neighbors: known("neighbors"),
    stability: known("stability"), rank: known("stability_rank"), started: started !== null && started >= 0 ? started : null,
    beside: typeof record.fields.beside === "string" ? record.fields.beside : "",
  };
}

/** Why a picture should not be believed; "" where nothing speaks against it. */
export function whyDoubtful({ trustworthiness }: Belief): string {
  if (trustworthiness === null || trustworthiness >= DOUBTFUL) return "";
  return `neighbourhoods are poorly kept (trustworthiness ${ratio(trustworthiness)})`;
}

/** Whether points moved otherwise than their features did. */
export const unsteady = ({ rank, stability }: Belief): boolean => (rank ?? stability ?? 1) < UNSTEADY;

/** All that is known, in sentences, for a tooltip. */
export function beliefInWords(belief: Belief, unit: string): string {
  const { trustworthiness, kept, neighbors, stability, started, beside } = belief;
  const words: string[] = [];
  if (trustworthiness !== null) words.push(`Trustworthiness ${ratio(trustworthiness)}: how few false neighbours the picture shows; 1 = none.`);
  if (kept !== null) words.push(`${percent(kept)} of the ${neighbors ?? ""} nearest neighbours are kept.`.replace("  ", " "));
  if (stability !== null) words.push(`Stability ${ratio(stability)}: points moved since ${unit} ${started ?? "before"} as far as their features did; 1 = exactly so.`);
  else if (beside) words.push(`It started from the layout of ${beside}.`);
  else if (started === null) words.push("A fresh start: where points stood before means nothing for it.");
  if (unsteady(belief)) words.push("That is little: do not read movement from it.");
  return words.join("\n");
}
