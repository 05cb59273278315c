// The journal with what is said again and again, of other layers and at other epochs, in one line.  Pure functions.

import type { JournalEntry } from "../api/types";
import { plural } from "./format";

export interface Note extends JournalEntry {
  /** How often it was said, in the layers and at the epochs below. */
  times: number;
  layers: string[];
  /** Rising. */
  epochs: number[];
}

const ORDER = ["failed", "worker", "thinned", "weights", "note"];
const rank = (kind: string): number => (ORDER.indexOf(kind) + 9) % 9;

/** What one says of a layer at an epoch, without the layer and the epoch. */
function saying({ kind, recorder, layer, text }: JournalEntry): string {
  const plain = (layer ? text.replaceAll(`'${layer}'`, "'…'") : text).replaceAll(/\blayer '[^']+'/g, "layer '…'").replaceAll(/\bepoch \d+/g, "epoch …");
  return [kind, recorder ?? "", plain].join("\n");
}

/** One note for each thing that was said, what ended a recorder first. */
export function notesOf(journal: readonly JournalEntry[]): Note[] {
  const notes = new Map<string, Note>();
  for (const entry of journal) {
    const key = saying(entry);
    const note = notes.get(key) ?? { ...entry, times: 0, layers: [], epochs: [] };
    note.times++;
    if (entry.layer && !note.layers.includes(entry.layer)) note.layers.push(entry.layer);
    if (entry.epoch !== undefined && !note.epochs.includes(entry.epoch)) note.epochs.push(entry.epoch);
    notes.set(key, note);
  }
  for (const note of notes.values()) note.epochs.sort((a, b) => a - b);
  return [...notes.values()].sort((a, b) => rank(a.kind) - rank(b.kind));
}

/** Of which layers a note speaks: the first, and how many more. */
export function ofLayers({ layers }: Note): string {
  return layers.length > 1 ? `${layers[0]} and ${plural(layers.length - 1, "more layer")}` : (layers[0] ?? "");
}
