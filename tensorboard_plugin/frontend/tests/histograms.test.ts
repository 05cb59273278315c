import { describe, expect, it } from "vitest";
import type { FrameRecord } from "../src/api/types";
import { fullShare, lift, ridge } from "../src/charts/ridge";
import { inSight, labelled, rowHeight } from "../src/charts/rows";
import { byValue, chain, cumulated, groupsOf } from "../src/model/arrange";
import { orderOf, rowsOf } from "../src/model/histogramRows";
import {
  beyond, binsAcross, focusOf, histogramsOf, keepRange, layerRow, meanOf, rangeOf, rowOf, shareAt, tone, type Histograms,
} from "../src/model/histograms";
import { columnsFor, thin } from "../src/model/history";

/** A record with these counts on edges 0, 1, 2, … from `first` on; extremes at the outer edges of what is occupied. */
function record(counts: number[][], first = 0, fields: Record<string, unknown> = {}): FrameRecord {
  const bins = counts[0]?.length ?? 1;
  const edges = Float64Array.from({ length: bins + 1 }, (_, i) => first + i);
  const low = counts.map((row) => edges[row.findIndex((n) => n > 0)] ?? NaN);
  const high = counts.map((row) => edges[row.findLastIndex((n) => n > 0) + 1] ?? NaN);
  return {
    kind: "histograms", layer: "conv1", epoch: 0, fields,
    arrays: {
      counts: { shape: [counts.length, bins], values: Int32Array.from(counts.flat()), table: null },
      edges: { shape: [bins + 1], values: edges, table: null },
      minimum: { shape: [counts.length], values: Float32Array.from(low), table: null },
      maximum: { shape: [counts.length], values: Float32Array.from(high), table: null },
    },
  };
}
const read = (counts: number[][], first = 0): Histograms => histogramsOf(record(counts, first))!;

describe("a record of histograms", () => {
  it("gives each filter's counts, and the layer's as their sum", () => {
    const of = read([[1, 2, 0], [0, 4, 4]]);
    expect(Array.from(rowOf(of, 1)!.counts)).toEqual([0, 4, 4]);
    expect([of.filters, of.bins, [...of.total]]).toEqual([2, 3, [3, 8]]);
    const all = layerRow(of);
    expect([[...(all.counts as Float64Array)], all.total, all.minimum, all.maximum]).toEqual([[1, 6, 4], 11, 0, 3]);
    expect(rowOf(of, 2)).toBeNull();
  });
  it("says how many values there were in all, where some were counted", () => {
    const fields = { exact: false, positions: 100, positions_counted: 20, values_per_filter: 4000 };
    const of = histogramsOf(record([[1]], 0, fields))!;
    expect([of.exact, of.values]).toEqual([false, 20_000]);
    expect(read([[1]]).exact).toBe(true);
  });
  it("is refused where its arrays do not fit each other", () => {
    const broken = (change: (arrays: FrameRecord["arrays"]) => void) => {
      const made = record([[1, 2], [3, 4]]);
      change(made.arrays);
      return histogramsOf(made);
    };
    expect(broken((a) => (a.counts!.shape = [4]))).toBeNull();
    expect(broken((a) => (a.edges!.values = Float64Array.of(0, 1)))).toBeNull();
    expect(broken((a) => (a.edges!.values = Float64Array.of(0, NaN, 2)))).toBeNull();
    expect(broken((a) => (a.edges!.values = Float64Array.of(0, 2, 1)))).toBeNull();
    expect(broken((a) => (a.edges!.values = Float64Array.of(0, 1, 1)))).toBeNull();
    expect(broken((a) => (a.minimum!.values = Float32Array.of(0)))).toBeNull();
    expect(broken((a) => delete a.maximum)).toBeNull();
    expect(broken(() => undefined)).not.toBeNull();
  });
  it("without filters, or without values, divides by nothing", () => {
    const none = read([[0, 0]]);
    expect(meanOf(rowOf(none, 0)!)).toBeNaN();
    expect(rangeOf(layerRow(none))).toBeNull();
    expect(focusOf(none)).toBeNull();
  });
});

