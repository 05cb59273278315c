// What watching has cost, recorder by recorder.  Pure functions on a record of the kind `epoch`.

import type { FrameRecord } from "../api/types";

export interface CostRow {
  name: string;
  /** Seconds for which the training thread was held up. */
  blocked: number;
  /** Seconds computed, wherever. */
  computed: number;
  bytes: number;
}

export interface Cost {
  rows: CostRow[];
  total: CostRow;
  /** Seconds since the session was opened; null where that is not known. */
  elapsed: number | null;
}

/** A rest below this many seconds is not worth a line. */
const LITTLE = 0.05;

/** The table, what held up training longest first; `blocked`: seconds in all, of which what no part accounts for is a line of its own; null where nothing was measured. */
export function costOf(record: FrameRecord, blocked = 0): Cost | null {
  const { cost, elapsed_seconds: elapsed } = record.fields;
  if (typeof cost !== "object" || cost === null || Array.isArray(cost)) return null;
  const rows = Object.entries(cost).flatMap(([name, value]): CostRow[] => {
    if (typeof value !== "object" || value === null) return [];
    const part = value as Record<string, unknown>;
    return [{ name: name.replaceAll("_", " "), blocked: amount(part.blocked_seconds), computed: amount(part.computed_seconds), bytes: amount(part.bytes) }];
  });
  if (!rows.length) return null;
  const sum = (key: "blocked" | "computed" | "bytes") => rows.reduce((total, row) => total + row[key], 0);
  const rest = blocked - sum("blocked");
  if (rest > LITTLE) rows.push({ name: "the rest", blocked: rest, computed: 0, bytes: 0 });
  rows.sort((a, b) => b.blocked - a.blocked || b.computed - a.computed);
  return {
    rows, total: { name: "all", blocked: sum("blocked"), computed: sum("computed"), bytes: sum("bytes") },
    elapsed: typeof elapsed === "number" && elapsed > 0 ? elapsed : null,
  };
}

const amount = (value: unknown): number => (typeof value === "number" && value > 0 && Number.isFinite(value) ? value : 0);
