// Which engine a machine gets: asked for, measured, remembered, forgotten, and left alone after a crash. The program for
// the graphics processor is the processor's here: what is tested is the choice.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { ask, launch, phantom, ready, serve } from './site.js';

/** @type {import('playwright-core').Browser} */
let browser;
/** @type {import('playwright-core').BrowserContext} */
let context;
/** @type {import('playwright-core').Page} */
let page;
/** @type {Awaited<ReturnType<typeof serve>>} */
let site;

/** The processor's program under both names. @param {string} name @param {Buffer} bytes */
function twoPrograms(name, bytes) {
  if (name !== 'assets.json') return bytes;
  const manifest = JSON.parse(bytes.toString());
  for (const file of ['deepbreath.js', 'deepbreath_bg.wasm']) {
    const { path, ...asset } = manifest.files[`generated/cpu/${file}`];
    manifest.files[`generated/webgpu/${file}`] = { ...asset, path: `${path}?webgpu` };
  }
  return Buffer.from(JSON.stringify(manifest));
}

before(async () => {
  [browser, site] = [await launch(), await serve({ change: twoPrograms })];
});
after(async () => {
  await browser?.close();
  site?.close();
});
beforeEach(async () => {
  context = await browser.newContext();
  page = await context.newPage();
});
afterEach(() => context.close());

/** Pretends that there is a good graphics adapter, or a bad one. @param {boolean} isFallbackAdapter */
const adapter = (isFallbackAdapter) => page.addInitScript((isFallbackAdapter) => {
  Object.defineProperty(navigator, 'gpu', { value: { requestAdapter: async () => ({ info: { isFallbackAdapter } }) } });
}, isFallbackAdapter);

/** Visits the page; tells the engine of the panel and which programs were fetched. @param {string} [query] */
async function visit(query = '') {
  const before = site.asked.length;
  await page.goto(site.url + query);
  await ready(page);
  // The frame is ready a moment before the page around it hears which engine it chose.
  await page.locator('#engine', { hasText: /^(?!Not chosen yet)/ }).waitFor({ state: 'attached' });
  const engine = (await page.locator('#engine').textContent()) ?? '';
  return { engine, gpuFetched: site.asked.slice(before).some((url) => url.endsWith('.wasm?webgpu')) };
}

test('an emulated adapter is not worth its program, which is never fetched', async () => {
  await adapter(true);
  const { engine, gpuFetched } = await visit();
  assert.equal(engine, 'Processor (CPU): the graphics adapter is emulated in software.');
  assert.equal(gpuFetched, false);
});

test('what the address asks for is done, and not remembered', async () => {
  await adapter(false);
  const asked = await visit('?backend=webgpu');
  assert.equal(asked.engine, 'Graphics processor (WebGPU): asked for.');
  assert.equal(asked.gpuFetched, true);
  assert.equal((await visit('?backend=cpu')).engine, 'Processor (CPU): asked for.');
  assert.deepEqual(await page.evaluate(() => Object.keys(localStorage)), []);
});

test('the choice is measured once, shown, remembered, and measured again when forgotten', async () => {
  await adapter(false);
  const first = await visit();
  const measured = /the faster one here: \d+ ms on the graphics processor, \d+ ms on the processor\.$/;
  assert.match(first.engine, measured);
  const second = await visit();
  assert.equal(second.engine, first.engine, 'the same words, times included: nothing was measured again');
  await page.locator('#network').evaluate((details) => details.setAttribute('open', ''));
  await page.locator('#forget').click();
  await page.locator('#forget', { hasText: 'Forgotten' }).waitFor();
  assert.match((await visit()).engine, measured);
});

test('after a start that never ended the next visit leaves the graphics processor alone', async () => {
  await adapter(false);
  await visit('?backend=cpu');
  await page.evaluate(() => localStorage.setItem(`deepbreath ${new URL('.', location.href).pathname} gpu-starting`, 'true'));
  for (let again = 0; again < 2; again++) {
    assert.equal((await visit()).engine, 'Processor (CPU): the last start on the graphics processor did not come to an end.');
  }
  assert.equal((await ask(await ready(page), { name: 'phantom.png', mimeType: 'image/png', buffer: phantom() })).error, undefined);
});

test('a start that ends, well or not, leaves no trace of a crash', async () => {
  await adapter(false);
  await visit('?backend=webgpu');
  const traces = () => page.evaluate(() => Object.keys(localStorage).filter((key) => key.endsWith('gpu-starting')));
  assert.deepEqual(await traces(), []);
  // While it starts, the trace is there: that is what a crash would leave.
  await page.addInitScript(() => {
    const set = Storage.prototype.setItem;
    Storage.prototype.setItem = function (key, value) {
      if (key.endsWith('gpu-starting')) document.documentElement.dataset.trace = value;
      set.call(this, key, value);
    };
  });
  await visit('?backend=webgpu');
  assert.equal(await page.evaluate(() => document.documentElement.dataset.trace), 'true');
});
