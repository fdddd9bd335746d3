// The webgpu module on whatever adapter the browser has, or its software one: the trainer's numbers, and a lost GPU.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { assertPredicted, comparable, GENERATED, GPU_ARGUMENTS, launchWith, NO_TRAINER, predicted, serveModules, TRAINER } from './modules.js';
import { missing, phantom } from './site.js';

/** A run with 49 convolutions on the software adapter: burn's kernels, without needless copies. */
const MOST_DISPATCHES = 130;

/** Why there is nothing to test, or false. */
const skip = existsSync(path.join(GENERATED, 'webgpu/deepbreath_bg.wasm')) ? false : 'skipped: built without the webgpu module';

/** @type {Awaited<ReturnType<typeof serveModules>>} */
let server;
/** @type {import('playwright-core').Browser} */
let browser;
/** @type {import('playwright-core').Page} */
let page;
/** @type {string[]} */
let complaints;

before(async () => {
  if (skip) return;
  server = await serveModules();
  browser = await launchWith(GPU_ARGUMENTS);
});
after(async () => {
  await browser?.close();
  server?.close();
});
beforeEach(async () => {
  if (skip) return;
  page = await browser.newPage();
  page.setDefaultTimeout(120_000);
  complaints = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  await page.goto(server.url);
  await page.evaluate(prepare);
});
afterEach(() => page?.close());

/** In the page: counts what goes to the GPU, keeps its devices, and offers `load`. */
function prepare() {
  const scope = /** @type {any} */ (globalThis);
  scope.counts = { dispatches: 0, submits: 0 };
  scope.devices = [];
  const { requestDevice } = scope.GPUAdapter.prototype;
  scope.GPUAdapter.prototype.requestDevice = async function (/** @type {any[]} */ ...options) {
    const device = await requestDevice.apply(this, options);
    scope.devices.push(device);
    return device;
  };
  /** @type {(type: string, method: string, count: string) => void} */
  const counted = (type, method, count) => {
    const original = scope[type].prototype[method];
    scope[type].prototype[method] = function (/** @type {any[]} */ ...values) {
      scope.counts[count]++;
      return original.apply(this, values);
    };
  };
  counted('GPUComputePassEncoder', 'dispatchWorkgroups', 'dispatches');
  counted('GPUComputePassEncoder', 'dispatchWorkgroupsIndirect', 'dispatches');
  counted('GPUQueue', 'submit', 'submits');
  scope.load = async () => {
    const module = await import(`${location.origin}/webgpu/deepbreath.js`);
    await module.default();
    const weights = await (await fetch('/weights')).arrayBuffer();
    return module.Classifier.load('weights', new Uint8Array(weights));
  };
  // Files are read by the processor's module, as in worker.js.
  scope.classify = async (/** @type {any} */ classifier, /** @type {string} */ file, /** @type {Uint8Array} */ bytes, /** @type {any} */ options) => {
    const files = await import(`${location.origin}/cpu/deepbreath.js`);
    await files.default();
    const { film, values } = files.read(file, bytes);
    return classifier.assess(film, values, options);
  };
  scope.bytes = (/** @type {string} */ text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

test('the GPU answers as `trainer predict` does: a JPEG of each label, and a PNG of 16 bits', { skip }, async (context) => {
  if (!existsSync(TRAINER)) return context.skip(missing(NO_TRAINER));
  const folder = mkdtempSync(path.join(tmpdir(), 'deepbreath-webgpu-'));
  try {
    const { films } = await comparable(folder);
    const expected = predicted(films);
    await page.evaluate(async () => {
      const scope = /** @type {any} */ (globalThis);
      scope.classifier = await scope.load();
    });
    for (const film of films) {
      const { answer, property } = await page.evaluate(async (text) => {
        const scope = /** @type {any} */ (globalThis);
        const answer = await scope.classify(scope.classifier, 'film', scope.bytes(text), { saliency: true });
        return { answer, property: scope.classifier.backend };
      }, readFileSync(film).toString('base64'));
      assert.deepEqual([answer.backend, property], ['webgpu', 'webgpu']);
      assertPredicted(path.basename(film), answer, expected.get(film));
      const peaks = answer.saliency.map((/** @type {any} */ map) => map.peak);
      assert.ok(answer.refused || peaks.some((/** @type {number} */ peak) => peak > 0), 'no finding has a position that speaks for it');
    }
    context.diagnostic(`${films.length} films`);
    assert.deepEqual(complaints, []);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('the golden vectors pass, and a run takes few dispatches', { skip }, async (context) => {
  const { largest, metadata, counts } = await page.evaluate(async () => {
    const scope = /** @type {any} */ (globalThis);
    const classifier = await scope.load();
    const largest = await classifier.verify();
    await classifier.warmUp();
    scope.counts = { dispatches: 0, submits: 0 };
    await classifier.verify(); // One run for each golden vector.
    return { largest, metadata: classifier.metadata, counts: scope.counts };
  });
  const runs = metadata.golden.length;
  context.diagnostic(`largest difference ${largest}; ${counts.dispatches / runs} dispatches, ${counts.submits / runs} submits a run`);
  assert.ok(largest <= metadata.golden[0].tolerance);
  assert.match(metadata.id, /^[0-9a-f]{12}$/);
  assert.ok(counts.dispatches > 0 && counts.dispatches <= MOST_DISPATCHES * runs, `${counts.dispatches / runs} dispatches a run`);
  assert.deepEqual(complaints, []);
});

test('a GPU lost in the middle or before is `device-lost`, and a new classifier answers', { skip }, async () => {
  const codes = await page.evaluate(async (text) => {
    const scope = /** @type {any} */ (globalThis);
    const bytes = scope.bytes(text);
    const code = (/** @type {Promise<any>} */ answer) => answer.then(() => 'answered', (/** @type {any} */ error) => error.code ?? `${error}`);
    const classifier = await scope.load();
    await classifier.warmUp();
    const running = code(scope.classify(classifier, 'film.png', bytes));
    scope.devices.at(-1).destroy();
    const codes = [await running, await code(scope.classify(classifier, 'film.png', bytes)), await code(classifier.verify())];
    classifier.free();
    const next = await scope.load();
    codes.push(await code(scope.classify(next, 'film.png', bytes)));
    // Lost between two images, with nothing under way.
    scope.devices.at(-1).destroy();
    await new Promise((resolve) => setTimeout(resolve, 100));
    codes.push(await code(scope.classify(next, 'film.png', bytes)));
    return codes;
  }, phantom().toString('base64'));
  assert.deepEqual(codes, ['device-lost', 'device-lost', 'device-lost', 'answered', 'device-lost']);
  assert.deepEqual(complaints, []);
});

test('without a GPU the code is `no-gpu`', { skip }, async () => {
  const code = await page.evaluate(async () => {
    const scope = /** @type {any} */ (globalThis);
    scope.GPU.prototype.requestAdapter = async () => null;
    return scope.load().then(() => 'loaded', (/** @type {any} */ error) => error.code ?? `${error}`);
  });
  assert.equal(code, 'no-gpu');
});
