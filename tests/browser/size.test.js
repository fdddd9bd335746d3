// What a visit downloads: the limits that the project has set itself, on the files that travel.

import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { brotliCompressSync } from 'node:zlib';
import { give } from './app.js';
import { DIST, launch, phantom, ready, serve, settled } from './site.js';

/** Most bytes of code for a visitor without a GPU, compressed by brotli. */
const MOST_CODE = 600_000;
/** Most bytes more for one with a GPU. */
const MOST_GPU = 3_000_000;
/** Most bytes of weights. */
const MOST_WEIGHTS = 6_000_000;

/** @type {import('playwright-core').Browser} */
let browser;

before(async () => {
  browser = await launch();
});
after(() => browser?.close());

/** What a file weighs on its way: the copy beside it, where the build has made one. @param {string} name */
async function travelling(name) {
  const packed = statSync(path.join(DIST, `${name}.br`), { throwIfNoEntry: false });
  return packed?.size ?? brotliCompressSync(await readFile(path.join(DIST, name))).length;
}

test('a visitor without a GPU downloads at most 0.6 MB of code, whatever the file', async (context) => {
  const site = await serve();
  const page = await browser.newPage();
  try {
    await page.goto(`${site.url}?backend=cpu`);
    const app = await ready(page);
    await give(app, { name: 'film.png', mimeType: 'image/png', buffer: phantom() });
    await settled(app);
    const prefix = new URL(site.url).pathname;
    const names = [...new Set(site.served.map((name) => decodeURI(name.slice(prefix.length)) || 'index.html'))];
    const sizes = await Promise.all(names.map(async (name) => ({ name, bytes: await travelling(name) })));
    const weights = sizes.filter(({ name }) => name.endsWith('.safetensors'));
    // Kept for later visits without a network, not needed for this one: two documents and the icons.
    const extras = sizes.filter(({ name }) => /^(about|embed)\.html$|\.(png|svg|webmanifest)$/.test(name));
    const code = sizes.filter((file) => !weights.includes(file) && !extras.includes(file));
    const sum = (/** @type {typeof sizes} */ files) => files.reduce((total, { bytes }) => total + bytes, 0);
    context.diagnostic(`${sum(code)} bytes of code in ${code.length} files, ${sum(extras)} bytes of documents and icons, ${sum(weights)} bytes of weights`);
    assert.ok(code.some(({ name }) => name.endsWith('.wasm')), names.join(' '));
    assert.ok(sum(code) <= MOST_CODE, JSON.stringify(code.sort((a, b) => b.bytes - a.bytes)));
    assert.equal(weights.length, 1);
    assert.ok(sum(weights) <= MOST_WEIGHTS);
  } finally {
    await page.close();
    site.close();
  }
});

test('a visitor with a GPU downloads at most 3 MB more', async () => {
  /** @type {{ files: Record<string, { path: string }> }} */
  const { files } = JSON.parse(await readFile(path.join(DIST, 'assets.json'), 'utf8'));
  const programs = Object.values(files).map(({ path: name }) => name).filter((name) => name.includes('generated/webgpu/'));
  if (programs.length === 0) return assert.fail('the build has no program for WebGPU');
  const sizes = await Promise.all(programs.map(travelling));
  assert.ok(sizes.reduce((total, bytes) => total + bytes) <= MOST_GPU, `${sizes}`);
});
