// Nothing leaves: every request while films are classified is recorded, and planted code tries to get out.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { FROM_DOCUMENT, FROM_FRAME, FROM_WORKER, KEEPING, LEAVING } from './attempts.js';
import { listen, networkLog } from './listener.js';
import { becomes, DATA, launch, missing, phantom, ready, serve } from './site.js';

/** @typedef {import('./attempts.js').Attempts} Attempts */

const FILMS = 50;
/** What a late request would need to arrive. */
const PATIENCE = 700;

/** @type {string} */
let scratch;
/** @type {Awaited<ReturnType<typeof serve>>} */
let site;
/** @type {Awaited<ReturnType<typeof listen>>} */
let listener;

before(async () => {
  scratch = await mkdtemp(path.join(tmpdir(), 'deepbreath-privacy-'));
  site = await serve();
});
after(async () => {
  site?.close();
  await rm(scratch, { recursive: true, force: true });
});

/** Films of the test split, or generated ones where the data is not there. */
function films() {
  const manifest = path.join(DATA, 'cxr/manifest.csv');
  if (existsSync(manifest)) {
    const rows = readFileSync(manifest, 'utf8').split('\n').filter((line) => line.endsWith(',test')).slice(0, FILMS);
    return rows.map((row) => path.join(DATA, 'cxr', row.slice(0, row.indexOf(','))));
  }
  missing(`drawn films only: no films in ${DATA} (set DEEPBREATH_DATA)`);
  return Array.from({ length: FILMS }, (_, index) => ({ name: `phantom-${index}.png`, mimeType: 'image/png', buffer: phantom() }));
}

/** @param {number} milliseconds */
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/**
 * Runs each attempt where `run` runs code; what one throws is no matter, because only the listener counts.
 * @param {Attempts} attempts
 * @param {(code: string) => Promise<unknown>} run
 */
async function attempt(attempts, run) {
  const aims = JSON.stringify({ target: listener.url, stun: listener.stun, own: site.url });
  const code = Object.values(attempts).map((body) => `Promise.race([(async () => (${body})(${aims}))().catch(() => {}), pause()])`);
  await run(`{ const pause = () => new Promise((resolve) => setTimeout(resolve, 1500)); Promise.all([${code.join(', ')}]).then(() => undefined) }`);
  await pause(PATIENCE);
}

/**
 * Names of the attempts that end well where `run` runs code.
 * @param {Attempts} attempts
 * @param {(code: string) => Promise<unknown>} run
 */
async function possible(attempts, run) {
  const aims = JSON.stringify({ target: 'http://127.0.0.1:1/', stun: '', own: site.url });
  const late = 'new Promise((_, reject) => setTimeout(reject, 3000))';
  const code = Object.entries(attempts).map(([name, body]) =>
    `Promise.race([(async () => (${body})(${aims}))(), ${late}]).then(() => ['${name}'], () => [])`);
  return /** @type {string[]} */ (await run(`Promise.all([${code.join(', ')}]).then((names) => names.flat())`));
}

