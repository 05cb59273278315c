// What happened to samples, clusters and filters (`/events`), brought into the shape that the views rely on.

import { get, onAxis, session, url, type Address } from "./http";
import { list, numberOr, object, text, whole, type Json } from "./plain";

export const SAMPLE_EVENTS = ["forgotten", "learnt", "flip", "jump", "travelled"] as const;
export const CLUSTER_EVENTS = ["split", "merge", "born", "gone"] as const;
export const FILTER_EVENTS = ["died", "revived", "awoke"] as const;
export const EVENT_KINDS = [...SAMPLE_EVENTS, ...CLUSTER_EVENTS, ...FILTER_EVENTS] as const;
export type EventKind = (typeof EVENT_KINDS)[number];

export interface Happening {
  kind: EventKind;
  epoch: number;
  /** "" where it belongs to none. */
  layer: string;
  /** −1 where it is not about one. */
  sample: number;
  /** Of the layer; −1 where it is not about one. */
  filter: number;
  /** What it counts depends on the kind: a change of probability, a distance, samples, a share of energy. */
  size: number;
  /** 0 … 1, comparable between kinds. */
  rank: number;
  /** Predicted classes; −1 where it is not about them. */
  before: number;
  after: number;
  /** Identities of clusters. */
  from: number[];
  into: number[];
}

export interface Happenings {
  /** The most notable first. */
  events: Happening[];
  /** By kind: how many there were at each epoch, in all. */
  counts: Partial<Record<EventKind, [epoch: number, count: number][]>>;
  problems: string[];
}

const MOST = 1000;
const MOST_IDENTITIES = 64;

export function normaliseEvents(raw: unknown): Happenings {
  const answer = object(raw);
  const counts = object(answer.counts);
  return {
    events: list(answer.events).slice(0, MOST).map((one) => happening(object(one))).filter((one) => one !== null),
    counts: Object.fromEntries(EVENT_KINDS.filter((kind) => Object.hasOwn(counts, kind)).map((kind) => [kind, list(counts[kind]).map(pair).filter((one) => one !== null)])),
    problems: list(answer.problems).map(text),
  };
}

/** The event; null where it is of a kind that this page does not know, or is about nothing. */
function happening(raw: Json): Happening | null {
  const kind = EVENT_KINDS.find((known) => known === raw.kind);
  const sample = whole(raw.sample, -1);
  const filter = whole(raw.filter, -1);
  const ofSample = (SAMPLE_EVENTS as readonly string[]).includes(kind ?? "");
  const ofFilter = (FILTER_EVENTS as readonly string[]).includes(kind ?? "");
  const epoch = whole(raw.epoch, -1);
  if (!kind || epoch < 0 || (ofSample && sample < 0) || (ofFilter && filter < 0)) return null;
  return {
    kind, epoch, layer: text(raw.layer), sample: ofSample ? sample : -1, filter: ofFilter ? filter : -1,
    size: numberOr(raw.size, NaN), rank: Math.min(1, Math.max(0, numberOr(raw.rank, 0))),
    before: whole(raw.before, -1), after: whole(raw.after, -1), from: identities(raw.from), into: identities(raw.into),
  };
}

const identities = (raw: unknown): number[] => list(raw).slice(0, MOST_IDENTITIES).map((one) => whole(one, -1)).filter((one) => one >= 0);

function pair(raw: unknown): [number, number] | null {
  const [epoch, count] = list(raw).map((one) => numberOr(one, NaN));
  return epoch !== undefined && count !== undefined && Number.isFinite(epoch) && count > 0 ? [epoch, count] : null;
}

export async function fetchEvents(at: Address, signal?: AbortSignal): Promise<Happenings> {
  return normaliseEvents(await (await get(url("events", { ...session(at), ...onAxis(at) }), signal)).json());
}
