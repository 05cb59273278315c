// The misclassified samples as binary attributes of a layer of their own.

import type { Paint } from "../model/samples";
import type { Dots } from "./dotsLayer";

export class MisclassifiedPoints {
  private paint: Paint | null = null;
  private indices: number[] = [];
  private looks: Dots["attributes"] = {};

  /** Attributes of the samples with a visible ring, at the given points; colours are gathered once per paint. */
  at(points: Float32Array, paint: Paint): Dots {
    if (paint !== this.paint) this.gather(paint);
    const value = new Float32Array(2 * this.indices.length);
    this.indices.forEach((index, i) => value.set([points[2 * index] ?? NaN, points[2 * index + 1] ?? NaN], 2 * i));
    return { length: this.indices.length, attributes: { getPosition: { value, size: 2 }, ...this.looks } };
  }

  private gather(paint: Paint): void {
    this.paint = paint;
    this.indices = [];
    for (let i = 0; i < paint.radius.length; i++) if (paint.ring[4 * i + 3]) this.indices.push(i);
    const colours = (bytes: Uint8Array) => {
      const gathered = new Uint8Array(4 * this.indices.length);
      this.indices.forEach((index, i) => gathered.set(bytes.subarray(4 * index, 4 * index + 4), 4 * i));
      return { value: gathered, size: 4, normalized: true };
    };
    this.looks = {
      getFillColor: colours(paint.fill),
      getLineColor: colours(paint.ring),
      // Wide enough for the ring to show around what is inside.
      getRadius: { value: Float32Array.from(this.indices, (index) => paint.radius[index]! + 2), size: 1 },
    };
  }
}
