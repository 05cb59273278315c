// Asks for something again and again while the page can be seen, one question at a time.

import { isVisible } from "./visibility";

const INTERVAL_MS = 1000;
const HIDDEN_MS = 250; // how often to look whether the tab was chosen again: costs no request

/** Calls `ask` every second while visible, until the returned function is called. */
export function poll(ask: (signal: AbortSignal) => Promise<void>, visible: () => boolean = isVisible): () => void {
  const stop = new AbortController();
  void (async () => {
    while (!stop.signal.aborted) {
      const seen = visible();
      if (seen) await ask(stop.signal).catch(() => undefined);
      await sleep(seen ? INTERVAL_MS : HIDDEN_MS, stop.signal);
    }
  })();
  return () => stop.abort();
}

function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
