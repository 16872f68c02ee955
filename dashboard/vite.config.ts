// Three files with fixed names, so that what is committed changes in place and nothing piles up.
import { defineConfig } from "vite";

export default defineConfig({
  // Relative to the page, which may be under a prefix of another host.
  base: "./",
  publicDir: false,
  build: {
    outDir: "dist",
    emptyOutDir: true,
    target: "es2022",
    cssCodeSplit: false,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: {
      output: {
        entryFileNames: "app.js",
        chunkFileNames: "app-[name].js",
        assetFileNames: "index[extname]",
      },
    },
  },
  server: { proxy: { "/v1": "http://127.0.0.1:8080", "/readyz": "http://127.0.0.1:8080", "/metrics": "http://127.0.0.1:8080" } },
});
