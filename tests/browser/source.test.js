// What is too large is refused before it is read: in source.js itself, in Node.js, and in the page.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { MAX_FILE_BYTES, read } from '../../www/source.js';
import { cpuModule, WEIGHTS } from './modules.js';
import { ask, launch, phantom, ready, serve } from './site.js';

const MEBIBYTE = new Uint8Array(1 << 20);

/** @type {string} */
let folder;
/** @type {string} A file that says to have 5 GB, of which the disk holds none. */
let sparse;

before(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'deepbreath-source-'));
  sparse = path.join(folder, 'sparse.png');
  writeFileSync(sparse, '');
  truncateSync(sparse, 5e9);
});
after(() => rmSync(folder, { recursive: true }));

/** @param {Promise<unknown>} work @returns {Promise<{ code: string, message: string }>} */
const refusal = (work) => work.then(() => assert.fail('it was read'), (error) => ({ code: error.code, message: error.message }));

test('limit and words are those of the decoder', async () => {
  const module = await cpuModule();
  const decoded = async (/** @type {Uint8Array<ArrayBuffer>} */ bytes) => module.inputDigest('film.png', bytes);
  const bytes = new Uint8Array(MAX_FILE_BYTES + 1);
  assert.deepEqual(await refusal(read('film.png', bytes, undefined)), await refusal(decoded(bytes)));
  assert.equal((await refusal(decoded(bytes.subarray(1)))).code, 'unknown-format');
  assert.equal((await read('film.png', bytes.subarray(1), undefined)).length, MAX_FILE_BYTES);
});

describe('nothing is read of', () => {
  test('a blob, bytes and pixels', async () => {
    const blob = new Blob(Array.from({ length: 65 }, () => MEBIBYTE));
    for (const method of /** @type {const} */ (['arrayBuffer', 'stream', 'slice', 'text'])) {
      blob[method] = () => assert.fail('the blob was read');
    }
    const bytes = new Uint8Array(MAX_FILE_BYTES + 1);
    bytes.slice = bytes.buffer.slice = () => assert.fail('the bytes were copied');
    for (const source of [blob, bytes, bytes.buffer]) assert.equal((await refusal(read('film', source, undefined))).code, 'file-too-large');
  });

  test('an address whose server announces too much, and little of one whose server does not', async () => {
    let sent = 0;
    const server = createServer((request, response) => {
      const announced = request.url === '/announced.png';
      response.writeHead(200, announced ? { 'content-length': 5e9 } : {});
      const more = () => {
        while (!response.destroyed && response.write(MEBIBYTE)) sent += MEBIBYTE.length;
        sent += MEBIBYTE.length;
      };
      response.on('drain', more);
      more();
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
    try {
      const refused = (/** @type {string} */ name) => refusal(read(name, new URL(`http://127.0.0.1:${port}/${name}`), undefined));
      assert.deepEqual(await refused('announced.png'), {
        code: 'file-too-large', message: `announced.png: 5000000000 bytes, more than the limit of ${MAX_FILE_BYTES}. Export one film at a time, or a smaller copy`,
      });
      assert.ok(sent < 16 << 20, `${sent} bytes were sent`);
      sent = 0;
      const { code, message } = await refused('endless.png');
      assert.equal(code, 'file-too-large');
      assert.match(message, /^endless\.png: at least \d+ bytes, more than the limit/);
      assert.ok(sent < 2 * MAX_FILE_BYTES, `${sent} bytes were sent`);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  test('a file on the disk, in Node.js', async () => {
    const { Classifier } = await import('../../www/node.js');
    const classifier = await Classifier.load({ weights: WEIGHTS });
    try {
      const { code, message } = await refusal(classifier.classify(pathToFileURL(sparse)));
      assert.equal(code, 'file-too-large');
      assert.match(message, /^sparse\.png: 5000000000 bytes, more than the limit/);
    } finally {
      classifier.dispose();
    }
  });

  test('a file that is given to the page, and the next one is answered', async () => {
    const [browser, site] = [await launch(), await serve()];
    try {
      const page = await browser.newPage();
      await page.goto(site.url);
      const app = await ready(page);
      const refused = await ask(app, sparse);
      assert.equal(refused.error?.code, 'file-too-large');
      assert.equal((await ask(app, { name: 'phantom.png', mimeType: 'image/png', buffer: phantom() })).error, undefined);
    } finally {
      await browser.close();
      site.close();
    }
  });
});
