// A plan of what goes, as a file that featwatch reads, and the code that applies it.  Pure functions.

import { leftAt, removedAt, type Outlook } from "./outlook";

/** Ways to go on from a share. */
export const TAKES = ["plan", "python", "shell"] as const;
export type Take = (typeof TAKES)[number];
export const TAKE_NAMES: Record<Take, string> = { plan: "Plan (JSON)", python: "Python", shell: "Command line" };

/** What `featwatch.prune.plan` can choose by itself. */
const CRITERIA = new Set(["l2", "activity", "redundancy", "taylor", "random"]);

/**
 * The plan at a share, as `featwatch.prune.Plan.load` reads it; null where the record does not say which units go.  It names the
 * units of layers that make their own: what goes along is worked out when it is applied, so that a line may be edited by hand.
 */
export function planText(outlook: Outlook, at: number, model: string): string | null {
  const removed = removedAt(outlook, at);
  if (!removed) return null;
  const left = leftAt(outlook, at), now = leftAt(outlook, 0);
  const whole = (value: number) => (Number.isFinite(value) ? Math.round(value) : -1);
  const known = outlook.shares[0] === 0;
  const of = <T>(layers: typeof outlook.layers, value: (layer: (typeof layers)[number]) => T): [string, T][] => layers.map((layer) => [layer.name, value(layer)]);
  return asText([
    ["format", "featwatch pruning plan"], ["version", 1], ["model", model], ["criterion", outlook.criterion],
    ["removed", new Map(of(outlook.layers.filter(({ mixes, name }) => mixes && removed.has(name)), ({ name }) => removed.get(name)!))],
    ["units", new Map(of(outlook.layers.filter(({ units }) => units > 0), ({ units }) => units))],
    ["frozen", new Map(of(outlook.layers.filter(({ frozen }) => frozen), ({ frozen }) => frozen))],
    ["savings", new Map([
      ["parameters_before", known ? whole(now.parameters) : -1], ["parameters_after", whole(left.parameters)],
      ["multiply_adds_before", known ? whole(now.multiplyAdds) : -1], ["multiply_adds_after", whole(left.multiplyAdds)],
    ])],
    ["notes", [`${percentText(left.share)} of the units that could go at epoch ${outlook.epoch}`, ...(outlook.note ? [outlook.note] : [])]],
  ]);
}

/** JSON with a line for each layer, as featwatch writes it. */
function asText(entries: [string, unknown][]): string {
  const plain = (value: unknown) => (Array.isArray(value) ? `[${value.map((one) => JSON.stringify(one)).join(", ")}]` : JSON.stringify(value));
  const text = (value: unknown): string => {
    if (!(value instanceof Map)) return plain(value);
    return value.size ? `{\n${[...value].map(([name, one]) => `    ${JSON.stringify(name)}: ${plain(one)}`).join(",\n")}\n  }` : "{}";
  };
  return `{\n${entries.map(([key, value]) => `  ${JSON.stringify(key)}: ${text(value)}`).join(",\n")}\n}\n`;
}

/** Python that applies the plan, or makes one like it where the page has none; `when`: the epoch that the plan is of, in words. */
export function pythonText(outlook: Outlook, at: number, when: string, file: boolean): string {
  const share = Number(outlook.shares[at]!.toPrecision(4));
  const made = CRITERIA.has(outlook.criterion)
    ? `plan = fw.prune.plan(model, ratio=${share}, criterion="${outlook.criterion}", probe=probe)`
    : `plan = fw.prune.plan(model, ratio=${share}, probe=probe)`;
  return [
    "import featwatch as fw", "",
    ...(file ? [`# the plan from here, for the model of ${when}; or chosen anew, for it as it is now:`, `# ${made}`, 'plan = fw.prune.Plan.load("plan.json")'] : [made]),
    "print(plan.savings)", "",
    "small = plan.apply(model, probe=probe)     # a new model; this one stays as it is",
    'small.save("small.keras")',
  ].join("\n");
}

export const shellText = (): string => "featwatch prune model.keras --plan plan.json -o small.keras";

export const percentText = (share: number): string => `${Number((100 * share).toFixed(1))} %`;
