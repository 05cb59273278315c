// Fetches the trails of the selected samples: one request at a time, and the last answer stays until the next has come.

import { fetchTrails, HttpError, type Address } from "../api/http";
import { trailsOf, type Trails } from "./trails";

interface Wanted {
  at: Address;
  layer: string;
  samples: number[];
  /** Epochs of which there are embeddings: with a new one the trails grow. */
  epochs: number;
}

export class TrailStore {
  /** Why there are none; "" where there is no reason. */
  reason = $state("");
  private found: { key: string; epochs: number; trails: Trails } | null = $state.raw(null);
  private next: Wanted | null = null;
  private busy = false;
  private failed = "";

  /** The trails of these samples; null while they are not there. */
  get(wanted: Omit<Wanted, "epochs">): Trails | null {
    return this.found?.key === keyOf(wanted) ? this.found.trails : null;
  }

  /** Sees to it that they come.  Cheap where they are there. */
  want(wanted: Wanted): void {
    const there = this.found?.key === keyOf(wanted) && this.found.epochs === wanted.epochs;
    if (there || this.failed === identity(wanted)) return;
    this.next = wanted;
    if (!this.busy) void this.work();
  }

  private async work(): Promise<void> {
    this.busy = true;
    for (let wanted = this.next; wanted; wanted = this.next) {
      this.next = null;
      try {
        const trails = trailsOf(await fetchTrails(wanted.at, wanted.layer, wanted.samples));
        if (!trails) throw new Error("the plugin's answer holds no trails");
        this.found = { key: keyOf(wanted), epochs: wanted.epochs, trails };
        this.reason = this.failed = "";
      } catch (error) {
        // Not asked for again until something else is wanted, or there is one epoch more.
        this.failed = identity(wanted);
        const stale = error instanceof HttpError && error.stale;
        this.reason = stale ? "" : error instanceof Error ? error.message : "TensorBoard does not answer";
      }
    }
    this.busy = false;
  }
}

const keyOf = ({ at, layer, samples }: Omit<Wanted, "epochs">): string => [at.run, at.generation, at.axis ?? "epochs", layer, samples.join()].join("\n");
const identity = (wanted: Wanted): string => `${keyOf(wanted)}\n${wanted.epochs}`;
