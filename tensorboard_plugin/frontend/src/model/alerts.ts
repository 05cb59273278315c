// What is wrong, in order of consequence, and how to get to where it shows.

import { SEVERITIES, type Alert, type LayerInfo, type Severity } from "../api/types";
import type { Page } from "./page.svelte";
import { FILTER_VIEWS, type FilterView, type Tab } from "./settings";

export const SEVERITY_NAMES: Record<Severity, string> = { critical: "Critical", warning: "Warning", advice: "Advice" };

const rank = (alert: Alert): number => SEVERITIES.indexOf(alert.severity);

/** The larger share of the model that is wasted; infinite for what is not about waste, so that what is wrong comes before it. */
const waste = ({ savings }: Alert): number => (savings ? Math.max(savings.ofMultiplyAdds ?? 0, savings.ofParameters ?? 0) : Infinity);

/** Those that hold, the worst first, then what wastes most; the order of the log among equals. */
export const openAlerts = (alerts: readonly Alert[]): Alert[] =>
  alerts.filter((alert) => alert.resolved < 0).sort((a, b) => rank(a) - rank(b) || (waste(a) === waste(b) ? 0 : waste(b) - waste(a)));

/** Those that are over, the last resolved first. */
export const resolvedAlerts = (alerts: readonly Alert[]): Alert[] =>
  alerts.filter((alert) => alert.resolved >= 0).sort((a, b) => b.resolved - a.resolved);

/** What all that could be pruned costs together: at most, for filters of neighbouring layers share weights. */
export interface Prunable {
  filters: number;
  parameters: number;
  multiplyAdds: number;
  /** Shares of what all watched layers have, as far as they were counted. */
  ofParameters: number;
  ofMultiplyAdds: number;
}

/** Filters that open alerts with savings name, each once, and what they cost; null where there are none, or nobody counted. */
export function prunable(alerts: readonly Alert[], layers: readonly LayerInfo[]): Prunable | null {
  const named = new Map<string, Set<number>>();
  for (const { resolved, savings, layer, filters } of alerts) {
    if (resolved < 0 && savings) named.set(layer, new Set([...(named.get(layer) ?? []), ...filters]));
  }
  const found: Prunable = { filters: 0, parameters: 0, multiplyAdds: 0, ofParameters: NaN, ofMultiplyAdds: NaN };
  for (const layer of layers) {
    const n = named.get(layer.name)?.size ?? 0;
    if (!n || layer.filter_parameters <= 0 || layer.filter_multiply_adds < 0) continue;
    found.filters += n;
    found.parameters += n * layer.filter_parameters;
    found.multiplyAdds += n * layer.filter_multiply_adds;
  }
  if (!found.filters) return null;
  const all = (cost: (layer: LayerInfo) => number) => layers.reduce((sum, layer) => sum + Math.max(0, cost(layer)), 0);
  const share = (part: number, whole: number) => (whole > 0 ? Math.min(1, part / whole) : NaN);
  return { ...found, ofParameters: share(found.parameters, all((layer) => layer.parameters)), ofMultiplyAdds: share(found.multiplyAdds, all((layer) => layer.multiply_adds)) };
}

/** What holds of a layer: how many, and how bad. */
export interface LayerAlerts {
  count: number;
  worst: Severity;
  texts: string[];
}

export function alertsByLayer(alerts: readonly Alert[]): Map<string, LayerAlerts> {
  const found = new Map<string, LayerAlerts>();
  for (const alert of openAlerts(alerts)) {
    const entry = found.get(alert.layer) ?? { count: 0, worst: alert.severity, texts: [] };
    entry.count++;
    entry.texts.push(alert.text);
    found.set(alert.layer, entry);
  }
  return found;
}

/** A mark of the timeline: something began, or had been seen often enough, at an epoch. */
export interface AlertMark {
  epoch: number;
  /** Whether an alert was raised here; else one was first seen. */
  raised: boolean;
  severity: Severity;
  texts: string[];
}

/** One mark an epoch and sort, of the worst that is there. */
export function alertMarks(alerts: readonly Alert[]): AlertMark[] {
  const marks = new Map<string, AlertMark>();
  for (const alert of [...alerts].sort((a, b) => rank(a) - rank(b))) {
    for (const raised of alert.since === alert.raised ? [true] : [false, true]) {
      const epoch = raised ? alert.raised : alert.since;
      const mark = marks.get(`${epoch} ${raised}`) ?? { epoch, raised, severity: alert.severity, texts: [] };
      mark.texts.push(alert.text);
      marks.set(`${epoch} ${raised}`, mark);
    }
  }
  return [...marks.values()].sort((a, b) => a.epoch - b.epoch);
}

/** Which view of filters shows what an alert is about: the one it names, else by its kind, where there is a record for it. */
export function filterViewOf(kind: string, recorded: (kind: string) => boolean, named = ""): FilterView {
  const wanted = named || (/kernel/.test(kind) && recorded("kernels") ? "kernels" : /saturat|linear/.test(kind) && recorded("histograms") ? "histograms" : "health");
  return FILTER_VIEWS.find((view) => view === wanted) ?? "health";
}

/** Shows what an alert is about: its layer, the epoch that it speaks of, the view, and the filters, selected. */
export function jump(page: Page, alert: Alert): void {
  page.playing = false;
  page.alert = alert.id;
  if (page.layerNames.includes(alert.layer)) page.selectLayer(alert.layer);
  if (page.axis === "steps" && page.axes.includes("epochs")) page.selectAxis("epochs"); // alerts speak of epochs
  if (page.axis === "epochs") page.goTo(alert.updated);
  const [tab, view] = alert.view.split("/") as [Tab, string?];
  if (page.tabs.includes(tab)) page.set("tab", tab);
  if (tab === "filters") page.set("filterView", filterViewOf(alert.kind, (kind) => page.recorded(kind, alert.layer).length > 0, view));
  page.filters = page.layer === alert.layer ? [...alert.filters] : [];
}

/** The next or the previous open alert, round the end. */
export function jumpBy(page: Page, delta: 1 | -1): void {
  const open = openAlerts(page.alerts);
  if (!open.length) return;
  const at = open.findIndex((alert) => alert.id === page.alert);
  const next = at < 0 ? (delta > 0 ? 0 : open.length - 1) : (at + delta + open.length) % open.length;
  jump(page, open[next]!);
}

/** What is looked for, as far as what was recorded tells. */
export function checks(has: (kind: string) => boolean): string[] {
  return [
    has("health") ? "filters that are dead, nearly dead, saturated or of no energy" : "",
    has("similarity") ? "filters that say what others say" : "",
    has("health") ? "layers that act linearly, noisy kernels" : "",
    has("health") ? "NaN and infinity in activations and weights" : "",
    has("separation") ? "collapse of separation" : "",
    has("separation") ? "redundant layers" : "",
    has("embedding") ? "layouts that are not to be believed" : "",
  ].filter(Boolean);
}
