// A plan of what goes, as a file that featwatch reads, and the code that applies it.  Pure functions.

import { leftAt, removedAt, type Outlook } from "./outlook";

/** Ways to go on from a share. */
export const TAKES = ["plan", "python", "shell"] as const;
export type Take = (typeof TAKES)[number];
export const TAKE_NAMES: Record<Take, string> = { plan: "Plan (JSON)", python: "Python", shell: "Command line" };

/** What `featwatch.prune.plan` can choose by itself. */
const CRITERIA = new Set(["l2", "activity", "redundancy", "taylor", "random"]);

/** The plan at a share, as `featwatch.prune.Plan.load` reads it; null where the record does not say which units go. */
export function planText(outlook: Outlook, at: number, model: string): string | null {
  const removed = removedAt(outlook, at);
  if (!removed) return null;
  const left = leftAt(outlook, at), now = leftAt(outlook, 0);
  const whole = (value: number) => (Number.isFinite(value) ? Math.round(value) : -1);
  const known = outlook.shares[0] === 0;
  const plan = {
    removed: Object.fromEntries(removed),
    frozen: Object.fromEntries(outlook.layers.filter(({ frozen }) => frozen).map(({ name, frozen }) => [name, frozen])),
    savings: {
      parameters_before: known ? whole(now.parameters) : -1, parameters_after: whole(left.parameters),
      multiply_adds_before: known ? whole(now.multiplyAdds) : -1, multiply_adds_after: whole(left.multiplyAdds),
    },
    units: Object.fromEntries(outlook.layers.map(({ name, units }) => [name, units])),
    model, criterion: outlook.criterion,
    notes: [`${percentText(left.share)} of the units that could go at epoch ${outlook.epoch}`, ...(outlook.note ? [outlook.note] : [])],
  };
  // A layer a line, as a person reads and edits it.
  return JSON.stringify(plan, (_, value: unknown) => (isNumbers(value) ? `\u0000${JSON.stringify(value)}\u0000` : value), 1).replace(/"\\u0000(.*?)\\u0000"/g, (_, list: string) => list.replaceAll(",", ", "));
}

/** Python that applies the plan, or makes one like it where the page has none. */
export function pythonText(outlook: Outlook, at: number, file: boolean): string {
  const share = Number(outlook.shares[at]!.toPrecision(4));
  const made = CRITERIA.has(outlook.criterion)
    ? `plan = fw.prune.plan(model, ratio=${share}, criterion="${outlook.criterion}", probe=probe)`
    : `plan = fw.prune.plan(model, ratio=${share}, probe=probe)`;
  return [
    "import featwatch as fw", "",
    ...(file ? [`# the plan from here, for the model of epoch ${outlook.epoch}; or chosen anew, for the model as it is:`, `# ${made}`, 'plan = fw.prune.Plan.load("plan.json")'] : [made]),
    "print(plan.savings)", "",
    "small = plan.apply(model, probe=probe)     # a new model; this one stays as it is",
    'small.save("small.keras")',
  ].join("\n");
}

export const shellText = (): string => "featwatch prune model.keras --plan plan.json -o small.keras";

export const percentText = (share: number): string => `${Number((100 * share).toFixed(1))} %`;

const isNumbers = (value: unknown): boolean => Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === "number");
