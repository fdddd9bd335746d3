// The built site in a headless browser: server, browser and request log for the tests and the benchmark.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import path from 'node:path';
import { crc32, deflateSync } from 'node:zlib';
import { chromium } from 'playwright-core';

export const ROOT = path.resolve(import.meta.dirname, '../..');
/** Films and DICOM files, where there are any. */
export const DATA = process.env.DEEPBREATH_DATA ?? path.resolve(ROOT, '../shared/data');
export const DIST = path.join(ROOT, 'dist');
/** The page's sources with the built modules: what an embedding page serves. */
export const SOURCES = path.join(ROOT, 'www');

/** What was said already: many tests of a file lack the same. @type {Set<string>} */
const said = new Set();

/**
 * What is said of a test that has no data, trainer or package to work with, also on stderr with the file of the test (the
 * reporter names the test itself); it fails instead where they are required.
 * @param {string} why
 */
export function missing(why) {
  if (process.env.DEEPBREATH_REQUIRE_DATA) throw new Error(`${why.replace('skipped: ', '')}; DEEPBREATH_REQUIRE_DATA is set`);
  if (!said.has(why)) process.stderr.write(`${path.basename(process.argv[1] ?? 'a test')}: ${why}\n`);
  said.add(why);
  return why;
}

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
  '.json': 'application/json',
  '.png': 'image/png',
  '.webmanifest': 'application/manifest+json',
};

/**
 * Serves a folder below a sub-path and logs every request that arrives. `blank.html` is an empty page.
 * @param {{ folder?: string, change?: (name: string, bytes: Buffer, query: string) => Buffer, headers?: Record<string, string>,
 *   silent?: (name: string) => boolean, status?: (name: string) => number }} [options] `change` may alter what is sent; `headers` come with every file; `silent`
 *   says whether requests of a file are accepted and never answered.
 */
export async function serve({ folder = DIST, change = (_, bytes) => bytes, headers = {}, silent = () => false, status = () => 200 } = {}) {
  /** @type {string[]} */
  const served = [];
  /** @type {string[]} The same with what follows a question mark. */
  const asked = [];
  const server = createServer(async (request, response) => {
    const { pathname, search } = new URL(request.url ?? '/', 'http://localhost');
    served.push(pathname);
    asked.push(pathname + search);
    const name = decodeURI(pathname).slice(PREFIX.length) || 'index.html';
    if (silent(name)) return;
    const file = path.join(folder, name);
    const inside = decodeURI(pathname).startsWith(PREFIX) && file.startsWith(folder + path.sep);
    const bytes = name === 'blank.html' ? Buffer.from('<!doctype html>') : inside && (await readFile(file).catch(() => undefined));
    if (!bytes) return response.writeHead(404).end();
    const body = change(name, bytes, search);
    const type = TYPES[path.extname(file)] ?? 'application/octet-stream';
    response.writeHead(status(name), { 'content-type': type, 'content-length': body.length, ...headers }).end(body);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  const address = server.address();
  if (!address || typeof address === 'string') throw new Error('the server has no port');
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://localhost:${address.port}${encodeURI(PREFIX)}`, served, asked, close };
}

/**
 * @param {string[]} [more] Further arguments of the browser.
 * @returns {Promise<import('playwright-core').Browser>}
 */
export function launch(more = []) {
  return chromium.launch({
    executablePath: process.env.DEEPBREATH_BROWSER ?? '/usr/bin/chromium',
    args: [...BROWSER_ARGUMENTS, ...more],
  });
}

/**
 * The sealed frame of a page: what takes images and shows answers.
 * @param {import('playwright-core').Page} page
 * @returns {Promise<import('playwright-core').Frame>}
 */
export async function application(page) {
  const frame = await (await page.waitForSelector('#place iframe', { timeout: 30_000 })).contentFrame();
  if (!frame) throw new Error('the page has no frame');
  return frame;
}

/**
 * Waits until the application can take an image.
 * @param {import('playwright-core').Page} page
 * @param {number} [timeout] Milliseconds.
 * @returns {Promise<import('playwright-core').Frame>}
 */
export async function ready(page, timeout) {
  const app = await application(page);
  await settled(app, timeout);
  return app;
}

/**
 * Waits until nothing is under way.
 * @param {import('playwright-core').Frame} app
 */
export async function settled(app, timeout = 60_000) {
  await app.locator('#status:is([data-state=ready], [data-state=failed])').waitFor({ timeout });
  const state = await app.locator('#status').getAttribute('data-state');
  if (state !== 'ready') throw new Error(`not ready: ${await app.locator('#error-message').textContent()}`);
}

/** How long a page may take to show what an event leads to, in milliseconds; a loaded machine takes its time. */
const PATIENCE = 15_000;

/**
 * Waits until what is read is as wanted: a page draws in a later frame, and messages between processes take their time.
 * @template T
 * @param {() => Promise<T>} read
 * @param {T | RegExp | ((value: T) => boolean)} wanted A value to equal, a pattern to match, or what to ask.
 * @param {string} [message]
 */
export async function becomes(read, wanted, message) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const value = await read();
    try {
      if (wanted instanceof RegExp) assert.match(String(value), wanted, message);
      else if (wanted instanceof Function) assert.ok(wanted(value), `${message ?? wanted}: ${JSON.stringify(value)}`);
      else assert.deepEqual(value, wanted, message);
      return;
    } catch (error) {
      if (Date.now() > end) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}

/**
 * Gives a file to the application as a user would and reads the answer from the document.
 * @param {import('playwright-core').Frame} app
 * @param {string | { name: string, mimeType: string, buffer: Buffer }} file
 * @param {number} [timeout] Milliseconds.
 */
export async function ask(app, file, timeout = 60_000) {
  const name = typeof file === 'string' ? path.basename(file) : file.name;
  await app.locator('#file').setInputFiles(file);
  await app.locator('#assessment:not([hidden]) #facts, #error:not([hidden])', { hasText: name }).waitFor({ timeout });
  await settled(app, timeout);
  return app.evaluate(() => {
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
 * A grey PNG (ISO/IEC 15948) of any picture.
 * @param {number} width
 * @param {number} height
 * @param {(x: number, y: number) => number} grey 0 black to 255 white, or 65535 for 16 bits
 * @param {8 | 16} [bits]
 */
export function png(width, height, grey, bits = 8) {
  const stride = 1 + (width * bits) / 8;
  const rows = Buffer.alloc(stride * height); // Each row begins with filter type 0.
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (bits === 8) rows[y * stride + 1 + x] = grey(x, y);
      else rows.writeUInt16BE(grey(x, y), y * stride + 1 + 2 * x);
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = bits; // colour type 0 is grey
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
