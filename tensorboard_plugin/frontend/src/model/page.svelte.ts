// The page's state: which run, epoch and layer are looked at, what of them is known, and what is selected.

import type { Alert, Axis, LayerInfo, RunEntry, RunInfo, RunView } from "../api/types";
import { axesOf, chosenAxis, onAxis } from "./axis";
import { epochsOf, has, isEmbedding, nearest, pendingEpochs, settledEpochs, snapshotEpochs, step } from "./epochs";
import { Frames } from "./frames.svelte";
import { Numbered } from "./numbered.svelte";
import { moved } from "./numbering";
import { NumberTable } from "./numbers";
import { loadSettings, saveSettings, TABS, type Settings, type Tab } from "./settings";

/** A view is offered where any of these was recorded. */
const TAB_KINDS: Record<Exclude<Tab, "overview">, readonly string[]> = {
  layers: ["separation", "cka", "clusters"], samples: ["embedding"], filters: ["health", "histograms", "similarity", "specificity", "kernels", "maps"],
  features: ["feature_images", "exemplars", "attributions", "factors", "cluster_images", "class_activation", "maximising"],
  // Also where filters are watched and nothing of pruning is: it says how to have it.
  prune: ["outlook", "pruning", "size", "health"],
};

/** Kinds of records of which there is one a layer. */
const OF_LAYERS = new Set([
  "embedding", "separation", "health", "clusters", "histograms", "similarity", "specificity", "kernels", "maps", "exemplars", "feature_images", "grid",
  "arrangement", "exemplar_maps", "attributions", "factors", "cluster_images", "class_activation", "maximising",
]);

export class Page {
  readonly frames = new Frames();
  /** Which filters of the chosen layer are the same before and after it was pruned. */
  readonly numbered = new Numbered(this);
  settings: Settings = $state(loadSettings());
  dark = $state(false);

  connection: "connecting" | "ok" | "lost" = $state("connecting");
  version = $state("");
  runs: RunEntry[] | null = $state.raw(null);
  info: RunInfo | null = $state.raw(null);
  /** Of each axis; Keras' own numbers and what watching costs stand on the one of epochs. */
  tables: Record<Axis, NumberTable> = $state.raw({ epochs: new NumberTable(), steps: new NumberTable() });
  /** Rises with every answer merged into `tables`. */
  numbersVersion = $state(0);
  sprite: ImageBitmap | null = $state.raw(null);
  playing = $state(false);
  /** Which rail is unfolded where the page is too narrow to show both. */
  drawer: "layers" | "details" | null = $state(null);

  /** The alert that was gone to last. */
  alert: string | null = $state(null);
  /** Whether the sheet of keys is open, and whether a layer is being looked for. */
  sheet = $state(false);
  finding = $state(false);

  /** The stage of the layout's optimisation that is shown (model/stages); null = the finished layout. */
  stage: number | null = $state(null);

  /** Categories isolated by the legend, and the samples and filters that are selected or hovered. */
  isolated: ReadonlySet<number> = $state.raw(new Set<number>());
  samples: readonly number[] = $state.raw([]);
  hoveredSample: number | null = $state(null);
  /** Filters by the numbers of the place where they were selected; null = wherever the playhead was. */
  private picked: { filters: readonly number[]; at: number | null } = $state.raw({ filters: [], at: null });
  hoveredFilter: number | null = $state(null);

  /** Where the playhead was left on the axis that is not shown. */
  private readonly left: Record<Axis, number | null> = { epochs: null, steps: null };
  /** Newest epoch that the user has seen; what came since is behind the "newer" pill. */
  private seen = $state(-1);

  /** The run with both axes, as the index lists it. */
  entry: RunEntry | null = $derived.by(() => {
    const runs = this.runs ?? [];
    return runs.find((entry) => entry.run === this.settings.run) ?? newestRun(runs);
  });
  axes: Axis[] = $derived(axesOf(this.entry));
  axis: Axis = $derived(chosenAxis(this.entry, this.settings.axis));
  /** What the playhead counts. */
  unit: "epoch" | "step" = $derived(this.axis === "steps" ? "step" : "epoch");
  /** The run as the chosen axis shows it. */
  run: RunView | null = $derived(this.entry && onAxis(this.entry, this.axis));
  numbers: NumberTable = $derived(this.tables[this.axis]);

