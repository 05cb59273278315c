// What the views show of the chosen epoch: records asked for, columns of samples, colours.  One place, so that views agree.

import type { FrameRecord } from "../api/types";
import { columnNames, columnOf, targetNames, type Column } from "./columns";
import { nearest } from "./epochs";
import { keepsIdentity, sampleIdentities } from "./identities";
import { largestOf } from "./largest";
import type { Page } from "./page.svelte";
import { travelMs } from "./player";
import { legend, paint, type Paint, type SampleColumns } from "./samples";
import { COLOURS, SIZES, type ColourBy, type SizeBy } from "./settings";
import { reducedMotion } from "../theme/host";

export type Status =
  | { state: "ready"; record: FrameRecord }
  | { state: "loading" }
  | { state: "pending" }
  | { state: "absent"; nearest: number | null }
  | { state: "damaged"; reason: string };

export class Look {
  // Assigned before any of the derived values below is read: they are computed on demand.
  private readonly page!: Page;

  constructor(page: Page) {
    this.page = page;
  }

  private labels: Int32Array | null = $derived.by(() => {
    const labels = this.page.info?.probe?.labels ?? [];
    return labels.some((label) => label >= 0) ? Int32Array.from(labels) : null;
  });
  private classNames: string[] = $derived(this.page.info?.probe?.class_names ?? []);
  private predictions: FrameRecord | null = $derived(this.current("predictions", ""));
  /** The last record of each kind and layer: stays in place until the next one has come, so that nothing flashes. */
  private readonly last = new Map<string, FrameRecord | null>();

  /** The attributes and targets that came with the probe, and the one that is chosen of them. */
  columnNames: string[] = $derived(columnNames(this.page.info?.probe ?? null));
  column: Column | null = $derived.by(() => {
    const probe = this.page.info?.probe ?? null;
    const target = probe ? targetNames(probe).find((name) => this.columnNames.includes(name)) : undefined;
    const { column } = this.page.settings;
    return columnOf(probe, column !== null && this.columnNames.includes(column) ? column : (target ?? this.columnNames[0] ?? null));
  });

  colours: ColourBy[] = $derived(
    COLOURS.filter((by) =>
      by === "column" ? this.columnNames.length > 0
      : by === "true" ? this.labels !== null
      : by === "largest" ? this.knowsLargest
      : Boolean(this.page.run?.series[by === "predicted" ? "predictions" : "clusters"]),
    ),
  );
  /** Whether embeddings of this run say where the largest number is: known, and remembered, once one has come. */
  private get knowsLargest(): boolean {
    const { run } = this.page;
    const session = [run?.run, run?.generation].join("\n");
    if (this.current("embedding", this.page.layer)?.arrays.largest) this.toldLargest = session;
    return this.toldLargest === session;
  }
  private toldLargest = "";
  colourBy: ColourBy = $derived(
    this.colours.includes(this.page.settings.colourBy) ? this.page.settings.colourBy : this.usual,
  );
  /** What to colour by where nothing that is there was chosen: the classes; of a regression the target. */
  private get usual(): ColourBy {
    const first = this.colours[0] ?? "true";
    return first !== "true" && this.page.info?.probe?.targets && this.colours.includes("column") ? "column" : first;
  }
  /** Whether every layer has colours of its own: those of its clusters, or of its filters. */
  ownColours: boolean = $derived(this.colourBy === "cluster" || this.colourBy === "largest");
  /** What colours mean, in a few words. */
  colouredBy: string = $derived(
    !this.colours.length ? ""
    : this.colourBy === "column" ? (this.column?.name ?? "")
    : this.colourBy === "largest" ? "filter of the largest value"
    : this.colourBy === "cluster" ? "cluster" : `${this.colourBy} class`,
  );
  sizes: SizeBy[] = $derived(this.page.run?.series.predictions ? [...SIZES] : ["uniform"]);
  sizeBy: SizeBy = $derived(this.sizes.includes(this.page.settings.sizeBy) ? this.page.settings.sizeBy : "uniform");
  /** The samples as the chosen layer and epoch show them. */
  columns: SampleColumns = $derived(this.columnsOf(this.page.layer));
  paint: Paint = $derived(this.paintOf(this.columns));
  /** The selection, where it is one of many. */
  private chosen: ReadonlySet<number> | null = $derived(this.page.samples.length > 1 ? new Set(this.page.samples) : null);
  legend = $derived(legend(this.columns, { colourBy: this.colourBy, isolated: this.page.isolated, dark: this.page.dark }));
  travelMs = $derived(reducedMotion() ? 0 : travelMs(this.page.epochs.length, this.page.playing));

