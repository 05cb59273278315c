import { describe, expect, it } from "vitest";
import type { JournalEntry, RunInfo } from "../src/api/types";
import { normaliseRun } from "../src/api/normalise";
import { whyAbsent } from "../src/model/absence";

const info = (recorders: string[], journal: JournalEntry[] = []): RunInfo =>
  normaliseRun({ session: { recorders: Object.fromEntries(recorders.map((name) => [name, {}])), layers: [] }, journal });

describe("why a record is not there", () => {
  it("is that its recorder failed, from then on", () => {
    const failed = info(["activation_histograms"], [
      { kind: "failed", text: "switched off", epoch: 3, recorder: "activation_histograms" },
      { kind: "failed", text: "another", epoch: 1, recorder: "clusters" },
    ]);
    expect(whyAbsent(failed, "histograms", "conv1", 4)).toEqual({ text: "switched off", code: "" });
    expect(whyAbsent(failed, "histograms", "conv1", 2)).toBeNull();
  });
  it("is what was noted of this layer at this epoch", () => {
    const noted = info(["activation_histograms"], [{ kind: "note", text: "nothing finite", epoch: 3, layer: "conv1", recorder: "activation_histograms" }]);
    expect(whyAbsent(noted, "histograms", "conv1", 3)?.text).toBe("nothing finite");
    expect(whyAbsent(noted, "histograms", "conv2", 3)).toBeNull();
    expect(whyAbsent(noted, "histograms", "conv1", 4)).toBeNull();
    expect(whyAbsent(noted, "histograms", "conv1", 4, true)?.text).toBe("nothing finite (epoch 3)"); // there is none at any epoch: that still holds
    expect([whyAbsent(noted, "histograms", "conv2", 4, true), whyAbsent(noted, "histograms", "conv1", 2, true)]).toEqual([null, null]);
  });
  it("is that nobody asked for it, with what to type", () => {
    expect(whyAbsent(info(["filter_health"]), "histograms", "conv1", 0)?.code).toBe("fw.ActivationHistograms()");
    expect(whyAbsent(info(["filter_health"]), "health", "conv1", 0)).toBeNull();
    expect(whyAbsent(info([]), "histograms", "conv1", 0)).toBeNull();
    expect(whyAbsent(null, "histograms", "conv1", 0)).toBeNull();
  });
});
