// The routes of `http_api.md` as functions.  Relative addresses: TensorBoard sets the page's base to the plugin's.

import { decodeFrame } from "./frame";
import { normaliseIndex, normaliseNumbers, normaliseRun } from "./normalise";
import { erasOf, type Era } from "../model/numbering";
import type { Axis, Frame, IndexAnswer, NumbersAnswer, RunInfo } from "./types";

export class HttpError extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
  /** The run has moved on to another generation, or the record is gone: fetch the index again. */
  get stale(): boolean {
    return this.status === 409;
  }
}

export interface Address {
  run: string;
  generation: string;
  /** Where epochs are numbers of steps; epochs where it is not said. */
  axis?: Axis;
}

export const session = ({ run, generation }: Address) => ({ run, generation });
export const onAxis = ({ axis }: Address): Record<string, string> => (axis === "steps" ? { axis } : {});

export function url(route: string, parameters: Record<string, string | number | string[]>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const item of Array.isArray(value) ? value : [value]) query.append(name, String(item));
  }
  return `./${route}?${query}`;
}

export async function get(address: string, signal?: AbortSignal): Promise<Response> {
  const response = await fetch(address, { signal: signal ?? null });
  if (!response.ok) throw new HttpError(response.status, (await response.text()).slice(0, 300) || response.statusText);
  return response;
}

export async function fetchIndex(etag: string, signal?: AbortSignal): Promise<IndexAnswer> {
  return normaliseIndex(await (await get(url("index", { etag }), signal)).json());
}

export async function fetchRun(at: Address, signal?: AbortSignal): Promise<RunInfo> {
  return normaliseRun(await (await get(url("run", session(at)), signal)).json());
}

export async function fetchNumbers(at: Address, after: number, signal?: AbortSignal): Promise<NumbersAnswer> {
  return normaliseNumbers(await (await get(url("numbers", { ...session(at), ...onAxis(at), after }), signal)).json());
}

/** The records of one kind at one epoch; `layers` empty = of all layers. */
export async function fetchRecords(
  at: Address, kind: string, epoch: number, layers: string[], signal?: AbortSignal,
): Promise<Frame> {
  const response = await get(url("records", { ...session(at), ...onAxis(at), kind, epoch, layer: layers }), signal);
  return decodeFrame(await response.arrayBuffer());
}

/** Where some samples were in a layer's embedding at every epoch: one record of the kind "trails". */
export async function fetchTrails(at: Address, layer: string, samples: readonly number[], signal?: AbortSignal): Promise<Frame> {
  const response = await get(url("trails", { ...session(at), ...onAxis(at), layer, sample: samples.map(String) }), signal);
  return decodeFrame(await response.arrayBuffer());
}

/**
 * What a kind of record says of a layer's filters over all epochs: one record of the kind "development".  No filters = all;
 * `numbered`: the epoch that they are numbered as at, null = the newest.
 */
export async function fetchDevelopment(
  at: Address, kind: string, layer: string, fields: readonly string[], filters: readonly number[], numbered: number | null = null, signal?: AbortSignal,
): Promise<Frame> {
  const when: Record<string, number> = numbered === null ? {} : { at: numbered };
  const wanted = { ...session(at), ...onAxis(at), ...when, kind, layer, field: [...fields], filter: filters.map(String) };
  return decodeFrame(await (await get(url("development", wanted), signal)).arrayBuffer());
}

/** From when on a layer has had which filters. */
export async function fetchNumbering(at: Address, layer: string, signal?: AbortSignal): Promise<Era[]> {
  return erasOf(await (await get(url("numbering", { ...session(at), ...onAxis(at), layer }), signal)).json());
}

/** The probe's thumbnails as one decoded picture. */
export async function fetchSprite(at: Address, signal?: AbortSignal): Promise<ImageBitmap> {
  const response = await get(url("sprite", session(at)), signal);
  return createImageBitmap(await response.blob());
}