test(`${FILMS} films are classified without a single request`, async () => {
  const log = path.join(scratch, 'films.json');
  // Playwright reports the requests of service workers only when asked.
  process.env.PW_EXPERIMENTAL_SERVICE_WORKER_NETWORK_EVENTS = '1';
  const browser = await launch([`--log-net-log=${log}`]);
  const context = await browser.newContext();
  /** @type {string[]} */
  const requested = [];
  context.on('request', (request) => requested.push(request.url()));
  let since;
  try {
    const page = await context.newPage();
    await page.goto(site.url);
    const app = await ready(page);
    // The record would be worthless if it missed what is fetched while loading.
    for (const part of ['deepbreath_bg', '.safetensors', 'sw.js', 'app/main']) {
      for (const [name, list] of Object.entries({ requested, served: site.served })) {
        assert.ok(list.some((url) => url.includes(part)), `${name}: no ${part}`);
      }
    }
    const [before, served] = [requested.length, site.served.length];
    since = Date.now();
    await app.locator('#file').setInputFiles(films());
    await app.locator('#progress-bar').waitFor();
    await app.locator('#export-json:enabled').waitFor({ timeout: 120_000 });
    await app.locator('#status[data-state=ready]').waitFor({ timeout: 120_000 });
    const [download] = await Promise.all([page.waitForEvent('download'), app.locator('#export-json').click()]);
    const { results } = JSON.parse(await readFile(await download.path(), 'utf8'));
    assert.equal(results.length, FILMS);
    assert.deepEqual(results.filter((/** @type {any} */ { error }) => error), []);
    await pause(2000); // The browser's own look for a newer service worker would come about a second after loading.
    assert.deepEqual(requested.slice(before).filter((url) => !url.startsWith('blob:')), []);
    assert.deepEqual(site.served.slice(served), []);
    await becomes(() => page.locator('#network-state').innerText(), /: sealed/);
    await page.locator('#network summary').click();
    await becomes(() => page.locator('#network-since').innerText(), /^0 requests\. .*blocked: 0\.$/);
  } finally {
    await browser.close();
  }
  const everything = await networkLog(log, 0);
  assert.ok(everything.some((url) => url.includes('deepbreath_bg')), 'the network log misses the program');
  assert.deepEqual(await networkLog(log, since), []);
});

describe('planted attempts to send something', () => {
  /** @type {import('playwright-core').Browser} */
  let browser;
  /** @type {import('playwright-core').Page} */
  let page;
  before(async () => {
    browser = await launch();
  });
  after(() => browser?.close());

  /** @param {(context: import('node:test').TestContext) => Promise<void>} body Runs with a listener and a page of its own. */
  const heard = (body) => async (/** @type {import('node:test').TestContext} */ context) => {
    listener = await listen();
    const own = await browser.newContext();
    page = await own.newPage();
    try {
      await body(context);
    } finally {
      await own.close();
      listener.close();
    }
  };

  test('reach the listener from a page without a seal', heard(async () => {
    await page.goto(`${site.url}blank.html`);
    await attempt(FROM_DOCUMENT, (code) => page.evaluate(code));
    // Each new window asks for an icon.
    assert.deepEqual(listener.heard.filter((name) => name !== 'favicon.ico'), Object.keys(FROM_DOCUMENT).sort());
  }));

  test('reach the listener and the own server from a worker without a seal', heard(async () => {
    await page.goto(`${site.url}blank.html`);
    const [worker] = await Promise.all([
      page.waitForEvent('worker'),
      page.evaluate(() => void new Worker(URL.createObjectURL(new Blob([''])))),
    ]);
    const served = site.served.length;
    await attempt(FROM_WORKER, (code) => worker.evaluate(code));
    const own = Object.keys(FROM_WORKER).filter((name) => name.includes('own-server'));
    assert.deepEqual(listener.heard, Object.keys(FROM_WORKER).filter((name) => !own.includes(name)).sort());
    assert.equal(site.served.length - served, own.length);
  }));

  test('do not leave the sealed frame', heard(async () => {
    await page.goto(site.url);
    const app = await ready(page);
    const served = site.served.length;
    await attempt({ ...FROM_DOCUMENT, ...FROM_FRAME }, (code) => app.evaluate(code));
    assert.deepEqual(listener.heard, []);
    assert.deepEqual(site.served.slice(served), []);
    assert.equal(page.context().pages().length, 1);
    assert.equal(page.url(), site.url);
  }));

  for (const [name, body] of Object.entries(LEAVING)) {
    test(`do not leave by ${name}`, heard(async () => {
      await page.goto(site.url);
      const app = await ready(page);
      const served = site.served.length;
      await attempt({ [name]: body }, (code) => app.evaluate(code).catch(() => {}));
      assert.deepEqual(listener.heard, []);
      assert.deepEqual(site.served.slice(served), []);
      assert.equal(page.url(), site.url);
    }));
  }

  test('do not leave the worker that sees the image', heard(async () => {
    await page.goto(site.url);
    await ready(page);
    const [worker] = page.workers();
    assert.ok(worker, 'there is a worker');
    assert.equal(await worker.evaluate(() => self.isSecureContext), true);
    const served = site.served.length;
    await attempt(FROM_WORKER, (code) => worker.evaluate(code));
    assert.deepEqual(listener.heard, []);
    assert.deepEqual(site.served.slice(served), []);
    assert.equal(listener.connections, 0);
  }));

  test('to keep something for a later visit succeed in a worker without a seal', heard(async () => {
    await page.goto(`${site.url}blank.html`);
    const [worker] = await Promise.all([
      page.waitForEvent('worker'),
      page.evaluate(() => void new Worker(URL.createObjectURL(new Blob([''])))),
    ]);
    assert.deepEqual(await possible(KEEPING, (code) => worker.evaluate(code)), Object.keys(KEEPING));
  }));

  test('to keep something for a later visit fail in the frame and in the worker', heard(async () => {
    await page.goto(site.url);
    const app = await ready(page);
    const [worker] = page.workers();
    assert.ok(worker, 'there is a worker');
    assert.deepEqual(await possible(KEEPING, (code) => worker.evaluate(code)), []);
    assert.deepEqual(await possible(KEEPING, (code) => app.evaluate(code)), []);
    assert.deepEqual(await page.evaluate(async () => (await indexedDB.databases()).length), 0);
    assert.equal(await page.evaluate(async () => (await caches.keys()).includes('leak')), false);
  }));

  test('do not leave the page around, once it is sealed', heard(async () => {
    await page.goto(site.url);
    await ready(page);
    const { fetch, image, WebSocket, sendBeacon, script, XMLHttpRequest } = /** @type {any} */ (FROM_DOCUMENT);
    const { 'own-server-fetch': ownFetch, 'own-server-image': ownImage, worker, 'service-worker': serviceWorker } = /** @type {any} */ (FROM_FRAME);
    const served = site.served.length;
    await attempt({ fetch, image, WebSocket, sendBeacon, script, XMLHttpRequest, ownFetch, ownImage, worker, serviceWorker }, (code) => page.evaluate(code));
    assert.deepEqual(listener.heard, []);
    assert.deepEqual(site.served.slice(served), []);
  }));
});

