/** How the dashboard is built, served in development, and tested. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import tailwindcss from '@tailwindcss/vite';
import react from '@vitejs/plugin-react';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

/** Where `npm run dev` finds the API; `make up` says another port when the stack was moved. */
const api = process.env.DEFIB_DEV_API ?? 'http://127.0.0.1:3000';

/** Compresses once, at build time, what the API then serves as it is. */
function packed(): Plugin {
  return {
    name: 'defib-packed',
    apply: 'build',
    async writeBundle({ dir = 'dist' }) {
      for (const name of await readdir(dir, { recursive: true })) {
        if (!/\.(js|css|svg)$/.test(name)) continue;
        const plain = await readFile(`${dir}/${name}`);
        await writeFile(`${dir}/${name}.br`, brotliCompressSync(plain));
        await writeFile(`${dir}/${name}.gz`, gzipSync(plain, { level: 9 }));
      }
    },
  };
}

export default defineConfig({
  plugins: [react(), tailwindcss(), packed()],
  resolve: { alias: { '@': fileURLToPath(new URL('./src', import.meta.url)) } },
  // The API puts a fresh nonce in this place each time it serves the page. Only Radix's scroll
  // lock needs it: it writes a style element while a dialog is open.
  html: { cspNonce: '__CSP_NONCE__' },
  server: {
    host: '127.0.0.1',
    port: 5173,
    // `make up` serves the built page on 5173: beside it, this is the next free port.
    strictPort: false,
    proxy: { '/api': api },
  },
  preview: { host: '127.0.0.1', port: 5173, strictPort: true, proxy: { '/api': api } },
  build: {
    target: 'es2023',
    manifest: true,
    sourcemap: false,
    // Never a data: URL, which the page's Content-Security-Policy would have to allow.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  test: {
    environment: 'jsdom',
    include: ['tests/**/*.test.{ts,tsx}'],
    setupFiles: ['tests/setup.ts'],
    testTimeout: 60_000,
    restoreMocks: true,
    unstubGlobals: true,
  },
});
