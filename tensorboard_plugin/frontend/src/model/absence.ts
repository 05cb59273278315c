// Why a record is not there, as far as the session tells.  A pure function.

import type { RunInfo } from "../api/types";

/** Which recorder makes a kind of record: its name in the session, and what to type to have it. */
const RECORDERS: Record<string, [name: string, code: string]> = {
  embedding: ["embeddings", "fw.Embeddings()"],
  clusters: ["clusters", "fw.Clusters()"],
  grid: ["grid_mapping", "fw.GridMapping()"],
  separation: ["separation", "fw.Separation()"],
  health: ["filter_health", "fw.FilterHealth()"],
  similarity: ["filter_similarity", "fw.FilterSimilarity()"],
  specificity: ["class_specificity", "fw.ClassSpecificity()"],
  kernels: ["kernel_pictures", "fw.KernelPictures()"],
  maps: ["activation_maps", "fw.ActivationMaps()"],
  histograms: ["activation_histograms", "fw.ActivationHistograms()"],
  exemplars: ["exemplars", "fw.Exemplars()"],
  feature_images: ["feature_images", "fw.FeatureImages()"],
  arrangement: ["feature_arrangement", "fw.FeatureArrangement()"],
  exemplar_maps: ["exemplar_maps", "fw.ExemplarMaps()"],
  attributions: ["attributions", "fw.Attributions([0, 3], 6)"],
  factors: ["factor_groups", "fw.FactorGroups()"],
  cluster_images: ["cluster_images", "fw.ClusterImages()"],
  class_activation: ["class_activation", "fw.ClassActivation()"],
  maximising: ["maximising_images", "fw.MaximisingImages()"],
  outlook: ["pruning_outlook", "fw.PruningOutlook()"],
};

/** Why a layer has nothing yet, of kinds that are made within a limit of seconds. */
export const TURNS = "None of this layer so far. Layers take turns within the seconds that are allowed; what there was no time for comes first at a later snapshot.";

export interface Reason {
  text: string;
  /** What to add to the watch's recorders; "" where that is not what is missing. */
  code: string;
}

/**
 * The recorder was switched off, had nothing to say of this layer at this epoch, or is not among those that were asked for.  With `never`,
 * where there is no record at any epoch, what it last said of the layer still holds.
 */
export function whyAbsent(info: RunInfo | null, kind: string, layer: string, epoch: number, never = false): Reason | null {
  const [name, code] = RECORDERS[kind] ?? ["", ""];
  const session = info?.session;
  if (!name || !session) return null;
  const of = info.journal.filter((entry) => entry.recorder === name);
  const failed = of.findLast((entry) => entry.kind === "failed" && (entry.epoch ?? 0) <= epoch);
  if (failed) return { text: failed.text, code: "" };
  const noted = of.findLast((entry) => entry.epoch === epoch && (entry.layer === undefined || entry.layer === layer));
  if (noted) return { text: noted.text, code: "" };
  const before = never ? of.findLast((entry) => (entry.epoch ?? 0) <= epoch && entry.layer === layer) : undefined;
  if (before) return { text: `${before.text} (epoch ${before.epoch ?? 0})`, code: "" };
  const asked = Object.keys(session.recorders);
  return asked.length && !asked.includes(name) ? { text: "The watch of this run has no recorder for it. To have it in the next one, add to its recorders", code } : null;
}
