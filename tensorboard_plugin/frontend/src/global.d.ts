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
  };
}
