// Which engine a machine gets: asked for, measured, remembered, forgotten, and left alone after a crash. The program for
// the graphics processor is the processor's here: what is tested is the choice.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { application, ask, becomes, DIST, launch, phantom, ready, serve } from './site.js';

/** @type {import('playwright-core').Browser} */
let browser;
/** @type {import('playwright-core').BrowserContext} */
let context;
/** @type {import('playwright-core').Page} */
let page;
/** @type {Awaited<ReturnType<typeof serve>>} */
let site;

const FILM = { name: 'phantom.png', mimeType: 'image/png', buffer: phantom() };
/** What the program for the graphics processor has at its end. */
let fault = '';
/** Its start never ends. */
const NEVER = '\nClassifier.prototype.verify = () => new Promise(() => {});';
/** Its device is lost as soon as the worker says so. */
const LOSES = `
const real = Classifier.prototype.assess;
Classifier.prototype.assess = function (...values) {
  if (globalThis.lost) return Promise.reject(Object.assign(new Error('the device is gone'), { code: 'device-lost' }));
  return real.apply(this, values);
};`;

/** @param {Buffer} bytes */
const faulty = (bytes) => Buffer.concat([bytes, Buffer.from(fault)]);

/** The processor's program under both names, the second one with the fault. @param {string} name @param {Buffer} bytes @param {string} query */
function twoPrograms(name, bytes, query) {
  if (query === '?webgpu' && name.endsWith('.js')) return faulty(bytes);
  if (name !== 'assets.json') return bytes;
  const manifest = JSON.parse(bytes.toString());
  for (const file of ['deepbreath.js', 'deepbreath_bg.wasm']) {
    const asset = { ...manifest.files[`generated/cpu/${file}`] };
    if (file.endsWith('.js')) asset.sha256 = createHash('sha256').update(faulty(readFileSync(path.join(DIST, asset.path)))).digest('hex');
    manifest.files[`generated/webgpu/${file}`] = { ...asset, path: `${asset.path}?webgpu` };
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
  fault = '';
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
  assert.equal((await ask(await ready(page), FILM)).error, undefined);
});

/** What a start of the graphics processor that has not ended leaves. */
const traces = () => page.evaluate(() => Object.keys(localStorage).filter((key) => key.endsWith('gpu-starting')));

test('a start that ends, well or not, leaves no trace of a crash', async () => {
  await adapter(false);
  await visit('?backend=webgpu');
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

test('nor does a start after the device was lost', async () => {
  await adapter(false);
  fault = LOSES;
  await visit('?backend=webgpu');
  const [worker] = page.workers();
  await worker?.evaluate(() => Object.assign(globalThis, { lost: true }));
  assert.equal((await ask(await ready(page), FILM)).error, undefined);
  assert.ok(worker && !page.workers().includes(worker), 'another worker answered');
  assert.equal(await page.locator('#engine').textContent(), 'Graphics processor (WebGPU): asked for.');
  await becomes(traces, []);
});

test('nor does a page that is left during the start', async () => {
  await adapter(false);
  fault = NEVER;
  await page.goto(`${site.url}?backend=webgpu`);
  await application(page);
  await becomes(async () => (await traces()).length, 1);
  await page.goto(`${site.url}blank.html`);
  assert.deepEqual(await traces(), []);
});

test('a start that never ends gives way to the processor, which is said and remembered', async () => {
  await adapter(false);
  fault = NEVER;
  // Time goes by faster for whoever waits for the graphics processor.
  await page.addInitScript(() => {
    const wait = globalThis.setTimeout;
    Object.assign(globalThis, { setTimeout: (/** @type {() => void} */ then, milliseconds = 0, /** @type {unknown[]} */ ...values) => wait(then, milliseconds >= 20_000 ? 500 : milliseconds, ...values) });
  });
  const words = 'Processor (CPU): the graphics processor failed: it did not start within 20 seconds.';
  assert.equal((await visit()).engine, words);
  assert.equal((await ask(await ready(page), FILM)).error, undefined);
  assert.deepEqual(await traces(), []);
  const { engine, gpuFetched } = await visit();
  assert.deepEqual([engine, gpuFetched], [words, false]);
});