describe("the scale of values", () => {
  it("holds zero and what occurs, in whole bins", () => {
    expect(rangeOf(rowOf(read([[0, 0, 5, 1, 0]], 1), 0)!)).toEqual([0, 5]);
    expect(rangeOf({ minimum: -1.5, maximum: -0.5, edges: Float64Array.of(-3, -2, -1, 0, 1) })).toEqual([-2, 0]);
  });
  it("has room around what is all zero", () => {
    expect(rangeOf({ minimum: 0, maximum: 0, edges: Float64Array.of(0, 2, 4) })).toEqual([-2, 2]);
  });
  it("does not follow a few filters that reach far beyond the others, and says which", () => {
    const rows = Array.from({ length: 40 }, (_, i) => Array.from({ length: 64 }, (_, b) => (b < (i === 7 ? 60 : 8) ? 1 : 0)));
    const of = read(rows);
    const range = focusOf(of)!;
    expect([range, beyond(of, range)]).toEqual([[0, 9], [7]]);
    expect(focusOf(read(rows.slice(0, 8)))).toEqual([0, 60]);
  });
  it("stands still while the next epoch fits into it and fills most of it", () => {
    expect(keepRange([0, 10], [0, 7])).toEqual([0, 10]);
    expect(keepRange([0, 10], [0, 5])).toEqual([0, 5]);
    expect(keepRange([0, 10], [-1, 9])).toEqual([-1, 9]);
    expect(keepRange(null, [0, 1])).toEqual([0, 1]);
  });
  it("puts each pixel into the bin its middle lies in", () => {
    const edges = Float64Array.of(-1, 0, 1, 3);
    expect([...binsAcross(edges, -2, 4, 6)]).toEqual([-1, 0, 1, 2, 2, -1]);
    expect([...binsAcross(edges, 0, 1, 3)]).toEqual([1, 1, 1]);
  });
  it("tells faint shares apart, and back again", () => {
    expect([tone(0), tone(0.25), tone(1)]).toEqual([0, 1, 1]);
    expect(tone(0.01) - tone(0.001)).toBeGreaterThan(0.25);
    for (const t of [0.1, 0.5, 0.9]) expect(tone(shareAt(t))).toBeCloseTo(t, 9);
  });
});

describe("ridges", () => {
  it("cut off what piles up at zero, not what is beside it", () => {
    const rows = [read([[90, 8, 2]]), read([[50, 40, 10]])].map((of) => rowOf(of, 0)!);
    expect(fullShare(rows)).toBeCloseTo(0.4);
    expect([lift(0.9, 0.4), lift(0.1, 0.4), lift(0, 0.4)]).toEqual([1, 0.5, 0]);
    expect(fullShare([rowOf(read([[7]]), 0)!])).toBe(1);
  });
  it("outline the occupied bins, with the gaps between them", () => {
    const { line, area } = ridge(rowOf(read([[0, 4, 0, 4, 0]]), 0)!, (v) => 10 * v, 100, 50, 0.5);
    expect(line).toBe("M10.0,100.0V50.0H20.0V100.0H30.0V50.0H40.0V100.0");
    expect(area).toBe(`${line}Z`);
    expect(ridge(rowOf(read([[0]]), 0)!, (v) => v, 0, 1, 1).line).toBe("");
  });
});

describe("the order of filters", () => {
  it("goes by value, what is not known last, ties by number", () => {
    expect(byValue([1, NaN, 3, 3, -1])).toEqual([2, 3, 0, 4, 1]);
  });
  it("by likeness puts alike ones next to each other, the lowest first", () => {
    const of = read([[0, 0, 9, 1], [9, 1, 0, 0], [0, 0, 1, 9], [8, 2, 0, 0], [0, 1, 9, 0]]);
    expect(orderOf(of, "similarity", null, null)).toEqual([1, 3, 4, 0, 2]);
  });
  it("by activity and mean takes what was measured, else what the bins tell", () => {
    const of = read([[9, 1], [1, 9]]);
    expect(orderOf(of, "active", null, null)).toEqual([1, 0]);
    const health = { ...record([[1]]), arrays: { active_fraction: { shape: [2], values: Float32Array.of(0.9, 0.1), table: null } } };
    expect(orderOf(of, "active", health, null)).toEqual([0, 1]);
    expect(orderOf(of, "mean", null, null)).toEqual([1, 0]);
    expect(meanOf(rowOf(of, 0)!)).toBeCloseTo(0.6);
  });
});

