// The second visit: nothing twice, no network needed, a new build offered and never forced.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { application, ask, becomes, launch, phantom, ready, serve } from './site.js';

const FILM = { name: 'phantom.png', mimeType: 'image/png', buffer: phantom() };

/** @type {import('playwright-core').Browser} */
let browser;
/** @type {import('playwright-core').BrowserContext} */
let context;
/** @type {import('playwright-core').Page} */
let page;
/** @type {Awaited<ReturnType<typeof serve>>} */
let site;
/** @type {(name: string, bytes: Buffer) => Buffer} What the server does to its files. */
let change;
/** @type {(name: string) => boolean} Which files the server never answers for. */
let silent;
/** @type {(name: string) => number} What it answers for a file. */
let status;

before(async () => {
  browser = await launch();
});
after(() => browser?.close());
beforeEach(async () => {
  change = (_, bytes) => bytes;
  silent = () => false;
  status = () => 200;
  site = await serve({ change: (name, bytes) => change(name, bytes), silent: (name) => silent(name), status: (name) => status(name) });
  context = await browser.newContext();
  page = await context.newPage();
});
afterEach(async () => {
  await context.close();
  site.close();
});

/** @param {string} query */
async function visit(query = '') {
  await page.goto(site.url + query);
  return ready(page);
}

/** How often the server was asked for a file. @param {string} part */
const asked = (part) => site.served.filter((url) => url.includes(part)).length;

/** The bar's panel, opened. @param {string} id */
async function panel(id) {
  await page.locator('#network').evaluate((details) => details.setAttribute('open', ''));
  return page.locator(`#${id}`).innerText();
}

/** The next build: another title, another version. @param {string} name @param {Buffer} bytes */
function nextBuild(name, bytes) {
  const html = (/** @type {Buffer} */ page) => Buffer.from(page.toString().replace('<title>', '<title>next '));
  if (name === 'index.html') return html(bytes);
  if (name !== 'assets.json') return bytes;
  const manifest = JSON.parse(bytes.toString());
  manifest.version = 'next';
  manifest.shell['index.html'].sha256 = nextIndex;
  return Buffer.from(JSON.stringify(manifest));
}
let nextIndex = '';

test('the second visit works without a network, and nothing is fetched twice', async () => {
  await visit();
  for (const part of ['.safetensors', '_bg', 'app/main-', '/worker-']) assert.equal(asked(part), 1, part);
  for (const part of ['generated/webgpu/', 'tutorial']) assert.equal(asked(part), 0, `${part} was fetched unasked`);
  site.close();
  await context.setOffline(true);
  const app = await visit();
  const answer = await ask(app, FILM);
  assert.equal(answer.error, undefined);
  for (const part of ['.safetensors', '_bg', 'app/main-', '/worker-']) assert.equal(asked(part), 1, part);
  await becomes(() => panel('network-loaded'), / 0\.0 kB from the network/);
  assert.equal(await page.locator('#update').isVisible(), false);
});

test('a second visit does not wait for a server that never answers', async () => {
  await visit();
  silent = () => true;
  const before = asked('assets.json');
  const app = await visit();
  assert.ok(asked('assets.json') > before, 'the server was asked for another build');
  assert.equal((await ask(app, FILM)).error, undefined);
  await becomes(() => page.locator('#network-state').innerText(), /: sealed/);
  assert.equal(await page.locator('#update').isVisible(), false);
});

test('a first visit does not wait for a service worker that never comes', async () => {
  silent = (name) => name === 'sw.js';
  // The limit of half a minute, over at once.
  await page.addInitScript(() => {
    const later = globalThis.setTimeout;
    Object.assign(globalThis, { setTimeout: (/** @type {() => void} */ run, /** @type {number} */ wait) => later(run, wait === 30_000 ? 50 : wait) });
  });
  assert.equal((await ask(await visit(), FILM)).error, undefined);
  assert.equal(asked('sw.js'), 1);
});

test('nor does a visit after an update was accepted', async () => {
  await visit();
  await page.evaluate(async () => {
    const [name = ''] = await caches.keys();
    await (await caches.open(name)).put(new URL('update-accepted', location.href), new Response('yes'));
  });
  silent = () => true;
  assert.equal((await ask(await visit(), FILM)).error, undefined);
});

test('an update that the server does not give leaves the build that is kept', async () => {
  await visit();
  await page.evaluate(async () => {
    const [name = ''] = await caches.keys();
    await (await caches.open(name)).put(new URL('update-accepted', location.href), new Response('yes'));
  });
  status = () => 503;
  assert.equal((await ask(await visit(), FILM)).error, undefined);
  const left = await page.evaluate(async () => (await (await caches.open((await caches.keys())[0] ?? '')).match(new URL('update-accepted', location.href))) === undefined);
  assert.ok(left, 'it has to be accepted once more');
});

test('a second visit with a network fetches neither weights nor program again', async () => {
  await visit();
  const before = site.served.length;
  await visit();
  assert.deepEqual(site.served.slice(before).filter((url) => !/\/(sw\.js|assets\.json)$/.test(url)), []);
});

