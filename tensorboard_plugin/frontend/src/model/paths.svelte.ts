// The trails of what is selected, ready to be drawn: asked for, coloured, bundled where they are many.

import type { Look } from "./look.svelte";
import type { Page } from "./page.svelte";
import type { Plane } from "./plane.svelte";
import { categories, hues } from "./samples";
import { BUNDLED, meanPaths, pathsOf, tracked, type Trail } from "./trails";
import { TrailStore } from "./trails.svelte";
import { neutral, type Rgb } from "../theme/palette";

export interface Paths {
  /** Paths that end where the points are at a moment. */
  of: (now: Float32Array) => { single: Trail[]; bundles: Trail[] };
  hue: (key: number) => Rgb;
}

export class PathsOf {
  private readonly store = new TrailStore();
  private readonly page!: Page;
  private readonly look!: Look;
  private readonly plane!: Plane;

  constructor(page: Page, look: Look, plane: Plane) {
    this.page = page;
    this.look = look;
    this.plane = plane;
  }

  private samples: number[] = $derived.by(() => {
    const { samples, settings } = this.page;
    const wanted = settings.trails === "on" || (settings.trails === "auto" && samples.length === 1);
    return wanted ? tracked(samples) : [];
  });
  private wanted = $derived(this.samples.length && this.page.run ? { at: this.page.run, layer: this.page.layer, samples: this.samples } : null);
  private found = $derived(this.wanted && this.store.get(this.wanted));

  /** Null where none are to be seen.  They are of the plane: on the grid, and while the layout is replayed, they would mislead. */
  shown: Paths | null = $derived.by(() => {
    const { found, page } = this;
    const { columns, colourBy } = this.look;
    const epoch = this.plane.record?.epoch ?? null;
    if (!found || epoch === null || !this.plane.plain) return null;
    const keys = categories(columns, colourBy) ?? columns.labels;
    const hue = hues(columns, { colourBy: categories(columns, colourBy) ? colourBy : "true", isolated: page.isolated, dark: page.dark });
    const keyOf = (sample: number) => keys?.[sample] ?? -1;
    const bundled = found.samples.length > BUNDLED;
    let last: { now: Float32Array; made: ReturnType<Paths["of"]> } | null = null;
    const of = (now: Float32Array) => {
      last = last?.now === now ? last : { now, made: { single: pathsOf(found, epoch, now, keyOf), bundles: bundled ? meanPaths(found, epoch, now, keyOf) : [] } };
      return last.made;
    };
    return { of, hue: keys ? hue : () => neutral(page.dark) };
  });

  /** What there is to say of them, in a line. */
  note: string = $derived.by(() => {
    const { samples, page, shown } = this;
    if (!samples.length) return "";
    if (!this.plane.plain) return page.settings.trails === "on" ? "no trails on the way to the grid or within the optimisation" : "";
    if (this.store.reason) return `no trails: ${this.store.reason}`;
    if (!shown) return "";
    const some = samples.length < page.samples.length ? `trails of ${samples.length} of ${page.samples.length} selected` : "";
    return [some, samples.length > BUNDLED ? "wide: mean path of each group, by its number of samples" : ""].filter(Boolean).join("; ");
  });

  /** To be called in an effect: asks for them. */
  want(): void {
    if (this.wanted) this.store.want({ ...this.wanted, epochs: this.page.recorded("embedding").length });
  }
}
