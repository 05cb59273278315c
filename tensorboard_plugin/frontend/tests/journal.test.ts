import { describe, expect, it } from "vitest";
import { notesOf, ofLayers } from "../src/model/journal";

const nan = (layer: string, epoch: number) => ({
  kind: "note", recorder: "separation", layer, epoch, text: `separation: activations of layer '${layer}' at epoch ${epoch} are not finite`,
});

describe("the journal", () => {
  it("says once what holds of many layers and epochs", () => {
    const [note, ...others] = notesOf([nan("conv2", 3), nan("conv1", 2), nan("conv1", 3)]);
    expect(others).toEqual([]);
    expect([note!.times, note!.layers, note!.epochs]).toEqual([3, ["conv2", "conv1"], [2, 3]]);
    expect([note!.text, ofLayers(note!)]).toEqual([nan("conv2", 3).text, "conv2 and 1 more layer"]);
  });

  it("keeps apart what different recorders say, and what is different", () => {
    expect(notesOf([nan("a", 1), { ...nan("a", 1), recorder: "clusters" }, { kind: "note", text: "else" }])).toHaveLength(3);
  });

  it("begins with what was switched off, and ends with kinds that it does not know", () => {
    const kinds = ["new", "note", "thinned", "failed"].map((kind) => ({ kind, text: kind }));
    expect(notesOf(kinds).map((note) => note.kind)).toEqual(["failed", "thinned", "note", "new"]);
  });

  it("does not count a layer's name as a pattern", () => {
    expect(notesOf([{ kind: "note", layer: "a.b", text: "of 'a.b'" }, { kind: "note", layer: "axb", text: "of 'a.b'" }])).toHaveLength(2);
  });
});
