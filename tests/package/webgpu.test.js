// The packed package on WebGPU (the software adapter, where there is no GPU): the processor's probabilities, and what is
// said where no adapter is there or goes away.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { GPU_ARGUMENTS } from '../browser/modules.js';
import { launch, serve } from '../browser/site.js';
import { PACKAGE, project, TOLERANCE } from './installed.js';

/** @typedef {typeof import('../../www/client.js')} Client */

const MODULE = 'node_modules/deepbreath/client.js';
const skip = existsSync(path.join(PACKAGE, 'generated/webgpu/deepbreath_bg.wasm')) ? false : 'skipped: this package has no program for WebGPU';
/** Shaders of the software adapter take their time on a loaded machine. */
const timeout = 600_000;

/** Before a worker of the package whose device `lose()` takes away. */
const LOSABLE = `
const { requestDevice } = GPUAdapter.prototype;
let device;
GPUAdapter.prototype.requestDevice = async function (...wishes) { return device = await requestDevice.apply(this, wishes); };
globalThis.lose = () => device.destroy();
`;
/** Before a worker that finds no adapter. */
const NO_ADAPTER = 'globalThis.GPU && (GPU.prototype.requestAdapter = async () => null);\n';

/** @type {ReturnType<typeof project>} */
let made;
/** @type {import('playwright-core').Browser} */
let browser;

before(async () => {
  made = project();
  browser = await launch(GPU_ARGUMENTS);
});
after(async () => {
  await browser?.close();
  made?.remove();
});

/**
 * A page of a site whose workers begin with some code.
 * @param {string[]} codes That of the first worker, the second and so on; the last one stays.
 * @param {(page: import('playwright-core').Page) => Promise<void>} body
 */
async function withPage(codes, body) {
  let started = 0;
  const server = await serve({
    folder: made.folder,
    change: (name, bytes) => {
      if (!name.endsWith('deepbreath/worker.js')) return bytes;
      return Buffer.concat([Buffer.from(codes[Math.min(started++, codes.length - 1)] ?? ''), bytes]);
    },
  });
  const page = await browser.newPage();
  page.setDefaultTimeout(timeout);
  try {
    await page.goto(`${server.url}blank.html`);
    await page.evaluate(async (module) => {
      const { Classifier } = /** @type {Client} */ (await import(new URL(module, document.baseURI).href));
      const scope = /** @type {any} */ (globalThis);
      scope.told = [];
      /** @param {'cpu' | 'webgpu'} backend */
      scope.load = async (backend) => {
        scope.classifier = await Classifier.load({ weights: 'deepbreath.safetensors', backend });
        scope.classifier.addEventListener('backendchange', (/** @type {CustomEvent} */ { detail }) => scope.told.push(detail));
        return [scope.classifier.backend, scope.classifier.reason];
      };
      /** @param {string} name */
      scope.ask = async (name) => {
        const { backend, findings } = await scope.classifier.classify(new URL(name, document.baseURI));
        return { backend, findings };
      };
    }, MODULE);
    await body(page);
  } finally {
    await page.close();
    server.close();
  }
}

/** @param {import('playwright-core').Page} page @param {'cpu' | 'webgpu'} backend @returns {Promise<[string, string]>} */
const load = (page, backend) => page.evaluate((backend) => /** @type {any} */ (globalThis).load(backend), backend);

/**
 * @param {import('playwright-core').Page} page
 * @param {string} name
 * @returns {Promise<{ backend: string, findings: { label: string, probability: number }[] }>}
 */
const ask = (page, name) => page.evaluate((name) => /** @type {any} */ (globalThis).ask(name), name);

/** @param {{ label: string, probability: number }[]} found @param {{ label: string, probability: number }[]} expected */
function assertSame(found, expected) {
  assert.deepEqual(found.map(({ label }) => label), expected.map(({ label }) => label));
  for (const [index, { label, probability }] of found.entries()) {
    const far = Math.abs(probability - (expected[index]?.probability ?? NaN));
    assert.ok(far < TOLERANCE, `${label} differs by ${far}`);
  }
}

describe('the package on WebGPU', { skip, timeout }, () => {
  test('answers as on the processor; where the GPU goes away it goes on there, and tells', () => withPage(['', LOSABLE, NO_ADAPTER], async (page) => {
    assert.deepEqual(await load(page, 'cpu'), ['cpu', '']);
    const film = made.images.at(-1) ?? '';
    const expected = await ask(page, film);
    await page.evaluate('classifier.dispose()');

    assert.deepEqual(await load(page, 'webgpu'), ['webgpu', '']);
    const answer = await ask(page, film);
    assert.equal(answer.backend, 'webgpu');
    assertSame(answer.findings, expected.findings);

    const [worker] = page.workers();
    await worker?.evaluate('lose()');
    const last = await ask(page, film);
    assert.equal(last.backend, 'cpu');
    assertSame(last.findings, expected.findings);
    const told = /** @type {{ backend: string, reason: string }[]} */ (await page.evaluate('told'));
    assert.deepEqual(told.map(({ backend }) => backend), ['cpu']);
    assert.match(told[0]?.reason ?? '', /^the graphics processor failed: /);
  }));

  test('asked for where no adapter is there, it goes on with the processor and says why', () => withPage([NO_ADAPTER], async (page) => {
    const [backend, reason] = await load(page, 'webgpu');
    assert.equal(backend, 'cpu');
    assert.match(reason, /^the graphics processor failed: .*(adapter|GPU)/i);
    assert.equal((await ask(page, made.images[0] ?? '')).backend, 'cpu');
  }));
});