describe("groups of alike filters", () => {
  const counts = Array.from({ length: 600 }, (_, f) => Array.from({ length: 32 }, (_, b) => (b >> 2 === f % 8 ? 10 + (f % 3) : 0)));
  const of = read(counts);
  const groups = groupsOf(cumulated(of), of.bins, of.filters, 16);

  it("hold every filter once, alike ones together", () => {
    expect(groups.flatMap((group) => group.members).sort((a, b) => a - b)).toEqual(Array.from({ length: 600 }, (_, i) => i));
    for (const { leader, members } of groups) {
      expect(members[0]).toBe(leader);
      expect(new Set(members.map((f) => f % 8)).size).toBe(1);
    }
  });
  it("are shown by one line each, the others behind it until it is unfolded", () => {
    const order = orderOf(of, "index", null, groups);
    const folded = rowsOf(order, groups, new Set());
    expect(folded.length).toBe(groups.length);
    expect(folded.map((line) => line.key)).toEqual([...folded.map((line) => line.key)].sort((a, b) => a - b));
    const first = folded[0]!;
    const open = rowsOf(order, groups, new Set([first.key]));
    expect(open.length).toBe(groups.length + first.folded - 1);
    expect([open[0]!.open, open[1]!.child, open[1]!.key]).toEqual([true, true, groups.find((g) => g.leader === first.key)!.members.sort((a, b) => a - b)[1]]);
  });
  it("are as many as there are rows where those are few, and one where all are equal", () => {
    expect(groupsOf(cumulated(read([[1, 0], [0, 1]])), 2, 2).length).toBe(2);
    expect(groupsOf(cumulated(read(Array.from({ length: 50 }, () => [1, 2]))), 2, 50).length).toBe(1);
    expect(chain(Float32Array.of(), 2, [])).toEqual([]);
  });
});

describe("columns over epochs", () => {
  const epochs = (n: number) => Array.from({ length: n }, (_, i) => 2 * i);
  it("are all where there is room, else every second, fourth, …, with the newest and the playhead's", () => {
    expect(thin(epochs(60), 60)).toEqual({ epochs: epochs(60), every: 1 });
    const { epochs: kept, every } = thin(epochs(300), 60, 222);
    expect([every, kept.length <= 62, kept.includes(222), kept.at(-1)]).toEqual([8, true, true, 598]);
  });
  it("stay the same as epochs come, but for the newest", () => {
    const before = thin(epochs(300), 60).epochs.slice(0, -1);
    const after = thin(epochs(320), 60).epochs;
    expect(after.slice(0, before.length)).toEqual(before);
  });
  it("are fewer where a record is large", () => {
    expect([columnsFor(1000), columnsFor(2 ** 20), columnsFor(2 ** 30)]).toEqual([60, 48, 8]);
  });
});

describe("rows in sight", () => {
  it("fit where they can, and only those in sight are drawn", () => {
    expect([rowHeight(10, 500, 3, 22), rowHeight(100, 500, 3, 22), rowHeight(2048, 500, 3, 22)]).toEqual([22, 5, 3]);
    const sight = inSight(2048, 3, 3001, 100, 300, 1);
    expect([sight.first, sight.end, sight.top]).toEqual([1000, 1101, -1]);
    expect(inSight(0, 3, 0, 100, 300, 1)).toMatchObject({ first: 0, end: 0 });
  });
  it("carry labels that do not overlap; marked ones push their neighbours out", () => {
    const sight = inSight(100, 5, 0, 100, 200, 1);
    expect(labelled(sight, [])).toEqual([1, 4, 7, 10, 13, 16, 19, 22, 25, 28, 31, 34, 37]);
    expect(labelled(sight, [6]).filter((row) => row < 12).sort((a, b) => a - b)).toEqual([1, 6, 10]);
    expect(labelled(sight, [90])).not.toContain(90);
  });
});
