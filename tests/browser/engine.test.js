// client.js as an embedding page uses it: the sources as they are, no sealed frame.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launch, phantom, serve, SOURCES } from './site.js';

/** @typedef {typeof import('../../www/client.js')} Client */

const WEIGHTS = 'generated/weights/deepbreath.safetensors';
const BYTES = phantom().toString('base64');

/** @type {Awaited<ReturnType<typeof serve>>} */
let site;
/** @type {import('playwright-core').Browser} */
let browser;

before(async () => {
  browser = await launch();
});
after(() => browser?.close());

/**
 * Runs `body` in an empty page beside client.js; `image` is a generated film in base64.
 * @template T
 * @param {(client: Client, given: { weights: string, image: string }) => Promise<T>} body
 * @param {Parameters<typeof serve>[0]} [options]
 */
async function embedded(body, options) {
  site = await serve({ folder: SOURCES, ...options });
  const page = await browser.newPage();
  try {
    await page.goto(`${site.url}blank.html`);
    return await page.evaluate(`(async () => (${body})(await import('./client.js'), ${JSON.stringify({ weights: WEIGHTS, image: BYTES })}))()`);
  } finally {
    await page.close();
    site.close();
  }
}

describe('requests', () => {
  test('a file, a blob and bytes are answered alike, and bytes stay the caller\'s', async () => {
    const answers = await embedded(async ({ Classifier }, { weights, image }) => {
      const classifier = await Classifier.load({ weights, backend: 'cpu' });
      const bytes = Uint8Array.from(atob(image), (letter) => letter.charCodeAt(0));
      const sources = [new File([bytes], 'film.png'), new Blob([bytes]), bytes, bytes.buffer, bytes];
      const all = [];
      for (const source of sources) {
        const { file, findings, backend } = await classifier.classify(source);
        all.push({ file, backend, first: findings[0]?.probability, length: bytes.length });
      }
      return all;
    });
    const [first] = /** @type {any[]} */ (answers);
    assert.equal(first.file, 'film.png');
    assert.ok(first.length > 1000);
    for (const answer of /** @type {any[]} */ (answers).slice(1)) assert.deepEqual(answer, { ...first, file: 'image' });
  });

  test('an aborted request rejects with the reason of its signal, and the next one is answered', async () => {
    const outcome = await embedded(async ({ Classifier }, { weights, image }) => {
      const classifier = await Classifier.load({ weights, backend: 'cpu' });
      const bytes = Uint8Array.from(atob(image), (letter) => letter.charCodeAt(0));
      const abort = new AbortController();
      const pending = [classifier.classify(bytes, { signal: abort.signal }), classifier.classify(bytes, { signal: abort.signal })];
      const last = classifier.classify(bytes);
      abort.abort();
      const names = await Promise.all(pending.map((one) => one.then(() => 'answered', (error) => error.name)));
      return [...names, (await last).backend];
    });
    assert.deepEqual(outcome, ['AbortError', 'AbortError', 'cpu']);
  });
});