  /** Layers in graph order; those that the session does not list but the log holds come last. */
  layers: LayerInfo[] = $derived.by(() => {
    const listed = this.info?.session?.layers ?? [];
    const names = new Set(listed.map((layer) => layer.name));
    const extra = new Set<string>();
    for (const [kind, series] of Object.entries(this.run?.series ?? {})) {
      if (!OF_LAYERS.has(kind)) continue;
      for (const layer of Object.keys(series)) if (layer && !names.has(layer)) extra.add(layer);
    }
    return [...listed, ...[...extra].map(unlisted)];
  });
  layerNames: string[] = $derived(this.layers.map((layer) => layer.name));
  layer: string = $derived(
    this.layerNames.includes(this.settings.layer ?? "") ? this.settings.layer! : (this.layerNames.at(-1) ?? ""),
  );
  /** As the playhead shows it: a layer that was pruned since had more filters. */
  layerInfo: LayerInfo | null = $derived.by(() => {
    const found = this.layers.find((entry) => entry.name === this.layer) ?? null;
    const { eras, era } = this.numbered;
    return found && era >= 0 ? sized(found, eras[era]!.filters.length) : found;
  });

  alerts: Alert[] = $derived(this.info?.alerts ?? []);

  epochs: number[] = $derived(snapshotEpochs(this.run));
  /** Whether more embeddings may come on this axis.  What was asked for is known of the one of epochs alone. */
  private readonly embedsStill: boolean = $derived(
    (has(this.run, "embedding") || (this.axis === "epochs" && Object.keys(this.info?.session?.recorders ?? {}).some(isEmbedding))) &&
      !this.info?.journal.some((entry) => entry.kind === "failed" && isEmbedding(entry.recorder)),
  );
  private readonly settled = $derived(settledEpochs(this.axis === "epochs" ? (this.info?.journal ?? []) : []));
  pending: number[] = $derived(this.pendingOf(this.layer));
  /** The newest epoch that can be shown in full. */
  newest: number | null = $derived(
    this.epochs.findLast((epoch) => !this.pending.includes(epoch)) ?? this.epochs.at(-1) ?? null,
  );
  /** The last planned epoch was recorded and analysed. */
  complete: boolean = $derived.by(() => {
    const planned = this.info?.session?.epochs_planned ?? -1;
    const ended = epochsOf(this.entry, "epoch", "").at(-1) ?? snapshotEpochs(this.entry).at(-1) ?? 0;
    return planned > 0 && ended >= planned && !this.pending.length;
  });
  /** Seconds since 1970, every few seconds. */
  now = $state(Date.now() / 1000);
  /** Nothing has come for far longer than an epoch takes: the training has stopped, or died. */
  quiet: boolean = $derived.by(() => {
    void this.numbersVersion;
    const { epochs, values } = this.tables.epochs.series("epoch", "", "elapsed_seconds");
    const epochSeconds = epochs.length > 1 ? ((values.at(-1) ?? 0) - (values[0] ?? 0)) / (epochs.length - 1) : 0;
    return this.now - (this.run?.updated ?? 0) > Math.max(60, 5 * epochSeconds);
  });
  following: boolean = $derived(this.settings.epoch === null);
  epoch: number | null = $derived(
    this.settings.epoch === null ? this.newest : nearest(this.epochs, this.settings.epoch),
  );
  private readonly selected: readonly number[] = $derived.by(() => moved(this.numbered.eras, this.picked.filters, this.picked.at, this.epoch));
  newer: number = $derived(
    this.following ? 0 : this.epochs.filter((epoch) => epoch > this.seen && epoch <= (this.newest ?? -1)).length,
  );

  tabs: Tab[] = $derived(
    TABS.filter((tab) => tab === "overview" || TAB_KINDS[tab].some((kind) => has(this.run, kind)) || (tab === "prune" && this.asked("pruning_outlook"))),
  );
  tab: Tab = $derived(this.tabs.includes(this.settings.tab) ? this.settings.tab : "overview");

  set<K extends keyof Settings>(name: K, value: Settings[K]): void {
    // Whoever chooses something in a run stays with it, even if the run of the last visit turns up after all.
    if (this.run && name !== "run") this.settings.run = this.run.run;
    this.settings[name] = value;
    saveSettings($state.snapshot(this.settings));
  }

  /** The selected filters by the numbers that they have at the playhead; those that are not there come back with their epochs. */
  get filters(): readonly number[] {
    return this.selected;
  }

  set filters(filters: readonly number[]) {
    this.picked = { filters, at: this.epoch };
  }

  goTo(epoch: number | null): void {
    const target = epoch === null ? null : nearest(this.epochs, epoch);
    if (target === null) return;
    this.seen = this.following ? (this.newest ?? -1) : Math.max(this.seen, target);
    this.stage = null;
    this.set("epoch", target);
  }

  move(delta: number): void {
    if (this.epoch !== null) this.goTo(step(this.epochs, this.epoch, delta));
  }

  moveLayer(delta: number): void {
    const at = this.layerNames.indexOf(this.layer);
    const name = this.layerNames[Math.min(Math.max(at + delta, 0), this.layerNames.length - 1)];
    if (name !== undefined) this.selectLayer(name);
  }

