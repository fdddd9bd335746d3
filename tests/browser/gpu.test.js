// The whole page on the graphics processor (the software adapter, where there is none): same answer, and its loss survived.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { answered, drawn, NO_DATA } from './app.js';
import { GPU_ARGUMENTS } from './modules.js';
import { ask, becomes, DIST, launch, missing, ready, serve } from './site.js';

const FILM = answered('film.jpg');
/** The same film under another name each time; what is drawn is refused, and so has no numbers to compare. @param {string} name */
const film = (name) => FILM ? { ...FILM, name } : drawn(name);
/** @type {{ files: Record<string, { path: string, bytes: number, sha256: string }> }} */
const MANIFEST = JSON.parse(readFileSync(path.join(DIST, 'assets.json'), 'utf8'));
const NO_GPU = !MANIFEST.files['generated/webgpu/deepbreath_bg.wasm'] && 'skipped: this build has no program for WebGPU';

/** Keeps the devices that the program opens, so that a test can take one away. */
const KEEP_DEVICES = `
const request = GPUAdapter.prototype.requestDevice;
globalThis.devices = [];
GPUAdapter.prototype.requestDevice = async function (...wishes) {
  const device = await request.apply(this, wishes);
  devices.push(device);
  return device;
};
`;

/** The worker with KEEP_DEVICES before it, under a digest that fits. @param {string} name @param {Buffer} bytes */
function keepDevices(name, bytes) {
  const asset = MANIFEST.files['worker.js'];
  assert.ok(asset);
  if (name === asset.path) return Buffer.concat([Buffer.from(KEEP_DEVICES), bytes]);
  if (name !== 'assets.json') return bytes;
  const worker = Buffer.concat([Buffer.from(KEEP_DEVICES), readFileSync(path.join(DIST, asset.path))]);
  return Buffer.from(bytes.toString().replace(asset.sha256, createHash('sha256').update(worker).digest('hex')));
}

/** @type {import('playwright-core').Browser} */
let browser;
/** @type {Awaited<ReturnType<typeof serve>>} */
let site;
before(async () => {
  [browser, site] = [await launch(GPU_ARGUMENTS), await serve({ change: keepDevices })];
});
after(async () => {
  await browser?.close();
  site?.close();
});

/** @param {import('playwright-core').Page} page */
const engine = (page) => page.locator('#engine').textContent();

test('the sealed page answers on the graphics processor, and goes on when that is lost', { skip: NO_GPU, timeout: 600_000 }, async (context) => {
  const page = await browser.newPage();
  await page.goto(`${site.url}?backend=cpu`);
  const expected = await ask(await ready(page), film('expected.jpg'));
  if (FILM) assert.equal(Object.values(expected.probabilities).length, 3, 'there are numbers to compare');
  else context.diagnostic(missing(NO_DATA).replace('skipped', 'no numbers are compared'));
  await page.goto(`${site.url}?backend=webgpu`);
  const app = await ready(page, 400_000);
  await becomes(() => engine(page), 'Graphics processor (WebGPU): asked for.');

  const compare = async (/** @type {string} */ name, /** @type {RegExp} */ backend) => {
    const { error, facts, probabilities } = await ask(app, film(name), 400_000);
    assert.equal(error, undefined);
    assert.match(facts, backend);
    assert.deepEqual(Object.keys(probabilities), Object.keys(expected.probabilities));
    for (const [label, probability] of Object.entries(expected.probabilities)) {
      const found = probabilities[label] ?? NaN;
      assert.ok(Math.abs(found - probability) < 1e-3, `${label}: ${found} on the GPU, ${probability} on the processor`);
    }
  };
  const lose = async () => {
    const [worker] = page.workers();
    assert.equal(await worker?.evaluate('devices.length'), 1);
    await worker?.evaluate('devices[0].destroy()');
  };
  const note = app.locator('#engine-note');
  await compare('first.jpg', /webgpu/);
  assert.equal(await note.isVisible(), false);
  await lose();
  await compare('second.jpg', /webgpu/);
  await becomes(() => note.innerText(), /^The graphics card answers again: it was lost and started anew/);
  await lose();
  await compare('third.jpg', /cpu/);
  await becomes(() => note.innerText(), /^The processor answers, with the same network: the graphics processor failed: /);
  await becomes(() => engine(page), /^Processor \(CPU\): the graphics processor failed: /);
  await becomes(() => page.locator('#network-state').innerText(), /: sealed/);
  await page.close();
});
