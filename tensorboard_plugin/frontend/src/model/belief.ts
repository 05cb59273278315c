// How far a layout may be believed: its numbers, and from where on not.  Pure functions.

import type { FrameRecord } from "../api/types";
import { percent, ratio } from "./format";

/** Below it a picture is veiled. */
export const DOUBTFUL = 0.75;
/**
 * A rank correlation below the first, while points moved by more than the second (of the picture's radius) and features by less than
 * the third (in distances to their neighbours): the picture jumped for no reason.  As the alerts have them (`layout_…`).
 */
export const UNSTEADY = { rank: 0.2, points: 0.25, features: 0.5 };

export interface Belief {
  trustworthiness: number | null;
  kept: number | null;
  neighbors: number | null;
  /** Pearson's r and Spearman's ρ of how far samples moved in features and in the plane; null where it started afresh. */
  stability: number | null;
  rank: number | null;
  /** How far half of the points moved, of the picture's radius, and of the features, in distances to their neighbours. */
  pointsMoved: number | null;
  featuresMoved: number | null;
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
    stability: known("stability"), rank: known("stability_rank"),
    pointsMoved: known("points_moved"), featuresMoved: known("features_moved"), started: started !== null && started >= 0 ? started : null,
    beside: typeof record.fields.beside === "string" ? record.fields.beside : "",
  };
}

/** Why a picture should not be believed; "" where nothing speaks against it. */
export function whyDoubtful({ trustworthiness }: Belief): string {
  if (trustworthiness === null || trustworthiness >= DOUBTFUL) return "";
  return `neighbourhoods are poorly kept (trustworthiness ${ratio(trustworthiness)})`;
}

/** Whether points jumped although their features did not. */
export const unsteady = ({ rank, pointsMoved, featuresMoved }: Belief): boolean =>
  rank !== null && pointsMoved !== null && featuresMoved !== null &&
  rank < UNSTEADY.rank && pointsMoved > UNSTEADY.points && featuresMoved < UNSTEADY.features;

/** All that is known, in sentences, for a tooltip. */
export function beliefInWords(belief: Belief, unit: string): string {
  const { trustworthiness, kept, neighbors, stability, started, beside } = belief;
  const words: string[] = [];
  if (trustworthiness !== null) words.push(`Trustworthiness ${ratio(trustworthiness)}: how few false neighbours the picture shows; 1 = none.`);
  if (kept !== null) words.push(`${percent(kept)} of the ${neighbors ?? ""} nearest neighbours are kept.`.replace("  ", " "));
  if (stability !== null) words.push(`Stability ${ratio(stability)}: points moved since ${unit} ${started ?? "before"} as far as their features did; 1 = exactly so.`);
  else if (beside) words.push(`It started from the layout of ${beside}.`);
  else if (started === null) words.push("A fresh start: where points stood before means nothing for it.");
  if (belief.pointsMoved !== null) words.push(`Half of the points moved by more than ${percent(belief.pointsMoved, 1)} of the picture's radius.`);
  if (unsteady(belief)) words.push("It jumped, and the features hardly moved: do not read movement from it.");
  return words.join("\n");
}
