// The lines of the picture of histograms: in which order, and which of them are folded away.  Pure functions.

import type { FrameRecord } from "../api/types";
import { byValue, chain, cumulated, type Group } from "./arrange";
import { aboveZero, meanOf, rowOf, type Histograms } from "./histograms";
import type { HistogramOrder } from "./settings";

export interface Line {
  /** The filter. */
  key: number;
  label: string;
  /** Stands for this many, the others of which are folded away behind it; 0 = for itself. */
  folded: number;
  open: boolean;
  /** Belongs to the one above it that is unfolded. */
  child: boolean;
}

/** Filters in the order asked for; activity and mean as the health record has them, else as the bins tell. */
export function orderOf(of: Histograms, by: HistogramOrder, health: FrameRecord | null, groups: Group[] | null): number[] {
  const every = Array.from({ length: of.filters }, (_, filter) => filter);
  const measured = (name: string) => {
    const values = health?.arrays[name]?.values;
    return values instanceof Float32Array && values.length === of.filters ? values : null;
  };
  switch (by) {
    case "index": return every;
    case "maximum": return byValue(of.maximum);
    case "active": return byValue(measured("active_fraction") ?? every.map((filter) => aboveZero(rowOf(of, filter)!)));
    case "mean": return byValue(measured("mean_activation") ?? every.map((filter) => meanOf(rowOf(of, filter)!)));
    case "similarity": return groups ? groups.flatMap((group) => group.members) : chain(cumulated(of), of.bins, every);
  }
}

/** A line a filter, or a line a group and, where it is unfolded, its other members below. */
export function rowsOf(order: number[], groups: Group[] | null, unfolded: ReadonlySet<number>): Line[] {
  const line = (key: number, child = false): Line => ({ key, label: String(key), folded: 0, open: false, child });
  if (!groups) return order.map((key) => line(key));
  const place = new Map(order.map((filter, i) => [filter, i]));
  const before = (a: number, b: number) => place.get(a)! - place.get(b)!;
  return [...groups]
    .sort((a, b) => before(a.leader, b.leader))
    .flatMap(({ leader, members }) => {
      if (members.length < 2) return [line(leader)];
      const open = unfolded.has(leader);
      const rest = open ? members.filter((member) => member !== leader).sort(before).map((member) => line(member, true)) : [];
      return [{ ...line(leader), folded: members.length, open }, ...rest];
    });
}
