// The list of events: which kinds are shown, how one is said, and where it leads.  Pure but for the jump.

import { CLUSTER_EVENTS, EVENT_KINDS, FILTER_EVENTS, type EventKind, type Happening, type Happenings } from "../api/events";
import { percent, plural, ratio } from "./format";
import type { Page } from "./page.svelte";

/** Whom events are about, in the order in which they are offered. */
export const SUBJECTS = ["samples", "clusters", "filters"] as const;
export type Subject = (typeof SUBJECTS)[number];

export const subjectOf = (kind: EventKind): Subject =>
  (CLUSTER_EVENTS as readonly string[]).includes(kind) ? "clusters" : (FILTER_EVENTS as readonly string[]).includes(kind) ? "filters" : "samples";

/** "samples, clusters and filters": those that something happened to. */
export function subjectsInWords(kinds: readonly EventKind[]): string {
  const there = SUBJECTS.filter((subject) => kinds.some((kind) => subjectOf(kind) === subject));
  const words: string[] = there.length === 1 && there[0] === "samples" ? ["single samples"] : [...there];
  return words.length > 1 ? `${words.slice(0, -1).join(", ")} and ${words.at(-1)}` : (words[0] ?? "samples and filters");
}

/** Kinds that occur, with how many there were in all; at least as many as are listed. */
export function kindsOf({ events, counts }: Happenings): { kind: EventKind; count: number }[] {
  return EVENT_KINDS.map((kind) => {
    const listed = events.reduce((n, event) => n + (event.kind === kind ? 1 : 0), 0);
    const all = (counts[kind] ?? []).reduce((sum, [, count]) => sum + count, 0);
    return { kind, count: Math.max(listed, all) };
  }).filter(({ count }) => count > 0);
}

/** The events of the kinds that are chosen; all where none is. */
export const chosenEvents = (events: readonly Happening[], kinds: ReadonlySet<EventKind>): Happening[] =>
  events.filter((event) => !kinds.size || kinds.has(event.kind));

/** How many events of the chosen kinds there were at each epoch, rising. */
export function perEpoch({ events, counts }: Happenings, kinds: ReadonlySet<EventKind>): [epoch: number, count: number][] {
  const sums = new Map<number, number>();
  for (const kind of EVENT_KINDS) {
    if (kinds.size && !kinds.has(kind)) continue;
    const pairs = counts[kind] ?? events.filter((event) => event.kind === kind).map((event): [number, number] => [event.epoch, 1]);
    for (const [epoch, count] of pairs) sums.set(epoch, (sums.get(epoch) ?? 0) + count);
  }
  return [...sums].sort(([a], [b]) => a - b);
}

/** How large it was, in the unit of its kind. */
export function sizeInWords({ kind, size }: Happening): string {
  if (!Number.isFinite(size)) return "";
  if (subjectOf(kind) === "clusters") return plural(size, "sample");
  if (subjectOf(kind) === "filters") return percent(size, size < 0.0995 ? 1 : 0);
  return kind === "travelled" ? `${ratio(size)} ×` : percent(size);
}

/** What sizes of a kind count. */
export function unitInWords(kind: EventKind): string {
  const subject = subjectOf(kind);
  if (subject !== "samples") return subject === "clusters" ? "samples" : "its share of the layer's energy";
  return kind === "travelled" ? "in median distances to the k-th neighbour" : "change of the probability that it is about";
}

/** Shows it: the epoch, the layer, and the sample or filter, selected; of clusters the plane, coloured by them. */
export function jumpTo(page: Page, event: Happening, members: readonly number[] = []): void {
  page.playing = false;
  if (page.layerNames.includes(event.layer)) page.selectLayer(event.layer);
  page.goTo(event.epoch);
  page.hoveredSample = null;
  if (subjectOf(event.kind) === "filters") {
    page.hoveredFilter = null;
    if (page.layer === event.layer) page.filters = [event.filter];
    if (page.tabs.includes("filters")) page.set("tab", "filters");
    return;
  }
  if (subjectOf(event.kind) === "clusters") {
    page.samples = [...members];
    page.set("colourBy", "cluster");
    page.isolated = new Set(event.kind === "gone" ? [] : event.into);
  } else {
    page.samples = [event.sample];
    page.isolated = new Set();
  }
  if (page.tabs.includes("samples")) page.set("tab", "samples");
}
