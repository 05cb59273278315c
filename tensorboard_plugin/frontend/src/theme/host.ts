// Follows TensorBoard's light/dark switch: the class `dark-mode` on the body of the page around ours.

/** Calls `apply` with the current mode and on every change, until the returned function is called. */
export function followHostTheme(apply: (dark: boolean) => void): () => void {
  try {
    const body = window.parent.document.body;
    const read = () => apply(body.classList.contains("dark-mode"));
    const observer = new MutationObserver(read);
    observer.observe(body, { attributes: true, attributeFilter: ["class"] });
    read();
    return () => observer.disconnect();
  } catch {
    // A foreign parent: follow the operating system instead.
    const query = window.matchMedia("(prefers-color-scheme: dark)");
    const read = () => apply(query.matches);
    query.addEventListener("change", read);
    read();
    return () => query.removeEventListener("change", read);
  }
}

export const reducedMotion = (): boolean => window.matchMedia("(prefers-reduced-motion: reduce)").matches;
