// Records with arrays, fetched when a view needs them, kept in a bounded cache, addressed so that they never change.

import { fetchRecords, HttpError, type Address } from "../api/http";
import { FrameError } from "../api/frame";
import { Lru } from "../api/lru";
import type { FrameRecord } from "../api/types";

export type Entry = { state: "ready"; record: FrameRecord } | { state: "damaged"; reason: string };

interface Wanted {
  at: Address;
  kind: string;
  epoch: number;
  layers: string[];
}

const CACHE_BYTES = 128 * 2 ** 20;
const MOST_DAMAGES = 100;

export class Frames {
  private readonly cache = new Lru<Entry>(CACHE_BYTES);
  /** One request at a time a slot; while it is under way only the latest wish is kept, so scrubbing skips ahead. */
  private readonly busy = new Map<string, AbortController>();
  private readonly next = new Map<string, Wanted>();
  private version = $state(0);
  private found: readonly { at: Address; sentence: string }[] = $state.raw([]);

  /** The record, or what is wrong with it; undefined while it is not there yet. */
  get(at: Address, kind: string, epoch: number, layer: string): Entry | undefined {
    void this.version;
    return this.cache.get(key(at, kind, epoch, layer));
  }

  /** Sees to it that the records come.  Cheap where they are there. */
  ensure(slot: string, at: Address, kind: string, epoch: number, layers: string[]): void {
    void this.version; // what fails is asked for again once `retry` lets it be
    const missing = layers.filter((layer) => !this.cache.has(key(at, kind, epoch, layer)));
    const name = `${slot}/${kind}`;
    if (!missing.length) return void this.next.delete(name);
    this.next.set(name, { at, kind, epoch, layers: missing });
    if (!this.busy.has(name)) void this.work(name);
  }

  /** What turned out to be damaged in a session, in sentences. */
  damages(at: Address): string[] {
    return this.found.filter((damage) => damage.at.run === at.run && damage.at.generation === at.generation).map(({ sentence }) => sentence);
  }

  private note(at: Address, sentence: string): void {
    if (!this.damages(at).includes(sentence)) this.found = [...this.found.slice(1 - MOST_DAMAGES), { at, sentence }];
  }

  /** Forgets wishes of another run or generation.  Views that have already wished for this one's are asked again. */
  abort(): void {
    this.next.clear();
    for (const controller of this.busy.values()) controller.abort();
    this.version++;
  }

  /** Lets what failed be asked for again. */
  retry(): void {
    this.failed.forEach((name) => this.cache.delete(name));
    if (this.failed.size) this.version++;
    this.failed.clear();
  }
  private readonly failed = new Set<string>();

  private async work(name: string): Promise<void> {
    for (let wanted = this.next.get(name); wanted; wanted = this.next.get(name)) {
      this.next.delete(name);
      const { at, kind, epoch } = wanted;
      // The wish may have been repeated while it was being fulfilled.
      const layers = wanted.layers.filter((layer) => !this.cache.has(key(at, kind, epoch, layer)));
      if (!layers.length) continue;
      const controller = new AbortController();
      this.busy.set(name, controller);
      await this.attempt({ ...wanted, layers }, controller.signal);
    }
    this.busy.delete(name);
  }

  private async attempt(wanted: Wanted, signal: AbortSignal): Promise<void> {
    try {
      await this.fetch(wanted, signal);
    } catch (error) {
      if (signal.aborted) return;
      const refused = error instanceof HttpError && !error.stale;
      if (!refused || wanted.layers.length < 2) return this.fail(wanted, error);
      // One layer may be what is refused: the others are to be had.
      for (const layer of wanted.layers) await this.attempt({ ...wanted, layers: [layer] }, signal);
    }
  }

  private async fetch({ at, kind, epoch, layers }: Wanted, signal: AbortSignal): Promise<void> {
    const named = kind === "predictions" ? [] : layers;
    const frame = await fetchRecords(at, kind, epoch, named, signal);
    for (const record of frame.records) {
      if (record.kind !== kind || record.epoch !== epoch) continue;
      this.cache.set(key(at, kind, epoch, record.layer), { state: "ready", record }, weight(record));
    }
    for (const { layer, reason } of frame.damaged) {
      this.cache.set(key(at, kind, epoch, layer), { state: "damaged", reason });
      this.note(at, `${kind}${layer ? ` of ${layer}` : ""} at epoch ${epoch}: ${reason}`);
    }
    for (const layer of layers) this.missed(key(at, kind, epoch, layer), "the record is not in the answer");
    this.version++;
  }

  private fail({ at, kind, epoch, layers }: Wanted, error: unknown): void {
    if (error instanceof HttpError && error.stale) return; // the index will say what is there now
    const said = error instanceof HttpError || error instanceof FrameError;
    const reason = said ? error.message : "TensorBoard does not answer";
    for (const layer of layers) this.missed(key(at, kind, epoch, layer), reason);
    this.version++;
  }

  private missed(name: string, reason: string): void {
    if (this.cache.has(name)) return;
    this.cache.set(name, { state: "damaged", reason });
    this.failed.add(name);
  }
}

function key(at: Address, kind: string, epoch: number, layer: string): string {
  return [at.run, at.generation, at.axis ?? "epochs", kind, epoch, layer].join("\n");
}

function weight(record: FrameRecord): number {
  return Object.values(record.arrays).reduce((sum, array) => sum + array.values.byteLength, 256);
}
