// Whether anybody can see the page.  TensorBoard hides the frame of a tab that is not chosen with CSS,
// which leaves `document.visibilityState` at "visible".

export function isVisible(): boolean {
  if (document.visibilityState !== "visible") return false;
  try {
    const frame = window.frameElement;
    if (!frame) return true;
    const style = frame.ownerDocument.defaultView?.getComputedStyle(frame);
    return !style || (style.visibility !== "hidden" && style.display !== "none");
  } catch {
    return true; // a foreign parent says nothing: poll rather than show old news
  }
}
