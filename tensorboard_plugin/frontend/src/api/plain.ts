// Values of a log, brought to the type that they should have.

import type { Plain } from "./types";

export type Json = Record<string, unknown>;

export const object = (value: unknown): Json =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
export const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
/** Not `String(value)`: JSON can hold an object whose `toString` is no function. */
export const text = (value: unknown): string =>
  typeof value === "string" ? value : typeof value === "number" || typeof value === "boolean" ? String(value) : "";
export const whole = (value: unknown, otherwise = 0): number =>
  typeof value === "number" && Math.abs(value) < 2 ** 31 ? Math.trunc(value) : otherwise;
export const numberOr = (value: unknown, otherwise: number): number =>
  typeof value === "number" && Number.isFinite(value) ? value : otherwise;
export const plain = (value: unknown): Plain =>
  typeof value === "string" || typeof value === "boolean" || (typeof value === "number" && Number.isFinite(value)) ? value : null;
