// The built page in a real browser: the same numbers as the trainer, errors a person can read.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, beforeEach, afterEach, describe, test } from 'node:test';
import { ask, becomes, DATA, launch, missing, phantom, ready, ROOT, serve } from './site.js';

const TRAINER = process.env.DEEPBREATH_TRAINER ?? '';
const WEIGHTS = process.env.DEEPBREATH_WEIGHTS || path.join(ROOT, 'weights/deepbreath.safetensors');

/** Largest difference between the browser's and the trainer's probabilities. */
const TOLERANCE = 1e-3;

/** @type {Awaited<ReturnType<typeof serve>>} */
let site;
/** @type {import('playwright-core').Browser} */
let browser;
/** @type {import('playwright-core').Page} */
let page;
/** @type {import('playwright-core').Frame} */
let app;
/** @type {string[]} Everything that a well-behaved page has not: console errors, uncaught exceptions. */
let complaints;

before(async () => {
  site = await serve();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  site?.close();
});

beforeEach(async () => {
  page = await browser.newPage();
  complaints = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  await page.goto(site.url);
  app = await ready(page);
});
afterEach(() => page.close());

/**
 * What `trainer predict --json` says about an image file.
 * @param {string} image
 * @returns {Record<string, number>}
 */
function predicted(image) {
  const output = execFileSync(TRAINER, ['predict', '--json', '--weights', WEIGHTS, image], { encoding: 'utf8' });
  return JSON.parse(output).probabilities;
}

/**
 * @param {Record<string, number>} actual
 * @param {Record<string, number>} expected
 */
function assertClose(actual, expected) {
  assert.deepEqual(Object.keys(actual).sort(), Object.keys(expected).sort());
  for (const [label, probability] of Object.entries(expected)) {
    const found = actual[label] ?? NaN;
    assert.ok(Math.abs(found - probability) <= TOLERANCE, `${label}: ${found} here, ${probability} from the trainer`);
  }
}

/** The first test film of the manifest whose name a test may rely on. */
function film() {
  const manifest = path.join(DATA, 'cxr/manifest.csv');
  if (!existsSync(manifest)) return undefined;
  const row = readFileSync(manifest, 'utf8').split('\n').find((line) => line.startsWith('siim/') && line.endsWith(',test'));
  return row && path.join(DATA, 'cxr', row.slice(0, row.indexOf(',')));
}

describe('real images give the probabilities of `trainer predict`', () => {
  const cases = {
    JPEG: film(),
    DICOM: path.join(DATA, 'dicom/chest-rsna-mono2-jpeg-baseline.dcm'),
  };
  for (const [kind, image] of Object.entries(cases)) {
    test(kind, async (context) => {
      if (!image || !existsSync(image)) return context.skip(missing(`skipped: no ${kind} in ${DATA} (set DEEPBREATH_DATA)`));
      if (!existsSync(TRAINER)) return context.skip(missing('skipped: no trainer program (set DEEPBREATH_TRAINER)'));
      const answer = await ask(app, image);
      assert.equal(answer.error, undefined);
      assert.match(answer.facts, /cpu/);
      assertClose(answer.probabilities, predicted(image));
    });
  }
});

test('a generated PNG is answered or refused, with the disclaimer beside the answer', async () => {
  const answer = await ask(app, { name: 'phantom.png', mimeType: 'image/png', buffer: phantom() });
  assert.equal(answer.error, undefined);
  assert.equal(answer.disclaimer, 'For education and research. Not a diagnosis.');
  assert.match(answer.facts, /phantom\.png.*PNG/);
  if (/does not look like a frontal/.test(answer.call)) {
    assert.deepEqual(answer.probabilities, {});
    assert.notEqual(answer.reasons, '');
  } else {
    const sum = Object.values(answer.probabilities).reduce((total, probability) => total + probability, 0);
    assert.ok(Math.abs(sum - 1) < 1e-4, `the probabilities' sum is ${sum}`);
  }
  assert.deepEqual(complaints, []);
});

test('the picture shown is the one that Rust decoded', async () => {
  await ask(app, { name: 'phantom.png', mimeType: 'image/png', buffer: phantom() });
  await becomes(() => app.locator('#image').evaluate((canvas) => {
    if (!(canvas instanceof HTMLCanvasElement)) throw new Error('no canvas');
    const at = (/** @type {number} */ x, /** @type {number} */ y) => canvas.getContext('2d')?.getImageData(x, y, 1, 1).data[0];
    return [canvas.width, canvas.height, at(95, 144), at(160, 150)];
  }), [320, 300, 50, 190]);
});

test('evidence for a finding is drawn over the image, and only on demand', async (context) => {
  const answer = await ask(app, film() ?? { name: 'phantom.png', mimeType: 'image/png', buffer: phantom() });
  if (/does not look like a frontal/.test(answer.call)) return context.skip(missing('skipped: the weights refuse the generated film, and there is no other'));
  const overlay = app.locator('#overlay');
  assert.equal(await overlay.isVisible(), false);
  let opaque = 0;
  for (const label of Object.keys(answer.probabilities)) {
    await app.locator('#saliency-findings label', { has: app.locator(`input[value="${label}"]`) }).click();
    await overlay.waitFor();
    opaque += await overlay.evaluate((canvas) => {
      if (!(canvas instanceof HTMLCanvasElement)) throw new Error('no canvas');
      const { data } = canvas.getContext('2d')?.getImageData(0, 0, canvas.width, canvas.height) ?? { data: [] };
      return data.filter((value, index) => index % 4 === 3 && value > 128).length;
    });
  }
  assert.ok(opaque > 0, 'no finding has a position that speaks for it');
  await app.locator('#saliency-findings label').first().click();
  await overlay.waitFor({ state: 'hidden' });
});

test('a broken file is refused in words, with a code, and the next file is answered', async () => {
  const broken = { name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('not an image at all') };
  const refused = await ask(app, broken);
  assert.equal(refused.error?.code, 'unknown-format');
  assert.match(refused.error?.message ?? '', /notes\.txt/);
  const cut = { name: 'cut.png', mimeType: 'image/png', buffer: phantom().subarray(0, 200) };
  const truncated = await ask(app, cut);
  assert.ok(truncated.error && truncated.error.code !== 'internal', 'a cut file is a typed error');
  assert.match(truncated.error.message, /cut\.png/);
  const good = await ask(app, { name: 'phantom.png', mimeType: 'image/png', buffer: phantom() });
  assert.equal(good.error, undefined);
});
