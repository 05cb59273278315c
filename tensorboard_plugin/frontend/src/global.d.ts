// What the browser tests read.
interface Window {
  __featwatch?: {
    epoch: number | null;
    newest: number | null;
    /** Points in the last picture of the embedding. */
    points: number;
    /** Epoch of that picture. */
    shown: number | null;
    layer: string;
    run: string | null;
    /** Pictures of the embedding drawn so far. */
    frames: number;
    /** Through what it is seen: pixels a unit of the plane, what lies in the middle, and the picture's size. */
    view?: { scale: number; x: number; y: number; width: number; height: number } | undefined;
  };
}