  /** What there is of one kind of record of a layer at an epoch. */
  status(kind: string, layer: string, epoch: number | null): Status {
    const { page } = this;
    const run = page.run;
    if (!run || epoch === null) return { state: "absent", nearest: null };
    const epochs = page.recorded(kind, layer);
    if (!epochs.includes(epoch)) {
      if (kind === "embedding" && page.pendingOf(layer).includes(epoch)) return { state: "pending" };
      return { state: "absent", nearest: nearest(epochs, epoch) };
    }
    return page.frames.get(run, kind, epoch, layer) ?? { state: "loading" };
  }

  /** Asks for the records of some layers at the chosen epoch, and at the epochs around it, `ahead` of them forwards. */
  want(slot: string, kind: string, layers: string[], ahead = 0): void {
    const { page } = this;
    if (!page.run || page.epoch === null) return;
    this.ask(slot, kind, layers, page.epoch);
    const at = page.epochs.indexOf(page.epoch);
    for (let i = ahead ? -1 : 1; i <= ahead; i++) {
      const next = page.epochs[at + i];
      if (i && next !== undefined) this.ask(`${slot} ${i}`, kind, layers, next);
    }
  }

  /** Asks for the records of some layers at any epoch; one request at a time a slot. */
  ask(slot: string, kind: string, layers: string[], epoch: number): void {
    const { page } = this;
    const there = layers.filter((layer) => page.recorded(kind, layer).includes(epoch));
    if (page.run && there.length) page.frames.ensure(slot, page.run, kind, epoch, there);
  }

  /** The record at the chosen epoch; while that is on its way, the one before it; null where there is none. */
  private current(kind: string, layer: string): FrameRecord | null {
    const { run, epoch } = this.page;
    const status = this.status(kind, layer, epoch);
    const key = [run?.run, run?.generation, kind, layer].join("\n");
    if (status.state === "loading") return this.last.get(key) ?? null;
    const record = status.state === "ready" ? status.record : null;
    this.last.delete(key);
    this.last.set(key, record);
    for (const oldest of this.last.keys()) if (this.last.size > 400) this.last.delete(oldest);
    return record;
  }

  columnsOf(layer: string): SampleColumns {
    const clusters = this.current("clusters", layer);
    const column = <T>(record: FrameRecord | null, name: string, type: abstract new (...a: never[]) => T): T | null => {
      const values = record?.arrays[name]?.values;
      return values instanceof type ? values : null;
    };
    return {
      count: this.page.info?.probe?.count ?? this.predictions?.arrays.classes?.values.length ?? 0,
      labels: this.labels,
      predicted: column(this.predictions, "classes", Int32Array),
      certainty: column(this.predictions, "certainty", Float32Array),
      cluster: clusters && sampleIdentities(clusters),
      lasting: clusters !== null && keepsIdentity(clusters),
      largest: this.colourBy === "largest" ? largestOf(this.current("embedding", layer), this.page.layers.find((one) => one.name === layer) ?? null) : null,
      classNames: this.classNames,
      column: this.colourBy === "column" ? this.column : null,
    };
  }

  paintOf(columns: SampleColumns): Paint {
    const { page } = this;
    return paint(columns, { colourBy: this.colourBy, sizeBy: this.sizeBy, isolated: page.isolated, selected: this.chosen, dark: page.dark });
  }

  /** The class scores of a sample, highest first, at most `top`. */
  scores(sample: number, top = 3): { label: number; score: number }[] {
    const array = this.predictions?.arrays.scores;
    const [rows = 0, classes = 0] = array?.shape ?? [];
    if (!array || sample >= rows) return [];
    return Array.from({ length: classes }, (_, label) => ({ label, score: Number(array.values[sample * classes + label]) }))
      .sort((a, b) => b.score - a.score)
      .slice(0, top);
  }
}

/** The points of an embedding record, or null where they are not (n, 2) numbers. */
export function pointsOf(record: FrameRecord): Float32Array | null {
  const array = record.arrays.points;
  return array?.values instanceof Float32Array && array.shape.length === 2 && array.shape[1] === 2 ? array.values : null;
}

export function field(record: FrameRecord, name: string): number | null {
  const value = record.fields[name];
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}