test('a new build is offered, and taken only when the visitor says so', async () => {
  await visit();
  const response = await page.context().request.get(`${site.url}index.html`);
  nextIndex = createHash('sha256').update(nextBuild('index.html', await response.body())).digest('hex');
  change = nextBuild;
  for (let again = 0; again < 2; again++) {
    await visit();
    assert.equal(await page.title(), 'deepbreath');
    await page.locator('#update').waitFor();
  }
  await Promise.all([page.waitForEvent('load'), page.locator('#update').click()]);
  await ready(page);
  assert.equal(await page.title(), 'next deepbreath');
  assert.equal(await page.locator('#update').isVisible(), false);
  assert.equal(asked('.safetensors'), 1);
  await context.setOffline(true);
  await visit();
  assert.equal(await page.title(), 'next deepbreath');
});

describe('damage', () => {
  /** @param {RegExp} wanted */
  const damaging = (wanted) => (/** @type {string} */ name, /** @type {Buffer} */ bytes) => {
    if (!wanted.test(name)) return bytes;
    const damaged = Buffer.from(bytes);
    damaged[damaged.length >> 1] = (damaged[damaged.length >> 1] ?? 0) ^ 1;
    return damaged;
  };

  test('of the weights is noticed and said, after a second try', async () => {
    change = damaging(/\.safetensors$/);
    await page.goto(site.url);
    const app = await application(page);
    await app.locator('#status[data-state=failed]').waitFor();
    assert.match(await app.locator('body').innerText(), /checksum/);
    assert.equal(asked('.safetensors'), 2);
  });

  test('of a module is noticed and said by the page around', async () => {
    change = damaging(/app\/main-/);
    await page.goto(site.url);
    await page.locator('#failure:visible').waitFor();
    assert.match(await page.locator('#failure').innerText(), /app\/main-.*checksum.*damaged/s);
  });

  test('of what is kept here is mended', async () => {
    await visit();
    await page.evaluate(async () => {
      for (const name of await caches.keys()) {
        const cache = await caches.open(name);
        for (const request of await cache.keys()) {
          if (request.url.endsWith('.safetensors')) await cache.put(request, new Response('not the weights'));
        }
      }
    });
    const app = await visit();
    assert.equal((await ask(app, FILM)).error, undefined);
  });

  test('of the connection is said', async () => {
    change = (name, bytes) => (name.endsWith('.safetensors') ? Buffer.alloc(0) : bytes);
    await page.goto(site.url);
    const app = await application(page);
    await app.locator('#status[data-state=failed]').waitFor();
  });
});

test('where storage and service workers are off, the page works all the same', async () => {
  await context.close();
  context = await browser.newContext({ serviceWorkers: 'block' });
  page = await context.newPage();
  await page.addInitScript(() => {
    Object.defineProperty(globalThis, 'caches', { value: undefined });
    Object.defineProperty(globalThis, 'localStorage', { get: () => { throw new DOMException('off', 'SecurityError'); } });
  });
  const app = await visit();
  assert.equal((await ask(app, FILM)).error, undefined);
});

test('where storage fails at every step, the page works all the same', async () => {
  await page.addInitScript(() => {
    for (const name of /** @type {const} */ (['match', 'put', 'delete', 'keys'])) {
      Object.defineProperty(Cache.prototype, name, { value: () => Promise.reject(new DOMException('full', 'QuotaExceededError')) });
    }
  });
  assert.equal((await ask(await visit('?lab=tutorial'), FILM)).error, undefined);
});

test('without the weights of the lab the page works, and the lab offers to load them', async () => {
  status = (name) => (name.includes('tutorial') ? 503 : 200);
  const app = await visit('?lab=tutorial');
  assert.equal((await ask(app, FILM)).error, undefined);
  assert.deepEqual(await app.evaluate(() => ['lab-other-table', 'lab-elsewhere'].map((id) => document.getElementById(id)?.hidden)), [true, false]);
});

test('what is kept here can be forgotten where the start failed', async () => {
  status = (name) => (name.endsWith('.safetensors') ? 503 : 200);
  await page.goto(site.url);
  await (await application(page)).locator('#status[data-state=failed]').waitFor();
  await panel('network-loaded');
  await page.locator('#forget').click();
  await page.locator('#forget', { hasText: 'Forgotten' }).waitFor();
});

test('what is kept here can be forgotten', async () => {
  await visit();
  await panel('network-loaded');
  await page.locator('#forget').click();
  await page.locator('#forget', { hasText: 'Forgotten' }).waitFor();
  assert.deepEqual(await page.evaluate(async () => [await caches.keys(), localStorage.length]), [[], 0]);
});

test('the page can be installed', async () => {
  await visit();
  const session = await context.newCDPSession(page);
  const { errors, data = '' } = await session.send('Page.getAppManifest');
  assert.deepEqual(errors, []);
  assert.equal(JSON.parse(data).name, 'deepbreath');
  const { installabilityErrors } = await session.send('Page.getInstallabilityErrors');
  assert.deepEqual(installabilityErrors.filter(({ errorId }) => errorId !== 'in-incognito'), []);
});
