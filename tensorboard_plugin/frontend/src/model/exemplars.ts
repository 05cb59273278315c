// The probe's samples that activate each filter most.  Pure functions on a record of the kind `exemplars`.

import type { FrameRecord, Thumbnails } from "../api/types";
import { boxOf, type Box } from "./gallery";

/** What a receptive field can be: as small as can be, perhaps too large, perhaps too small. */
export const FIELD_KINDS = ["exact", "superset", "measured"];

export interface Exemplar {
  /** Index into the probe. */
  sample: number;
  activation: number;
  /** Of the unit in its map; empty for a layer without one. */
  position: number[];
  /** The unit's receptive field in the sample; null where it is not known or the sample is no picture. */
  box: Box | null;
}

/** A layer's exemplars, looked up by filter. */
export interface ExemplarTable {
  filters: number;
  /** Rows and columns of what the boxes are in; null where it is no picture. */
  input: { height: number; width: number } | null;
  /** How good the boxes are: one of `FIELD_KINDS`, or why there are none. */
  field: string;
  of(filter: number): Exemplar[];
}

/** The exemplars of a record; null where they are not what they should be.  Samples beyond `count` are left out. */
export function exemplarTable(record: FrameRecord, count: number): ExemplarTable | null {
  const { samples, activation, position, boxes } = record.arrays;
  if (!(samples?.values instanceof Int32Array) || samples.shape.length !== 2) return null;
  const [filters = 0, top = 0] = samples.shape;
  const known = activation?.values instanceof Float32Array && activation.values.length === filters * top ? activation.values : null;
  const axes = position?.values instanceof Int32Array && position.shape.length === 3 && position.shape[0] === filters && position.shape[1] === top ? position.shape[2]! : 0;
  const bounds = boxes?.values instanceof Int32Array && boxes.shape.length === 3 && boxes.shape[0] === filters && boxes.shape[1] === top ? boxes.shape[2]! : 0;
  const shape = record.fields.input_shape;
  const [height, width] = Array.isArray(shape) ? shape : [];
  const picture = Array.isArray(shape) && shape.length === 2 && Number.isInteger(height) && Number.isInteger(width) && height > 0 && width > 0;
  return {
    filters,
    input: picture ? { height, width } : null,
    field: typeof record.fields.receptive_field === "string" ? record.fields.receptive_field : "",
    of: (filter) =>
      filter < 0 || filter >= filters
        ? []
        : Array.from({ length: top }, (_, i) => filter * top + i)
            .map((at) => ({
              sample: (samples.values as Int32Array)[at]!,
              activation: known?.[at] ?? NaN,
              position: axes ? Array.from((position!.values as Int32Array).subarray(at * axes, (at + 1) * axes)) : [],
              box: picture && bounds === 4 ? boxOf((boxes!.values as Int32Array).subarray(4 * at, 4 * at + 4)) : null,
            }))
            .filter(({ sample }) => sample >= 0 && sample < count),
  };
}

/** Whether the first is no better than the last: a filter that is dead, or one that answers to what every sample has. */
export const tied = (exemplars: readonly Exemplar[]): boolean =>
  exemplars.length > 1 && exemplars[0]!.activation === exemplars.at(-1)!.activation;

/** What the boxes are in, where the thumbnails show the same; null where they have another shape. */
export function shownInput({ input }: ExemplarTable, grid: Thumbnails | null): ExemplarTable["input"] {
  if (!input || !grid) return null;
  const stretched = grid.width / grid.height / (input.width / input.height);
  return stretched > 0.85 && stretched < 1.18 ? input : null;
}

/** A box in units of a picture of another size, as shares of its width and height; edges, not pixels. */
export function relative(box: Box, size: { height: number; width: number }): { left: number; top: number; width: number; height: number } {
  return {
    left: box.left / size.width, top: box.top / size.height,
    width: (box.right + 1 - box.left) / size.width, height: (box.bottom + 1 - box.top) / size.height,
  };
}
