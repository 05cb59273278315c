// All scalars of a session, addressed by (kind, layer, name, epoch); answers are merged as they come.

import type { NumbersAnswer } from "../api/types";

export interface Series {
  epochs: number[];
  values: (number | null)[];
}

const EMPTY: Series = { epochs: [], values: [] };

export class NumberTable {
  until = 0;
  private readonly table = new Map<string, Map<string, Map<number, number | null>>>();
  private readonly sorted = new Map<string, Series>();

  merge(answer: NumbersAnswer): void {
    this.until = Math.max(this.until, answer.until ?? 0);
    for (const { kind, layer, epochs, values } of answer.series) {
      const key = `${kind}\n${layer}`;
      let names = this.table.get(key);
      if (!names) this.table.set(key, (names = new Map()));
      for (const [name, column] of Object.entries(values)) {
        let points = names.get(name);
        if (!points) names.set(name, (points = new Map()));
        epochs.forEach((epoch, i) => points.set(epoch, column[i] ?? null));
        this.sorted.delete(`${key}\n${name}`);
      }
    }
  }

  /** One number over the epochs at which it was recorded, rising. */
  series(kind: string, layer: string, name: string): Series {
    const key = `${kind}\n${layer}\n${name}`;
    const known = this.sorted.get(key);
    if (known) return known;
    const points = this.table.get(`${kind}\n${layer}`)?.get(name);
    if (!points) return EMPTY;
    const epochs = [...points.keys()].sort((a, b) => a - b);
    const series = { epochs, values: epochs.map((epoch) => points.get(epoch) ?? null) };
    this.sorted.set(key, series);
    return series;
  }

  at(kind: string, layer: string, name: string, epoch: number): number | null {
    return this.table.get(`${kind}\n${layer}`)?.get(name)?.get(epoch) ?? null;
  }

  /** The newest value up to an epoch: some kinds are recorded every few epochs. */
  upTo(kind: string, layer: string, name: string, epoch: number): number | null {
    const { epochs, values } = this.series(kind, layer, name);
    return values[epochs.findLastIndex((one) => one <= epoch)] ?? null;
  }

  /** Names recorded of a kind and layer, in the order in which they came. */
  names(kind: string, layer: string): string[] {
    return [...(this.table.get(`${kind}\n${layer}`)?.keys() ?? [])];
  }
}
