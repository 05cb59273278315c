// What the Samples view draws of the chosen layer and epoch: the points, on their way to the grid where that is asked for.

import type { FrameRecord } from "../api/types";
import { gridOf, mapped, type Grid } from "./grid";
import type { Look, Status } from "./look.svelte";
import type { Page } from "./page.svelte";
import { pointsAtStage } from "./stages";

interface Shown {
  record: FrameRecord;
  grid: Grid | null;
}

export class Plane {
  /** The records on the picture: the last ones of this layer until the next have come. */
  private shown: Shown | null = $state.raw(null);
  subject = $state("");
  private readonly page!: Page;
  private readonly look!: Look;

  constructor(page: Page, look: Look) {
    this.page = page;
    this.look = look;
    $effect(() => {
      const { status, gridStatus } = this;
      const now = [page.run?.run, page.run?.generation, page.axis, page.layer].join("\n");
      // With the grid both are waited for, or points would go back to their places on the way.
      const waiting = page.settings.toGrid > 0 && gridStatus.state === "loading";
      if (status.state === "ready" && !waiting) [this.shown, this.subject] = [{ record: status.record, grid: this.gridNow }, now];
      else if (this.subject !== now || (status.state !== "loading" && status.state !== "ready")) this.shown = null;
    });
  }

  status: Status = $derived.by(() => this.look.status("embedding", this.page.layer, this.page.epoch));
  gridStatus: Status = $derived.by(() => this.look.status("grid", this.page.layer, this.page.epoch));
  private gridNow: Grid | null = $derived(this.gridStatus.state === "ready" ? gridOf(this.gridStatus.record) : null);

  record: FrameRecord | null = $derived(this.shown?.record ?? null);
  grid: Grid | null = $derived(this.shown?.grid ?? null);
  /** How far the points have gone to their cells; at their places where there is no grid. */
  toGrid: number = $derived(this.grid ? this.page.settings.toGrid : 0);
  /** Where the samples lie in the plane; null where nothing can be shown. */
  private places: Float32Array | null = $derived(this.record && pointsAtStage(this.record, this.page.stage));
  /** Where they are drawn. */
  points: Float32Array | null = $derived(this.places && this.grid && this.toGrid > 0 ? mapped(this.places, this.grid, this.toGrid) : this.places);
  /** Whether the finished layout is shown, as it is. */
  plain: boolean = $derived(this.toGrid === 0 && this.page.stage === null);

  /** To be called in an effect: asks for what is drawn. */
  want(): void {
    const { page, look } = this;
    look.want("sample", "embedding", [page.layer], 2);
    look.want("sample", "predictions", [""], 2);
    look.want("sample", "clusters", [page.layer], 2);
    look.want("sample", "grid", [page.layer], page.settings.toGrid > 0 ? 2 : 0);
  }
}
