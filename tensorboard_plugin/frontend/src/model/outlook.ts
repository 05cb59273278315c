// What would go from the net, and what that would save, at each share of units removed.  Pure functions on a record.

import type { DecodedArray, FrameRecord } from "../api/types";

export interface OutlookLayer {
  name: string;
  type: string;
  /** What it gives now. */
  units: number;
  /** Whether it makes its units; else it passes on those of another layer, as a batch normalisation does. */
  mixes: boolean;
  /** Why none of its units can go; "" = some can. */
  frozen: string;
  /** Units that cannot go, of all. */
  fixed: number;
  /** Layers that lose units together have the same number; −1 = it goes with none, or that is not known. */
  together: number;
}

export interface Outlook {
  epoch: number;
  criterion: string;
  note: string;
  layers: OutlookLayer[];
  /** Rising, of the units that can go; all that follows is by share, NaN where it is not known. */
  shares: number[];
  /** By share, then by layer. */
  going: number[][];
  parameters: number[];
  /** For one sample. */
  multiplyAdds: number[];
  /** Of the probe, with the units masked and no training afterwards. */
  accuracy: number[];
  /** Root mean square change of the outputs, over their root mean square deviation. */
  change: number[];
  /** Both with as many units gone that were drawn at random. */
  randomAccuracy: number[];
  randomChange: number[];
  /** Of each layer the share at which each unit goes; null where that does not fit the counts. */
  turns: Float32Array[] | null;
}

/** The record as an outlook, or what is wrong with it. */
export function outlookOf(record: FrameRecord): Outlook | string {
  const { arrays } = record;
  const names = words(arrays.layers);
  if (!names.length) return "it names no layers";
  const given = numbers(arrays.ratios);
  const order = given.map((_, i) => i).filter((i) => given[i]! >= 0 && given[i]! <= 1).sort((a, b) => given[a]! - given[b]!);
  if (!order.length) return "it holds no shares between 0 and 1";
  const types = words(arrays.types), frozen = words(arrays.frozen), mixes = numbers(arrays.mixes), fixed = numbers(arrays.fixed), together = numbers(arrays.together);
  const units = numbers(arrays.units).map((n) => Math.max(0, n));
  if (units.length !== names.length) return "the numbers of units do not fit the layers";
  const layers = names.map((name, i): OutlookLayer => ({
    name, type: types[i] ?? "", units: units[i]!, mixes: (mixes[i] ?? 1) !== 0, frozen: frozen[i] ?? "",
    fixed: frozen[i] ? units[i]! : Math.min(units[i]!, Math.max(0, fixed[i] ?? 0)),
    together: together.length === names.length ? together[i]! : -1,
  }));
  const counts = numbers(arrays.going);
  const going = order.map((at) => layers.map((layer, i) => Math.min(layer.units - layer.fixed, Math.max(0, counts[at * layers.length + i] ?? 0))));
  const by = (name: string): number[] => {
    const column = numbers(arrays[name]);
    return order.map((at) => column[at] ?? NaN);
  };
  const shares = order.map((at) => given[at]!);
  const text = (name: string) => (typeof record.fields[name] === "string" ? (record.fields[name] as string) : "");
  return {
    epoch: record.epoch, criterion: text("criterion"), note: text("note"), layers, shares, going,
    parameters: by("parameters").map(count), multiplyAdds: by("multiply_adds").map(count), accuracy: by("accuracy"), change: by("change"),
    randomAccuracy: by("random_accuracy"), randomChange: by("random_change"),
    turns: turnsOf(arrays.turn, layers, shares, going),
  };
}

/** Each layer's part of the turns of all units, if they say at every share what the counts say. */
function turnsOf(array: DecodedArray | undefined, layers: OutlookLayer[], shares: number[], going: number[][]): Float32Array[] | null {
  const values = array?.values;
  if (!(values instanceof Float32Array) || values.length !== layers.reduce((sum, { units }) => sum + units, 0)) return null;
  let start = 0;
  const turns = layers.map(({ units }) => values.subarray(start, (start += units)));
  const agree = shares.every((share, at) => turns.every((turn, i) => turn.reduce((n, one) => n + Number(goes(one, share)), 0) === going[at]![i]));
  return agree ? turns : null;
}

/** Whether a unit whose turn comes at one share is gone at another; both were single precision. */
const goes = (turn: number, share: number): boolean => share > 0 && turn <= share + 1e-6;

/** The units of each layer that go at a share, in the order of the layers; those of which none goes are left out. */
export function removedAt(outlook: Outlook, at: number): Map<string, number[]> | null {
  if (!outlook.turns) return null;
  const removed = new Map<string, number[]>();
  outlook.layers.forEach(({ name }, i) => {
    const units = [...outlook.turns![i]!.keys()].filter((unit) => goes(outlook.turns![i]![unit]!, outlook.shares[at]!));
    if (units.length) removed.set(name, units);
  });
  return removed;
}

