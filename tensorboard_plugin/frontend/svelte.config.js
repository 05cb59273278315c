import { vitePreprocess } from "@sveltejs/vite-plugin-svelte";

export default {
  preprocess: vitePreprocess(),
  // Styles go into the bundle with the components: TensorBoard loads one script and nothing else.
  compilerOptions: { css: "injected", runes: true },
};