test('the page that opened this one cannot be reached from the frame, and only exports are saved', async () => {
  const browser = await launch();
  try {
    const around = await browser.newPage();
    await around.goto(`${site.url}blank.html`);
    const [page] = await Promise.all([around.waitForEvent('popup'), around.evaluate((url) => void open(url), site.url)]);
    const app = await ready(page);
    assert.equal(await app.evaluate(() => parent.opener), null);
    await app.locator('#file').setInputFiles(['a.png', 'b.png'].map((name) => ({ name, mimeType: 'image/png', buffer: phantom() })));
    await app.locator('#progress-text', { hasText: '2 read' }).waitFor();
    /** @type {string[]} */
    const saved = [];
    page.on('download', (download) => saved.push(download.suggestedFilename()));
    for (const name of ['deepbreath.html', 'deepbreath-2026-11-24T120000.html', '../deepbreath-2026-11-24T120000.csv', 'deepbreath-2026-11-24T120000.csv.exe']) {
      await app.evaluate((name) => {
        const { prototype } = MessagePort;
        const post = prototype.postMessage;
        Object.defineProperty(prototype, 'postMessage', { configurable: true, value(/** @type {any} */ message, /** @type {any} */ lines) {
          if (message.kind !== 'save') return post.call(this, message, lines);
          Object.defineProperty(prototype, 'postMessage', { configurable: true, writable: true, value: post });
          return post.call(this, { ...message, name, type: 'text/html' }, lines);
        } });
      }, name);
      await app.locator('#export-csv').click();
      await pause(PATIENCE);
    }
    assert.deepEqual(saved, []);
    await Promise.all([page.waitForEvent('download'), app.locator('#export-csv').click()]);
    assert.match(saved.join(), /^deepbreath-[^,]*\.csv$/);
  } finally {
    await browser.close();
  }
});
