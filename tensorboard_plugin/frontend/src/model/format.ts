// Numbers as text.  A dash stands for what is not known.

import { format } from "d3-format";

const DASH = "–";
const three = format(".3f");
const two = format(".2f");
const general = format(".3~g");
const digits = format(".3r");
const grouped = format(",d");
const si = format(".3~s");

type Maybe = number | null | undefined;
const known = (value: Maybe): value is number => typeof value === "number" && Number.isFinite(value);

export const count = (value: Maybe): string => (known(value) ? grouped(value) : DASH);
export const ratio = (value: Maybe): string => (known(value) ? two(value).replace("-", "−") : DASH);
export const ratio3 = (value: Maybe): string => (known(value) ? three(value).replace("-", "−") : DASH);
export const percent = (value: Maybe, digits = 0): string => (known(value) ? `${(100 * value).toFixed(digits)} %` : DASH);
export const short = (value: Maybe): string => (known(value) ? (Math.abs(value) >= 1e4 ? si(value) : general(value)) : DASH);

/** Three digits, zeros included: for values that stand side by side. */
export const even = (value: Maybe): string =>
  known(value) && value !== 0 && Math.abs(value) < 1000 && Math.abs(value) >= 1e-3 ? digits(value).replace("-", "−") : short(value);

export function seconds(value: Maybe): string {
  if (!known(value)) return DASH;
  if (value < 1) return `${Math.round(1000 * value)} ms`;
  if (value < 60) return `${value.toFixed(1)} s`;
  if (value < 3600) return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
  return `${Math.floor(value / 3600)} h ${Math.round((value % 3600) / 60)} min`;
}

/** An amount of data, in the unit that suits it. */
export function bytes(value: Maybe): string {
  if (!known(value)) return DASH;
  if (value < 1000) return `${Math.round(value)} B`;
  const unit = value < 1e6 ? 1 : value < 1e9 ? 2 : 3;
  const scaled = value / 1000 ** unit;
  return `${scaled.toFixed(scaled < 10 ? 1 : 0)} ${["B", "kB", "MB", "GB"][unit]}`;
}

/** How long ago, in the coarsest unit that still informs. */
export function ago(elapsed: number): string {
  if (elapsed < 5) return "just now";
  if (elapsed < 60) return `${Math.round(elapsed)} s ago`;
  if (elapsed < 3600) return `${Math.round(elapsed / 60)} min ago`;
  if (elapsed < 86400) return `${Math.round(elapsed / 3600)} h ago`;
  return `${Math.round(elapsed / 86400)} days ago`;
}

/** A large count in the unit that suits it: "7,056", "226 k", "1.2 M". */
export function amount(value: Maybe): string {
  if (!known(value)) return DASH;
  if (Math.abs(value) < 1e4) return grouped(Math.round(value));
  const unit = [1e9, 1e6, 1e3].find((one) => Math.abs(value) >= 0.9995 * one)!;
  const scaled = value / unit;
  return `${scaled < 10 ? scaled.toFixed(1) : Math.round(scaled)} ${{ 1e9: "G", 1e6: "M", 1e3: "k" }[unit]}`;
}

export const plural = (n: number, one: string, many = `${one}s`): string => `${grouped(n)} ${n === 1 ? one : many}`;
