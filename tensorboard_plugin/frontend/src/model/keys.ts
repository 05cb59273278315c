// The keyboard: arrows step epochs and layers, space plays, digits choose a view, brackets go through alerts.

import { jumpBy } from "./alerts";
import type { Page } from "./page.svelte";
import { TOOLS } from "./settings";

/** What the sheet of keys says. */
export const KEYS: [keys: string[], what: string][] = [
  [["←", "→"], "earlier, later"],
  [["Home", "End"], "first, newest"],
  [["Shift ←", "Shift →"], "previous filter, next filter, on a filter's page"],
  [["Space"], "play or pause"],
  [["L"], "follow the newest"],
  [["↑", "↓", "K", "J"], "previous layer, next layer"],
  [["/"], "find a layer by name"],
  [["1", "2", "3", "4", "5", "6"], "choose a view"],
  [["[", "]"], "previous alert, next alert"],
  [["S"], "next way to select samples"],
  [["Esc"], "close a filter's page, or clear the selection"],
  [["?"], "this sheet"],
];

/** Acts on a key; true where it was one of ours. */
export function handleKey(page: Page, event: KeyboardEvent): boolean {
  if (event.key === "Tab") tabbed = true;
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return false;
  if (page.sheet) return (event.key === "Escape" || event.key === "?") && ((page.sheet = false), true);
  if (event.key === " " && isPressedByKey(event.target)) return false;
  const tab = page.tabs[Number(event.key) - 1];
  if (tab) return page.set("tab", tab), true;
  if (event.shiftKey && page.reading && /^Arrow(Left|Right)$/.test(event.key)) return false; // the strip of filters takes it
  switch (event.key) {
    case "ArrowLeft": return (page.playing = false), page.move(-1), true;
    case "ArrowRight": return (page.playing = false), page.move(1), true;
    case "ArrowUp": case "k": return page.moveLayer(-1), true;
    case "ArrowDown": case "j": return page.moveLayer(1), true;
    case "Home": return (page.playing = false), page.goTo(page.epochs[0] ?? null), true;
    case "End": return (page.playing = false), page.goTo(page.newest), true;
    case " ": return (page.playing = !page.playing), true;
    case "l": return page.goLive(), true;
    case "[": return jumpBy(page, -1), true;
    case "]": return jumpBy(page, 1), true;
    case "s": return page.tab === "samples" && (page.set("tool", TOOLS[(TOOLS.indexOf(page.settings.tool) + 1) % TOOLS.length]!), true);
    case "/": return (page.finding = true), true;
    case "?": return (page.sheet = true), true;
    case "Escape": return page.reading ? page.closeFilter() : page.clearSelection(), true;
    default: return false;
  }
}

/** Whether Tab was pressed since the pointer was: `:focus-visible` is true of a clicked button, too, as soon as any key is pressed. */
let tabbed = false;
export const pointed = (): void => void (tabbed = false);

/** A button that was reached with the keyboard is pressed with space; one that was clicked before is not. */
function isPressedByKey(target: EventTarget | null): boolean {
  return tabbed && target instanceof HTMLButtonElement;
}

export function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(input|select|textarea)$/i.test(target.tagName));
}
