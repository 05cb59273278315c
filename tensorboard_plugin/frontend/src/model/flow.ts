// Clusters over epochs as stacked bands, by identity, with ribbons for samples that changed between them.  Pure functions.

/** The clusters of one epoch: each sample's identity, −1 = noise. */
export interface Moment {
  epoch: number;
  identities: Int32Array;
}

/** Identities of the bands that are no cluster of their own. */
export const NOISE = -1;
export const SMALL = -2;

export interface Band {
  /** An identity, `SMALL` or `NOISE`. */
  key: number;
  /** Samples below it and in it. */
  start: number;
  size: number;
}

export interface Ribbon {
  from: number;
  into: number;
  size: number;
  /** Where it leaves the left column and enters the right one, in samples from the bottom. */
  left: number;
  right: number;
}

export interface Column {
  epoch: number;
  bands: Band[];
  /** To the next column; empty for the last. */
  ribbons: Ribbon[];
}

export interface Flow {
  columns: Column[];
  samples: number;
  /** Bands from the bottom to the top. */
  order: number[];
  /** How many clusters the band `SMALL` holds over all epochs. */
  small: number;
}

/** Bands at most; what never was among the largest goes into one band of small clusters. */
export const MOST_BANDS = 20;
/** A cluster that never held this share of the samples is small. */
const LEAST_SHARE = 0.015;

export function flowOf(moments: readonly Moment[]): Flow {
  const samples = Math.max(0, ...moments.map(({ identities }) => identities.length));
  const peaks = new Map<number, number>();
  for (const { identities } of moments) {
    for (const [key, count] of countsOf(identities)) if (key >= 0) peaks.set(key, Math.max(peaks.get(key) ?? 0, count));
  }
  const large = [...peaks].filter(([, peak]) => peak >= LEAST_SHARE * samples).sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, MOST_BANDS);
  const own = new Set(large.map(([key]) => key));
  const small = peaks.size - own.size;
  const keyOf = (identity: number): number => (identity < 0 ? NOISE : own.has(identity) ? identity : SMALL);
  const folded = moments.map(({ epoch, identities }) => ({ epoch, identities: identities.map(keyOf) }));
  const order = ordered(folded);
  const columns = folded.map(({ epoch, identities }): Column => ({ epoch, bands: stacked(countsOf(identities), order), ribbons: [] }));
  for (let i = 0; i + 1 < folded.length; i++) {
    columns[i]!.ribbons = ribbons(folded[i]!.identities, folded[i + 1]!.identities, columns[i]!.bands, columns[i + 1]!.bands, order);
  }
  return { columns, samples, order, small };
}

/** Noise and small clusters at the bottom; a cluster stands beside the one that most of its samples came from. */
function ordered(moments: readonly Moment[]): number[] {
  const order: number[] = [NOISE, SMALL];
  let before: Int32Array | null = null;
  for (const { identities } of moments) {
    const sizes = countsOf(identities);
    const fresh = [...sizes.keys()].filter((key) => !order.includes(key)).sort((a, b) => sizes.get(b)! - sizes.get(a)! || a - b);
    for (const key of fresh) {
      const parent = before ? parentOf(key, before, identities) : NOISE;
      if (parent >= 0) order.splice(order.indexOf(parent) + 1, 0, key);
      else order.push(key);
    }
    before = identities;
  }
  return order;
}

function parentOf(key: number, before: Int32Array, now: Int32Array): number {
  const counts = new Map<number, number>();
  now.forEach((identity, i) => {
    const was = before[i] ?? NOISE;
    if (identity === key && was >= 0) counts.set(was, (counts.get(was) ?? 0) + 1);
  });
  let [best, most] = [NOISE, 0];
  for (const [was, count] of counts) if (count > most || (count === most && was < best)) [best, most] = [was, count];
  return best;
}

function stacked(counts: ReadonlyMap<number, number>, order: readonly number[]): Band[] {
  let start = 0;
  return order.flatMap((key): Band[] => {
    const size = counts.get(key) ?? 0;
    start += size;
    return size ? [{ key, start: start - size, size }] : [];
  });
}

function ribbons(left: Int32Array, right: Int32Array, lefts: readonly Band[], rights: readonly Band[], order: readonly number[]): Ribbon[] {
  const sizes = new Map<string, number>();
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const key = `${left[i]} ${right[i]}`;
    sizes.set(key, (sizes.get(key) ?? 0) + 1);
  }
  const leaves = new Map(lefts.map(({ key, start }) => [key, start]));
  const enters = new Map(rights.map(({ key, start }) => [key, start]));
  const found: Ribbon[] = [];
  // In the order of the bands on both sides, so that ribbons of one band do not cross.
  for (const from of order) {
    for (const into of order) {
      const size = sizes.get(`${from} ${into}`);
      if (!size) continue;
      found.push({ from, into, size, left: leaves.get(from)!, right: enters.get(into)! });
      leaves.set(from, leaves.get(from)! + size);
      enters.set(into, enters.get(into)! + size);
    }
  }
  return found;
}

export function countsOf(keys: Int32Array): Map<number, number> {
  const counts = new Map<number, number>();
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  return counts;
}
