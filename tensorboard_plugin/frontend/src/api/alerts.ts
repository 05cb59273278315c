// An alert comes from the log: bring it into the shape the views rely on.

import { list, object, text, whole, type Json } from "./plain";
import { SEVERITIES, type Alert, type Savings, type Severity } from "./types";

const MOST_FILTERS = 4096;
const MOST_ITEMS = 24;
/** Evidence that is said as savings. */
const SAVED = { parameters: "parameters", multiplyAdds: "multiply_adds", ofParameters: "share_of_parameters", ofMultiplyAdds: "share_of_multiply_adds", leavesOut: "saving_note" } as const;

/** The alert, or null where there is nothing to say. */
export function alert(raw: Json): Alert | null {
  const words = text(raw.text) || text(raw.kind);
  if (!words) return null;
  const filters = list(raw.filters).filter((index): index is number => Number.isInteger(index) && (index as number) >= 0);
  const found = object(raw.evidence);
  const saved = savings(found);
  const said = Object.entries(found).filter(([name]) => !saved || !(Object.values(SAVED) as string[]).includes(name));
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
    suggestion: saved ? withoutFigures(text(raw.suggestion)) : text(raw.suggestion),
    evidence: Object.fromEntries(said.map(([name, value]) => [name, isShare(name, value) ? `${Number((100 * value).toPrecision(3))} %` : evidence(value)])),
    savings: saved,
    view: text(raw.view),
  };
}

function savings(found: Json): Savings | null {
  const known = (name: keyof typeof SAVED): number | null => {
    const value = found[SAVED[name]];
    return typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : null;
  };
  const [parameters, multiplyAdds] = [known("parameters"), known("multiplyAdds")];
  if (!parameters && !multiplyAdds) return null;
  return { parameters, multiplyAdds, ofParameters: known("ofParameters"), ofMultiplyAdds: known("ofMultiplyAdds"), leavesOut: text(found[SAVED.leavesOut]) };
}

/** "Prune them, which saves 628 parameters (0.9 %): it changes no output.": the figures stand beside it already. */
const withoutFigures = (suggestion: string): string => suggestion.replace(/, which saves [^:]{1,200}: it /g, ": it ");

const isShare = (name: string, value: unknown): value is number =>
  typeof value === "number" && value >= 0 && value <= 1 && /(^|[ _])(share|fraction)([ _]|$)/.test(name);

/** A piece of evidence in a few words. */
function evidence(value: unknown): string {
  if (Array.isArray(value)) {
    const equations = value.slice(0, MOST_ITEMS).map((item) => equation(object(item)));
    if (equations.some(Boolean)) return equations.map((said, i) => said || evidence(value[i])).join("\n") + (value.length > MOST_ITEMS ? "\n…" : "");
    const shown = value.slice(0, MOST_ITEMS).map((item) => (Array.isArray(item) ? `(${item.slice(0, 6).map(evidence).join(", ")}${item.length > 6 ? ", …" : ""})` : evidence(item)));
    return shown.join(", ") + (value.length > shown.length ? ", …" : "");
  }
  if (typeof value === "number") return number(value);
  return text(value) || (value === null ? "not known" : mapping(object(value)));
}

/** Filters that are multiples of one that stays, or a filter that is a sum of others: "5 = 1.2 × 3", "9 = 0.5 × 3 − 2 × 7". */
function equation(found: Json): string {
  const numbers = (name: string) => list(found[name]).slice(0, MOST_ITEMS).filter((one): one is number => typeof one === "number");
  const within = typeof found.residual === "number" ? `, to within ${number(100 * found.residual)} %` : "";
  const [go, factors, terms, coefficients] = [numbers("go"), numbers("factors"), numbers("terms"), numbers("coefficients")];
  if (Number.isInteger(found.stays) && go.length && factors.length === go.length) {
    return go.map((filter, i) => `${filter} = ${signed(factors[i]!)} × ${found.stays}`).join(", ") + within;
  }
  if (Number.isInteger(found.goes) && terms.length && coefficients.length === terms.length) {
    const sum = terms.map((term, i) => `${i ? (coefficients[i]! < 0 ? " − " : " + ") : ""}${i ? number(Math.abs(coefficients[i]!)) : signed(coefficients[i]!)} × ${term}`).join("");
    return `${found.goes} = ${sum}${within}`;
  }
  return "";
}

const signed = (value: number): string => number(value).replace("-", "−");

/** Counts by name as "3 negative bias, 2 dead inputs", anything else as "name value". */
function mapping(found: Json): string {
  const entries = Object.entries(found).slice(0, 8);
  if (!entries.every(([, inner]) => Number.isInteger(inner))) return entries.map(([name, inner]) => `${name} ${evidenceOf(inner)}`).join(", ");
  return entries.sort(([, a], [, b]) => (b as number) - (a as number)).map(([name, n]) => `${number(n as number)} ${name}`).join(", ");
}

/** No deeper than a mapping of lists: a log may nest as it likes. */
const evidenceOf = (value: unknown): string =>
  Array.isArray(value) ? value.slice(0, MOST_ITEMS).map(text).join(", ") : typeof value === "number" ? number(value) : text(value);

function number(value: number): string {
  if (!Number.isFinite(value)) return "not known";
  return Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(3)));
}
