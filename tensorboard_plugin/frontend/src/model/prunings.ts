// What has been pruned: the steps as records tell of them, and how large layers were before.  Pure functions.

import type { FrameRecord } from "../api/types";
import type { NumberTable, Series } from "./numbers";
import type { OutlookLayer } from "./outlook";

export const ACTIONS = ["pruned", "undone", "proposed", "refused"] as const;
export type Action = (typeof ACTIONS)[number];

export const ACTION_NAMES: Record<Action, string> = { pruned: "Pruned", undone: "Undone", proposed: "Proposed", refused: "Refused" };
export const ACTION_TITLES: Record<Action, string> = {
  pruned: "Units were removed from the model", undone: "The guard brought the units of the step before back",
  proposed: "A dry run: nothing was changed", refused: "Nothing was changed",
};

/** A number of Keras' at two epochs: right before a step, and at the last one before the next that changed the model. */
export interface Watched {
  name: string;
  values: Pair;
  until: number;
}

/** A number and what became of it; NaN where it is not known. */
export type Pair = [before: number, after: number];

export interface Step {
  epoch: number;
  action: Action;
  reason: string;
  criterion: string;
  note: string;
  /** How many units of each layer it was about. */
  counts: Map<string, number>;
  units: Pair;
  unitsOriginal: number;
  parameters: Pair;
  multiplyAdds: Pair;
  latency: Pair;
  monitor: string;
  value: Pair;
  error: number;
  seconds: number;
  /** The epoch at which the guard took it back; null = it holds. */
  undone: number | null;
}

/** The steps in order.  Records that say no known action are left out. */
export function stepsOf(records: readonly FrameRecord[]): Step[] {
  const steps = records.map(stepOf).filter((step) => step !== null).sort((a, b) => a.epoch - b.epoch);
  steps.forEach((step, i) => {
    if (step.action !== "undone") return;
    const taken = steps.slice(0, i).findLast((one) => one.action === "pruned" && one.undone === null);
    if (taken) taken.undone = step.epoch;
  });
  return steps;
}

function stepOf({ epoch, fields }: FrameRecord): Step | null {
  const text = (name: string): string => (typeof fields[name] === "string" ? (fields[name] as string) : "");
  const number = (name: string): number => (typeof fields[name] === "number" && Number.isFinite(fields[name]) ? (fields[name] as number) : NaN);
  const count = (name: string): number => (number(name) >= 0 ? number(name) : NaN);
  const pair = (name: string, of: (name: string) => number): Pair => [of(`${name}_before`), of(`${name}_after`)];
  const action = ACTIONS.find((one) => one === fields.action);
  if (!action) return null;
  const removed = typeof fields.removed === "object" && fields.removed !== null ? Object.entries(fields.removed) : [];
  return {
    epoch, action, reason: text("reason"), criterion: text("criterion"), note: text("note"), monitor: text("monitor"),
    counts: new Map(removed.flatMap(([layer, units]): [string, number][] => (Array.isArray(units) && units.length ? [[layer, units.length]] : []))),
    units: pair("units", count), unitsOriginal: count("units_original"), parameters: pair("parameters", count),
    multiplyAdds: pair("multiply_adds", count), latency: pair("latency", count), value: pair("value", number),
    error: number("error"), seconds: number("seconds"), undone: null,
  };
}

/**
 * Units of each layer before all pruning: what it has now and what the steps that hold took from it; where an earlier outlook
 * knows of more, that.
 */
export function originals(layers: readonly OutlookLayer[], epoch: number, steps: readonly Step[], first: readonly OutlookLayer[]): number[] {
  const earlier = new Map(first.map(({ name, units }) => [name, units]));
  const held = steps.filter((step) => step.action === "pruned" && step.epoch < epoch && (step.undone === null || step.undone > epoch));
  return layers.map(({ name, units }) => {
    const taken = held.reduce((sum, { counts }) => sum + (counts.get(name) ?? 0), 0);
    return Math.max(units, earlier.get(name) ?? units + taken);
  });
}

/** The epoch of the first step from an epoch on after which a layer's filters have other numbers; null = they have the same ones. */
export const renumberedAt = (steps: readonly Step[], layer: string, epoch: number): number | null =>
  steps.find((step) => step.epoch >= epoch && (step.action === "pruned" || step.action === "undone") && step.counts.has(layer))?.epoch ?? null;

