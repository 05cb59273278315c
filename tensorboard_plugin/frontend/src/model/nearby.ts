// The samples that lie nearest to one in a picture.  A pure function.

/** At most `most` other samples, the nearest first; of equally near ones that with the smaller index. */
export function nearestIn(points: Float32Array, sample: number, most: number): number[] {
  const [x, y] = [points[2 * sample] ?? NaN, points[2 * sample + 1] ?? NaN];
  const best: { index: number; squared: number }[] = [];
  for (let i = 0; 2 * i + 1 < points.length; i++) {
    const squared = (points[2 * i]! - x) ** 2 + (points[2 * i + 1]! - y) ** 2;
    if (i === sample || !Number.isFinite(squared) || (best.length === most && !(squared < best[most - 1]!.squared))) continue;
    const place = best.findIndex((other) => squared < other.squared);
    best.splice(place < 0 ? best.length : place, 0, { index: i, squared });
    if (best.length > most) best.pop();
  }
  return best.map(({ index }) => index);
}
