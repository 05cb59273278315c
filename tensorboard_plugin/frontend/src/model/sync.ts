// Keeps the page's state up to date with the log: index first, then what is new of the run that is shown.

import { fetchIndex, fetchNumbers, fetchRun, fetchSprite, HttpError } from "../api/http";
import type { Axis, RunEntry, RunView } from "../api/types";
import { epochsOf } from "./epochs";
import { NumberTable } from "./numbers";
import type { Page } from "./page.svelte";

export class Sync {
  private etag = "";
  /** What of the shown run was fetched last. */
  private done = { run: "", generation: "", axis: "epochs" as Axis, updated: NaN, described: "" };
  private working: AbortController | null = null;

  constructor(private readonly page: Page) {}

  /** One round: the index, then the shown run.  Never throws; a lost connection is shown instead. */
  async round(signal: AbortSignal): Promise<void> {
    try {
      const index = await fetchIndex(this.etag, signal);
      if (this.page.connection === "lost") this.page.frames.retry();
      this.page.connection = "ok";
      if (index.runs) {
        this.etag = index.etag;
        this.page.version = index.version ?? "";
        this.pin(index.runs);
        this.page.runs = index.runs;
        this.page.frames.retry();
      }
      await this.refresh();
    } catch (error) {
      if (!signal.aborted && !(error instanceof HttpError && error.stale)) this.page.connection = "lost";
    }
  }

  /** Stays with the run that is shown when newer ones turn up. */
  private pin(runs: RunEntry[]): void {
    const { page } = this;
    if (page.run && runs.some((entry) => entry.run === page.run!.run)) page.settings.run ??= page.run.run;
  }

  /** Fetches what is not there yet of the shown run. */
  async refresh(): Promise<void> {
    const { page, done } = this;
    const run = page.run;
    if (!run) return;
    const moved = run.run !== done.run || run.generation !== done.generation;
    const turned = run.axis !== done.axis;
    if (moved) this.reset(run);
    else if (!turned && (run.updated === done.updated || this.working)) return;
    else if (turned) this.turn(run);
    const controller = (this.working = new AbortController());
    try {
      await this.fetch(run, controller.signal);
      this.done.updated = run.updated; // `reset` has put another object in the place of `done`
    } catch (error) {
      if (!controller.signal.aborted) throw error;
    } finally {
      if (this.working === controller) this.working = null;
    }
  }

  /** The other axis is shown: what was under way is of the one before. */
  private turn(run: RunView): void {
    this.working?.abort();
    this.page.frames.abort();
    this.done = { ...this.done, axis: run.axis };
  }

  private reset(run: RunView): void {
    const { page } = this;
    this.working?.abort();
    page.frames.abort();
    // The run that was shown is gone: what was chosen in it means nothing in the one shown instead.
    if (this.done.run && this.done.run !== run.run && page.settings.run !== run.run) page.leaveRun();
    this.done = { run: run.run, generation: run.generation, axis: run.axis, updated: NaN, described: "" };
    page.info = null;
    page.sprite = null;
    page.tables = { epochs: new NumberTable(), steps: new NumberTable() };
    page.numbersVersion++;
  }

  private async fetch(run: RunView, signal: AbortSignal): Promise<void> {
    const { page } = this;
    const entry = page.entry ?? run;
    const at = { run: run.run, generation: run.generation };
    const newest = ["journal", "closing"].map((kind) => epochsOf(entry, kind, "").at(-1) ?? -1);
    const described = JSON.stringify([entry.series.session, entry.series.probe, entry.problems, newest]);
    const { tables } = page;
    const axes: Axis[] = run.axis === "epochs" ? ["epochs"] : ["epochs", "steps"];
    const [answers, info] = await Promise.all([
      Promise.all(axes.map(async (axis) => ({ axis, answer: await fetchNumbers({ ...at, axis }, tables[axis].until, signal) }))),
      described === this.done.described ? null : fetchRun(at, signal),
    ]);
    if (signal.aborted) return;
    for (const { axis, answer } of answers) tables[axis].merge(answer);
    page.numbersVersion++;
    if (!info) return;
    this.done.described = described;
    page.info = info;
    page.markSeen();
    if (info.probe?.thumbnails && !page.sprite) {
      const sprite = await fetchSprite(at, signal).catch(() => null);
      if (!signal.aborted) page.sprite = sprite;
    }
  }
}
