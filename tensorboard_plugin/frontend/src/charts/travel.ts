// Points on their way from one picture to the next, along straight lines, eased.

export const ease = (t: number): number => (t < 0.5 ? 4 * t ** 3 : 1 - (2 - 2 * t) ** 3 / 2);

export class Travel {
  private from: Float32Array | null = null;
  private start = 0;
  private duration = 0;
  /** Where the points were when last asked. */
  now: Float32Array = new Float32Array(0);

  constructor(private to: Float32Array = new Float32Array(0)) {
    this.now = to;
  }

  /** Sets out for `to` from wherever the points are; arrives at once where there is no time or they are other points. */
  set(to: Float32Array, time: number, milliseconds: number): void {
    const same = this.now.length === to.length && to.length > 0;
    this.from = same && milliseconds > 0 ? this.now : null;
    [this.to, this.start, this.duration] = [to, time, milliseconds];
    if (!this.from) this.now = to;
  }

  get arrived(): boolean {
    return this.from === null;
  }

  /** Where the points are at a time: always another array while they travel. */
  at(time: number): Float32Array {
    if (!this.from) return this.now;
    const t = Math.min(Math.max((time - this.start) / this.duration, 0), 1);
    if (t >= 1) {
      this.from = null;
      return (this.now = this.to);
    }
    const [from, to, share] = [this.from, this.to, ease(t)];
    const between = new Float32Array(to.length);
    for (let i = 0; i < to.length; i++) between[i] = from[i]! + (to[i]! - from[i]!) * share;
    return (this.now = between);
  }
}