/** What became of the number that the guard watches, by step: as recorded where it was undone, else as Keras logged it since. */
export function watched(steps: readonly Step[], numbers: NumberTable): (Watched | null)[] {
  const acts = steps.filter(({ action }) => action === "pruned" || action === "undone");
  return steps.map((step): Watched | null => {
    const { monitor, value, epoch } = step;
    if (!value.some(Number.isFinite)) return null;
    if (step.action !== "pruned" || Number.isFinite(value[1])) return { name: monitor, values: value, until: epoch };
    const next = acts.find((one) => one.epoch > epoch)?.epoch;
    const logged = numbers.series("epoch", "", monitor);
    const at = logged.epochs.findLastIndex((one, i) => one > epoch && one <= (next ?? Infinity) && finite(logged.values[i]));
    return { name: monitor, values: [value[0], at < 0 ? NaN : logged.values[at]!], until: logged.epochs[at] ?? epoch };
  });
}

/** "−38 %", "+4 %": how much a number changed; "" where that is not known. */
export function changed([before, after]: Pair): string {
  const by = before > 0 ? after / before - 1 : NaN;
  return Number.isFinite(by) ? signed(by) : "";
}

/** A share as a signed percentage. */
export function signed(share: number): string {
  const percent = 100 * share;
  const digits = Math.abs(percent) < 9.95 && Math.abs(percent) >= 0.05 ? 1 : 0;
  const text = Math.abs(percent).toFixed(digits);
  return `${Number(text) === 0 ? "±" : percent < 0 ? "−" : "+"}${text} %`;
}

/** A text of the log as a sentence of its own; a name at its beginning stays as it is. */
export const sentence = (text: string): string => text.replace(/^[a-z](?=[a-z]*(\s|$))/, (first) => first.toUpperCase()) + (!text || /[.!?…]$/.test(text) ? "" : ".");

/** A line over epochs in a panel of its own. */
export interface History {
  name: string;
  title: string;
  series: Series;
  /** Holds until the next one: drawn as stairs. */
  stairs: boolean;
  /** From 0, or between the smallest and the largest. */
  from: "zero" | "smallest";
  unit: "count" | "milliseconds" | "share" | "plain";
}

const finite = (value: number | null | undefined): value is number => typeof value === "number" && Number.isFinite(value);

/** What is to be seen over the epochs: how well the model does, then how large it is, as far as each was recorded. */
export function histories(numbers: NumberTable, monitor: string, batch: number): History[] {
  const known = ({ values }: Series, low = -Infinity) => values.some((value) => finite(value) && value >= low);
  const found: History[] = [];
  const logged = numbers.names("epoch", "");
  const accuracy = ["val_accuracy", ...logged.filter((name) => /^val_.*acc/.test(name))].find((name) => logged.includes(name));
  for (const name of new Set([accuracy ?? "", monitor, accuracy || monitor ? "" : logged.includes("val_loss") ? "val_loss" : "loss"])) {
    const series = numbers.series("epoch", "", name);
    const share = /acc(uracy)?$/.test(name);
    if (name && known(series)) found.push({ name: worded(name), title: `${name}, as Keras logs it`, series, stairs: false, from: "smallest", unit: share ? "share" : "plain" });
  }
  const probe = numbers.series("predictions", "", "accuracy");
  if (!accuracy && known(probe)) found.unshift({ name: "probe accuracy", title: "Share of the probe's samples that are classified right", series: probe, stairs: false, from: "smallest", unit: "share" });
  const sized = (name: string, title: string, unit: History["unit"], words = name) => {
    const recorded = numbers.series("size", "", name);
    const series = { epochs: recorded.epochs, values: recorded.values.map((value) => (finite(value) && value >= 0 ? value : null)) };
    if (known(series, 0)) found.push({ name: words, title, series, stairs: true, from: "zero", unit });
  };
  sized("parameters", "Weights of the model", "count");
  sized("multiply_adds", "For one sample", "count", "multiply-adds");
  sized("latency", `Measured, for a sample${batch > 0 ? ` in a batch of ${batch}` : ""}; other work of the machine makes it jump`, "milliseconds", "measured time");
  return found;
}

const worded = (name: string): string => name.replace(/^val_/, "validation ").replaceAll("_", " ");