  /** Opens a filter's page, from wherever it is asked for. */
  openFilter(filter: number): void {
    this.filters = [filter];
    this.set("opened", filter);
    this.set("tab", "features");
    if (this.settings.featureView !== "exemplars") this.set("featureView", "images");
  }

  /** The filter whose page is open: the one that was selected last, by whatever view; null = none. */
  opened: number | null = $derived.by(() => {
    if (this.settings.opened === null || (this.picked.filters.length && !this.filters.length)) return null;
    const filter = this.filters.at(-1) ?? this.settings.opened;
    const filters = this.layerInfo?.filters ?? 0;
    return filters > 0 && filter >= filters ? null : filter;
  });

  /** Whether that page is what is shown now. */
  reading: boolean = $derived(this.opened !== null && this.tab === "features" && ["images", "exemplars"].includes(this.settings.featureView));

  /** The filter whose page was closed last, until its tile has been gone back to. */
  closed: number | null = null;

  closeFilter(): void {
    this.closed = this.opened;
    if (this.settings.opened !== null) this.set("opened", null);
  }

  selectLayer(name: string): void {
    if (name !== this.layer) {
      [this.filters, this.stage] = [[], null];
      this.closeFilter();
    }
    this.hoveredFilter = null;
    this.drawer = null;
    this.set("layer", name);
  }

  selectRun(run: string): void {
    this.leaveRun();
    this.set("run", run);
  }

  leaveRun(): void {
    this.clearSelection();
    this.closeFilter();
    this.left.epochs = this.left.steps = null;
    this.playing = false;
    this.stage = null;
    this.set("epoch", null);
  }

  /** Shows the other axis; the playhead goes back to where it stood there. */
  selectAxis(axis: Axis): void {
    if (axis === this.axis) return;
    this.left[this.axis] = this.settings.epoch;
    this.playing = false;
    this.seen = -1;
    this.stage = null;
    this.set("axis", axis);
    this.set("epoch", this.left[axis]);
    this.markSeen();
  }

  goLive(): void {
    this.playing = false;
    this.set("epoch", null);
  }

  /** After a reload the playhead may stand where the user left it: everything there is now counts as seen. */
  markSeen(): void {
    if (this.seen < 0) this.seen = this.newest ?? -1;
  }

  /** Adds to the selection or takes from it with shift, else selects this one alone. */
  selectSample(index: number, add: boolean): void {
    this.samples = toggled(this.samples, index, add);
  }

  selectFilter(index: number, add: boolean): void {
    this.filters = toggled(this.filters, index, add);
  }

  isolate(key: number, add: boolean): void {
    this.isolated = new Set(toggled([...this.isolated], key, add));
  }

  clearSelection(): void {
    this.samples = [];
    this.filters = [];
    this.isolated = new Set();
    this.hoveredSample = this.hoveredFilter = null;
    this.alert = null;
  }

  /** Epochs at which a layer's embedding is still being computed. */
  pendingOf(layer: string): number[] {
    return pendingEpochs(this.run, layer, this.embedsStill, this.settled);
  }

  /** Whether the watch was given a recorder of this name. */
  private asked(recorder: string): boolean {
    return Object.hasOwn(this.info?.session?.recorders ?? {}, recorder);
  }

  /** Epochs at which a kind of record of the current layer exists. */
  recorded(kind: string, layer: string = this.layer): number[] {
    return epochsOf(this.run, kind, layer);
  }
}

function toggled(chosen: readonly number[], item: number, add: boolean): number[] {
  if (add) return chosen.includes(item) ? chosen.filter((other) => other !== item) : [...chosen, item];
  return chosen.length === 1 && chosen[0] === item ? [] : [item];
}

function newestRun(runs: RunEntry[]): RunEntry | null {
  return runs.reduce<RunEntry | null>((best, entry) => (!best || entry.updated > best.updated ? entry : best), null);
}

/** A layer as it was when it had so many filters: what else changes with them is not known any more. */
function sized(layer: LayerInfo, filters: number): LayerInfo {
  if (filters === layer.filters) return layer;
  const shape = layer.shape.at(-1) === layer.filters ? layer.shape.with(-1, filters) : layer.shape;
  return { ...layer, filters, shape, parameters: 0, features: 0, sketch: 0, multiply_adds: -1, filter_parameters: -1, filter_multiply_adds: -1, saving_note: "" };
}

function unlisted(name: string): LayerInfo {
  return {
    name, type: "", shape: [], filters: 0, tapped: name, activation: "", parameters: 0, features: 0, sketch: 0, path: [], note: "",
    field_size: [], field_stride: [], field_offset: [], field_kind: "",
    multiply_adds: -1, filter_parameters: -1, filter_multiply_adds: -1, saving_note: "",
  };
}