/** What is left at one of the shares, in all. */
export interface Left {
  share: number;
  /** Units of layers that make their own: those that go, and all that can. */
  going: number;
  movable: number;
  /** Layers that lose some. */
  touched: number;
  parameters: number;
  /** Shares of what there is now; NaN where it is not known. */
  ofParameters: number;
  multiplyAdds: number;
  ofMultiplyAdds: number;
  accuracy: number;
  change: number;
}

export function leftAt(outlook: Outlook, at: number): Left {
  const { layers, parameters, multiplyAdds } = outlook;
  const sum = (value: (layer: OutlookLayer, i: number) => number) => layers.reduce((all, layer, i) => all + (layer.mixes ? value(layer, i) : 0), 0);
  const of = (column: number[]) => (outlook.shares[0] === 0 && column[0]! > 0 ? column[at]! / column[0]! : NaN);
  return {
    share: outlook.shares[at]!, going: sum((_, i) => outlook.going[at]![i]!), movable: sum(({ units, fixed }) => units - fixed), touched: sum((_, i) => Number(outlook.going[at]![i]! > 0)),
    parameters: parameters[at]!, ofParameters: of(parameters), multiplyAdds: multiplyAdds[at]!, ofMultiplyAdds: of(multiplyAdds),
    accuracy: outlook.accuracy[at]!, change: outlook.change[at]!,
  };
}

/** For so much accuracy, or so much change of the outputs, units may go unasked. */
export const HARMLESS = { accuracy: 0.01, change: 0.05 } as const;

/** What tells the price: the accuracy, where any share was measured by it, else the change of the outputs, else nothing. */
export function priced(outlook: Outlook): "accuracy" | "change" | null {
  return (["accuracy", "change"] as const).find((name) => outlook[name].some((value, at) => outlook.shares[at]! > 0 && Number.isFinite(value))) ?? null;
}

/** How far one may go. */
export interface Safe {
  /** The largest share that was measured and hardly costs anything, all before it included. */
  at: number;
  /** The first that was measured and costs more; null = none does. */
  costly: number | null;
}

/** Up to where a point of accuracy, or a small change of the outputs, is all that is lost; null where nothing was measured to tell. */
export function harmless(outlook: Outlook): Safe | null {
  const by = priced(outlook);
  if (!by || outlook.shares[0] !== 0) return null;
  const column = outlook[by];
  const costs = (at: number) => (by === "accuracy" ? column[0]! - column[at]! > HARMLESS.accuracy + 1e-6 : column[at]! > HARMLESS.change);
  // Not every share need have been measured: there may have been no time for it.
  const measured = [...column.keys()].filter((at) => Number.isFinite(column[at]));
  if (measured[0] !== 0) return null;
  const until = measured.findIndex((at, i) => i > 0 && costs(at));
  return { at: measured.at(until < 0 ? -1 : until - 1)!, costly: until < 0 ? null : measured[until]! };
}

/** What `priced` tells, with as many units gone at random. */
export const atRandom = (outlook: Outlook, by: "accuracy" | "change"): number[] => (by === "accuracy" ? outlook.randomAccuracy : outlook.randomChange);

/** Whether at a share units that were drawn at random cost no more than those that the criterion chose; null where that is not known. */
export function noBetter(outlook: Outlook, at: number): boolean | null {
  const by = priced(outlook);
  if (!by || outlook.shares[at] === 0) return null;
  const [chosen, drawn] = [outlook[by][at]!, atRandom(outlook, by)[at]!];
  if (!Number.isFinite(chosen) || !Number.isFinite(drawn)) return null;
  return by === "accuracy" ? drawn >= chosen : drawn <= chosen;
}

/** The layers that make units and lose them together with those of a layer, without itself. */
export const tied = (outlook: Outlook, layer: number): number[] => {
  const { together, mixes } = outlook.layers[layer]!;
  return together < 0 || !mixes ? [] : outlook.layers.flatMap((one, i) => (i !== layer && one.mixes && one.together === together ? [i] : []));
};

/** Whether there is a number in a column. */
export const known = (column: number[]): boolean => column.filter(Number.isFinite).length > 0;

/** The share that is shown: the one nearest to what was chosen, else the harmless one, or the first where none is, else a third. */
export function shownAt(outlook: Outlook, chosen: number | null): number {
  const safe = harmless(outlook);
  const wanted = chosen ?? (safe === null ? 0.3 : outlook.shares[safe.at || Math.min(1, outlook.shares.length - 1)]!);
  return outlook.shares.reduce((best, share, i) => (Math.abs(share - wanted) < Math.abs(outlook.shares[best]! - wanted) ? i : best), 0);
}

/** Whether any unit can go at any share. */
export const anyGoing = (outlook: Outlook): boolean => outlook.going.some((row) => row.some((n) => n > 0));

const count = (value: number): number => (value >= 0 ? value : NaN);

function numbers(array: DecodedArray | undefined): number[] {
  return array && !array.table ? Array.from(array.values as ArrayLike<number | bigint>, Number) : [];
}

function words(array: DecodedArray | undefined): string[] {
  return array?.table ? Array.from(array.values as ArrayLike<number | bigint>, (at) => array.table![Number(at)] ?? "") : [];
}
