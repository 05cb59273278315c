// Which filters of a layer are the same before and after it was pruned: the same number then means another one.  Pure functions.

import { list, object, whole } from "../api/plain";

/** A stretch of a training in which a layer has the same filters, by the same numbers. */
export interface Era {
  /** The epoch, or step, from which on. */
  begins: number;
  /** Who each of them is; equal in two eras = the same filter. */
  filters: readonly number[];
}

/** What the plugin answered, the eras rising; none where a layer has had the same filters all along. */
export function erasOf(raw: unknown): Era[] {
  const found = list(object(raw).eras).map((one) => ({ begins: whole(object(one).begins, -1), filters: list(object(one).filters).map((n) => whole(n, -1)) }));
  const rising = found.every(({ begins, filters }, i) => begins > (found[i - 1]?.begins ?? -1) && filters.every((n) => n >= 0));
  return rising && found.length > 1 ? found : [];
}

/** Index of the era of an epoch, or step; −1 = of before the first, or there are none. */
export const eraAt = (eras: readonly Era[], place: number): number => eras.findLastIndex(({ begins }) => begins <= place);

/** The number that a filter of one place has at another; null = it is not there, or nothing tells which it is. */
export function renumbered(eras: readonly Era[], filter: number, from: number, to: number): number | null {
  const [one, other] = [eraAt(eras, from), eraAt(eras, to)];
  if (one === other) return filter;
  const who = eras[one]?.filters[filter];
  const at = who === undefined ? -1 : (eras[other]?.filters.indexOf(who) ?? -1);
  return at < 0 ? null : at;
}

/** Filters by the numbers that they have at another place, without those that are not there; the same list where nothing has changed. */
export function moved(eras: readonly Era[], filters: readonly number[], from: number | null, to: number | null): readonly number[] {
  if (from === null || to === null || eraAt(eras, from) === eraAt(eras, to)) return filters;
  return filters.flatMap((filter) => renumbered(eras, filter, from, to) ?? []);
}

/** What became of the filters where an era begins: "24 filters before, 19 from here on". */
export const turnOf = (eras: readonly Era[], era: number, unit: string): string =>
  `${eras[era - 1]!.filters.length} ${unit}s before, ${eras[era]!.filters.length} from here on`;
