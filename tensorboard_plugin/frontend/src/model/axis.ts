// A run has two axes: what was recorded at epochs, and what was recorded on a schedule of steps.  Pure functions.

import type { Axis, AxisContent, RunEntry, RunView } from "../api/types";
import { snapshotEpochs } from "./epochs";

/** The axes on which there are snapshots; by epoch where there are none at all. */
export function axesOf(run: RunEntry | null): Axis[] {
  const steps = run?.steps && snapshotEpochs(run.steps).length > 0;
  const epochs = snapshotEpochs(run).length > 0;
  return steps ? (epochs ? ["epochs", "steps"] : ["steps"]) : ["epochs"];
}

/** The axis that is shown: the one that was asked for where it has snapshots. */
export function chosenAxis(run: RunEntry | null, wanted: Axis | null): Axis {
  const axes = axesOf(run);
  return wanted && axes.includes(wanted) ? wanted : axes[0]!;
}

/** The run as one axis shows it. */
export function onAxis(run: RunEntry, axis: Axis): RunView {
  const content: AxisContent = axis === "steps" ? (run.steps ?? { epochs: [], series: {} }) : run;
  return { ...run, axis, epochs: content.epochs, series: content.series };
}
