// An alert comes from the log: bring it into the shape the views rely on.

import { list, object, text, whole, type Json } from "./plain";
import { SEVERITIES, type Alert, type Severity } from "./types";

const MOST_FILTERS = 4096;

/** The alert, or null where there is nothing to say. */
export function alert(raw: Json): Alert | null {
  const words = text(raw.text) || text(raw.kind);
  if (!words) return null;
  const filters = list(raw.filters).filter((index): index is number => Number.isInteger(index) && (index as number) >= 0);
  return {
    id: text(raw.id) || [text(raw.kind), text(raw.layer), whole(raw.since)].join("/"),
    kind: text(raw.kind),
    severity: SEVERITIES.includes(raw.severity as Severity) ? (raw.severity as Severity) : "advice",
    layer: text(raw.layer),
    filters: [...new Set(filters)].slice(0, MOST_FILTERS),
    since: whole(raw.since),
    raised: whole(raw.raised, whole(raw.since)),
    updated: whole(raw.updated, whole(raw.since)),
    resolved: whole(raw.resolved, -1),
    text: words,
    suggestion: text(raw.suggestion),
    evidence: Object.fromEntries(Object.entries(object(raw.evidence)).map(([name, value]) => [name, evidence(value)])),
    view: text(raw.view),
  };
}

/** A piece of evidence in a few words. */
function evidence(value: unknown): string {
  if (Array.isArray(value)) {
    const shown = value.slice(0, 24).map((item) => (Array.isArray(item) ? `(${item.slice(0, 6).map(evidence).join(", ")})` : evidence(item)));
    return shown.join(", ") + (value.length > shown.length ? ", …" : "");
  }
  if (typeof value === "number" && !Number.isInteger(value)) return String(Number(value.toPrecision(3)));
  return text(value) || (value === null ? "not known" : Object.entries(object(value)).slice(0, 8).map(([name, inner]) => `${name} ${text(inner)}`).join(", "));
}
