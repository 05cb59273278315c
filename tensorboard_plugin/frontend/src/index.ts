// The entry that TensorBoard imports: `render()` puts the page into the plugin's frame.

import { mount } from "svelte";
import App from "./App.svelte";
import base from "./theme/base.css?inline";

export function render(): void {
  const style = document.createElement("style");
  style.textContent = base;
  document.head.append(style);
  mount(App, { target: document.body });
}
