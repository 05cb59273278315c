import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

// Lib mode, because TensorBoard imports `index.js` and calls its exported `render()`;
// the default mode would drop the export.
export default defineConfig({
  base: "./",
  plugins: [svelte()],
  define: { "process.env.NODE_ENV": JSON.stringify("production") },
  build: {
    lib: { entry: "src/index.ts", formats: ["es"], fileName: () => "index.js" },
    outDir: "../tensorboard_plugin_featwatch/static",
    emptyOutDir: true,
    target: "es2022",
    reportCompressedSize: false,
    rolldownOptions: { output: { codeSplitting: false, minify: true } },
  },
  // Tests of the state run Svelte's runes as the browser does.
  resolve: process.env.VITEST ? { conditions: ["browser"] } : {},
  test: { include: ["tests/**/*.test.ts"], environment: "node" },
});
