// Hands the page's state and what is shown of it down to every view.

import { getContext, setContext } from "svelte";
import { happeningsOf } from "./happenings.svelte";
import { Look } from "./look.svelte";
import { Page } from "./page.svelte";

const PAGE = Symbol("page");
const LOOK = Symbol("look");

export function providePage(): Page {
  const page = setContext(PAGE, new Page());
  setContext(LOOK, new Look(page));
  happeningsOf(page); // made here, it outlives the view that asks first: what is derived dies with the component that made it
  return page;
}

export const usePage = (): Page => getContext<Page>(PAGE);
export const useLook = (): Look => getContext<Look>(LOOK);
