// The layout while it was being optimised: a few snapshots of it, kept in the embedding's record.  Pure functions.

import type { FrameRecord } from "../api/types";

export interface Stages {
  /** After how many rounds of the optimisation each was taken, rising. */
  rounds: number[];
  /** The points of one of them, interleaved x and y. */
  points: (stage: number) => Float32Array;
}

/** What a record holds of them; null where it holds none, or what does not fit. */
export function stagesOf(record: FrameRecord): Stages | null {
  const array = record.arrays.stages;
  const values = array?.values;
  const [count = 0, samples = 0, plane = 0] = array?.shape ?? [];
  if (!(values instanceof Float32Array) || count < 2 || plane !== 2 || record.arrays.points?.shape[0] !== samples) return null;
  const given = record.arrays.rounds?.values;
  const rounds = given?.length === count ? Array.from(given, Number) : Array.from({ length: count }, (_, i) => i);
  return { rounds, points: (stage) => values.subarray(stage * samples * 2, (stage + 1) * samples * 2) };
}

/** The points at a stage of the optimisation; the finished layout where `stage` is null or there is no such stage. */
export function pointsAtStage(record: FrameRecord, stage: number | null): Float32Array | null {
  const stages = stage === null ? null : stagesOf(record);
  if (stages && stage! >= 0 && stage! < stages.rounds.length) return stages.points(stage!);
  const array = record.arrays.points;
  return array?.values instanceof Float32Array && array.shape.length === 2 && array.shape[1] === 2 ? array.values : null;
}
