// The built site in a headless browser: server, browser and request log for the tests and the benchmark.

import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import path from 'node:path';
import { crc32, deflateSync } from 'node:zlib';
import { chromium } from 'playwright-core';

export const ROOT = path.resolve(import.meta.dirname, '../..');
export const DIST = path.join(ROOT, 'dist');

/** The site must work below any path. */
const PREFIX = '/a/longer path/';

const BROWSER_ARGUMENTS = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** @type {Record<string, string>} */
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
};

/**
 * Serves a folder, `dist/` unless told otherwise, below a sub-path and logs every request that arrives.
 * @param {string} [folder]
 * @returns {Promise<{ url: string, served: string[], close(): void }>}
 */
export async function serve(folder = DIST) {
  /** @type {string[]} */
  const served = [];
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    served.push(pathname);
    const name = decodeURI(pathname);
    const file = path.join(folder, name.slice(PREFIX.length) || 'index.html');
    const found = name.startsWith(PREFIX) && file.startsWith(folder + path.sep) && (await stat(file).catch(() => undefined));
    if (!found || !found.isFile()) return response.writeHead(404).end();
    const type = TYPES[path.extname(file)] ?? 'application/octet-stream';
    response.writeHead(200, { 'content-type': type, 'content-length': found.size });
    createReadStream(file).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  const address = server.address();
  if (!address || typeof address === 'string') throw new Error('the server has no port');
  return { url: `http://localhost:${address.port}${encodeURI(PREFIX)}`, served, close: () => server.close() };
}

/** @returns {Promise<import('playwright-core').Browser>} */
export function launch() {
  return chromium.launch({
    executablePath: process.env.DEEPBREATH_BROWSER ?? '/usr/bin/chromium',
    args: BROWSER_ARGUMENTS,
  });
}

/**
 * Waits until the page can take an image.
 * @param {import('playwright-core').Page} page
 */
export async function ready(page) {
  await page.locator('#status:is([data-state=ready], [data-state=failed])').waitFor({ timeout: 60_000 });
  const state = await page.locator('#status').getAttribute('data-state');
  if (state !== 'ready') throw new Error(`not ready: ${await page.locator('#error-message').textContent()}`);
}

/**
 * Gives a file to the page as a user would and reads the answer from the document.
 * @param {import('playwright-core').Page} page
 * @param {string | { name: string, mimeType: string, buffer: Buffer }} file
 */
export async function ask(page, file) {
  await page.locator('#file').setInputFiles(file);
  await page.locator(':is(#assessment, #error):not([hidden])').waitFor({ timeout: 60_000 });
  await ready(page);
  return page.evaluate(() => {
    /** @param {string} selector */
    const text = (selector) => document.querySelector(selector)?.textContent ?? '';
    const visible = (/** @type {string} */ selector) => !!document.querySelector(`${selector}:not([hidden])`);
    const rows = [...document.querySelectorAll('#findings li')].filter((row) => row instanceof HTMLElement);
    return {
      error: visible('#error') ? { code: text('#error-code'), message: text('#error-message') } : undefined,
      call: text('#call'),
      reasons: text('#reasons'),
      facts: text('#facts'),
      disclaimer: text('#disclaimer'),
      probabilities: Object.fromEntries(rows.map((row) => [row.dataset.label ?? '', Number(row.dataset.probability)])),
    };
  });
}

/**
 * An 8-bit grey PNG (ISO/IEC 15948) of any picture.
 * @param {number} width
 * @param {number} height
 * @param {(x: number, y: number) => number} grey 0 black to 255 white
 */
export function png(width, height, grey) {
  const rows = Buffer.alloc((width + 1) * height); // Each row begins with filter type 0.
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) rows[y * (width + 1) + 1 + x] = grey(x, y);
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = 8; // bits; colour type 0 is grey
  /** @param {string} name @param {Buffer} data */
  const chunk = (name, data) => {
    const body = Buffer.concat([Buffer.from(name, 'latin1'), data]);
    const frame = Buffer.alloc(8);
    frame.writeUInt32BE(data.length, 0);
    frame.writeUInt32BE(crc32(body), 4);
    return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)]);
  };
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([signature, chunk('IHDR', header), chunk('IDAT', deflateSync(rows)), chunk('IEND', Buffer.alloc(0))]);
}

/** Something chest-like: two dark lungs in a bright body. */
export function phantom() {
  return png(320, 300, (x, y) => {
    const lung = (/** @type {number} */ centre) => ((x - centre) / 60) ** 2 + ((y - 150) / 105) ** 2 < 1;
    return lung(95) || lung(225) ? 50 + (y % 24) : 190 - Math.abs(x - 160) / 2;
  });
}
