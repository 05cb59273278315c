// What there is to see of a layer's filters at the playhead, in the order that was chosen: the gallery's and a filter's page's.

import { arrangementOf, placed, refreshedSince, type Arrangement } from "./arrangement";
import { exemplarTable, shownInput, type Exemplar, type ExemplarTable } from "./exemplars";
import { arrange, channelChoices, type Channels, type Tile } from "./gallery";
import type { Look, Status } from "./look.svelte";
import { Newest, newestUpTo, standing } from "./newest.svelte";
import type { Page } from "./page.svelte";
import type { Order } from "./settings";
import { Sheets } from "./sheets.svelte";

/** One filter of the gallery. */
export interface Item {
  filter: number;
  /** Its image; null where parts of the probe are shown instead. */
  tile: Tile | null;
  /** The part of the probe that activates it most, where these are shown. */
  exemplar: Exemplar | null;
  /** What activation filtering preserved, where filtered images are shown; NaN = not known. */
  preserved: number | null;
  /** Whether it was dead on the probe at the playhead. */
  dead: boolean;
}

/** Items in the cells of a grid, and those that have none. */
export interface Layout {
  columns: number;
  cells: (Item | null)[];
  rest: Item[];
}

export type Shown = "images" | "patches";

export class LayerGallery {
  // Assigned before any of the derived values below is read: they are computed on demand.
  private readonly page!: Page;
  private readonly look!: Look;
  readonly sheets!: Sheets;
  private readonly arranged!: Newest;
  /** Which of them is asked for; images where there are any. */
  wanted: Shown = $state("images");

  constructor(page: Page, look: Look) {
    this.page = page;
    this.look = look;
    this.sheets = new Sheets(page, look);
    this.arranged = new Newest(page, look, "arrangement");
  }

  unit: "Filter" | "Unit" = $derived(/conv/i.test(this.page.layerInfo?.type ?? "conv") ? "Filter" : "Unit");

  /** Exemplars: the newest up to the playhead. */
  made: number | null = $derived(newestUpTo(standing(this.page, "exemplars"), this.page.epoch));
  found: Status = $derived(this.look.status("exemplars", this.page.layer, this.made));
  table: ExemplarTable | null = $derived(this.found.state === "ready" ? exemplarTable(this.found.record, this.page.info?.probe?.count ?? 0) : null);
  input: { width: number; height: number } | null = $derived(this.table ? shownInput(this.table, this.page.info?.probe?.thumbnails ?? null) : null);

  hasImages: boolean = $derived(this.sheets.tiles.length > 0);
  shown: Shown = $derived(this.hasImages && (this.wanted === "images" || !this.table) ? "images" : "patches");
  /**
   * Whether filtered images are worth asking for: some are known, or the recorder makes them.  Layers take turns with them, so
   * that the newest records often have none.
   */
  filterable: boolean = $derived.by(() => {
    if (this.shown !== "images") return false;
    const made = Number(this.page.info?.session?.recorders.feature_images?.filtered);
    return this.sheets.filtered.length > 0 || made > 0 || this.page.settings.pictured === "filtered";
  });
  /** Whether filtered images are shown: there have to be some. */
  filtered: boolean = $derived(this.shown === "images" && this.page.settings.pictured === "filtered" && this.sheets.filtered.length > 0);

  choices: Channels[] = $derived(this.hasImages ? channelChoices(this.sheets.sheets[0]!.channels) : []);
  choice: Channels = $derived.by(() => {
    const { channels } = this.page.settings;
    return channels !== null && this.choices.includes(channels) ? channels : (this.choices[0] ?? "all");
  });

  arrangement: Arrangement | null = $derived(this.arranged.record && arrangementOf(this.arranged.record));
  /** An arrangement was recorded, but cannot be read. */
  misarranged: boolean = $derived(this.arranged.status.state === "damaged" || (this.arranged.record !== null && !this.arrangement));
  /** Images that are another than what was arranged. */
  refreshed: number = $derived(this.arrangement ? refreshedSince(this.arrangement, this.sheets.tiles) : 0);

  private dead: ArrayLike<number | bigint> | null = $derived.by(() => {
    const health = this.look.status("health", this.page.layer, this.page.epoch);
    const array = health.state === "ready" ? health.record.arrays.dead : undefined;
    return array?.values instanceof Uint8Array ? array.values : null;
  });

  /** Similarity waits for a recorded arrangement, or where there is none for all images: the order would change with each that comes. */
  order: Order = $derived.by(() => {
    const { order } = this.page.settings;
    if (this.shown !== "images") return "index";
    const coming = this.sheets.loading > 0 || this.arranged.status.state === "loading";
    return order === "similarity" && !this.arrangement && coming ? "index" : order;
  });
  /** The grid, where similar ones are neighbours in two directions. */
  layout: Layout | null = $derived.by(() => {
    if (this.order !== "similarity" || !this.arrangement || this.filtered) return null;
    const { columns, cells, rest } = placed(this.arrangement, this.sheets.tiles);
    if (!cells.length) return null;
    return { columns, cells: cells.map((tile) => tile && this.item(tile)), rest: rest.map((tile) => this.item(tile)) };
  });
  /** All of them, one after the other. */
  items: Item[] = $derived.by(() => {
    if (this.layout) return [...this.layout.cells.filter((item) => item !== null), ...this.layout.rest];
    if (this.filtered) {
      const kept = new Map(this.sheets.filtered.map((one) => [one.filter, one.preserved]));
      const tiles = this.sheets.filtered.map(({ after }) => after);
      const rank = (tile: Tile) => kept.get(tile.filter) || -Infinity;
      const ordered = this.order === "ratio" ? tiles.toSorted((a, b) => (rank(a) === rank(b) ? a.filter - b.filter : rank(b) - rank(a))) : arrange(tiles, this.order);
      return ordered.map((tile) => ({ ...this.item(tile), preserved: kept.get(tile.filter)! }));
    }
    if (this.shown === "images") return arrange(this.sheets.tiles, this.order).map((tile) => this.item(tile));
    const { table } = this;
    return Array.from({ length: table?.filters ?? 0 }, (_, filter) => ({
      filter, tile: null, exemplar: table!.of(filter)[0] ?? null, preserved: null, dead: this.isDead(filter),
    }));
  });

  isDead(filter: number): boolean {
    return Number(this.dead?.[filter] ?? 0) === 1;
  }

  /** To be called in an effect: asks for what is missing. */
  want(): void {
    const { page, look } = this;
    this.sheets.further = page.settings.pictured === "filtered" || this.sheets.closely;
    this.sheets.want();
    if (this.made !== null) look.ask("features", "exemplars", [page.layer], this.made);
    if (page.settings.order === "similarity") this.arranged.want();
    look.want("features", "predictions", [""]);
    look.want("features", "health", [page.layer]);
  }

  private item(tile: Tile): Item {
    return { filter: tile.filter, tile, exemplar: null, preserved: null, dead: this.isDead(tile.filter) };
  }
}
