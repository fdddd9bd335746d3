// The ways in: drop, picker, paste, camera, and a film that comes while the page loads.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { drawn, openApp, openFake, text } from './app.js';
import { becomes, launch, phantom, serve, SOURCES } from './site.js';

/** @type {Awaited<ReturnType<typeof serve>>} */
let site;
/** @type {Awaited<ReturnType<typeof serve>>} */
let sources;
/** @type {import('playwright-core').Browser} */
let browser;
/** @type {import('playwright-core').Page} */
let page;
/** @type {import('playwright-core').Frame} */
let app;

before(async () => {
  [site, sources, browser] = [await serve(), await serve({ folder: SOURCES }), await launch()];
});
after(async () => {
  await browser?.close();
  site?.close();
  sources?.close();
});

const waitRead = (/** @type {number} */ count) => app.locator('#progress-text', { hasText: new RegExp(`^${count} read`) }).waitFor({ timeout: 120_000 });
const names = () => app.locator('#table-body .opener').allInnerTexts();

beforeEach(async () => {
  page = await browser.newPage();
  app = await openApp(page, site.url);
});
afterEach(() => page.close());

/** @param {string[]} files */
const drop = async (files) => {
  const client = await page.context().newCDPSession(page);
  const data = { items: [], files, dragOperationsMask: 1 };
  for (const type of /** @type {const} */ (['dragEnter', 'dragOver', 'dragOver', 'drop'])) {
    await client.send('Input.dispatchDragEvent', { type, x: 300, y: 300, data });
  }
};

test('a dropped folder is read with the folders in it', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'deepbreath-drop-'));
  try {
    mkdirSync(path.join(folder, 'week/monday'), { recursive: true });
    writeFileSync(path.join(folder, 'week/monday/a.png'), phantom());
    writeFileSync(path.join(folder, 'week/b.png'), phantom());
    writeFileSync(path.join(folder, 'week/notes.txt'), 'no image');
    writeFileSync(path.join(folder, 'week/.DS_Store'), 'litter');
    await drop([path.join(folder, 'week')]);
    await waitRead(3);
    await becomes(names, ['week/b.png', 'week/monday/a.png', 'week/notes.txt']);
    await becomes(() => text(app, '#notice'), /^1 file of the operating system left out/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('files dropped beside a folder are read, and the folder is told to be left out', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'deepbreath-mixed-'));
  try {
    for (const name of ['2.png', '10.png']) writeFileSync(path.join(folder, name), phantom());
    mkdirSync(path.join(folder, 'more'));
    await drop(['10.png', 'more', '2.png'].map((name) => path.join(folder, name)));
    await waitRead(2);
    await becomes(names, ['2.png', '10.png']);
    await becomes(() => text(app, '#notice'), /one folder at a time/);
    await app.locator('#folder').waitFor({ state: 'hidden' }); // The field for folders is out of the way.
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a folder can be chosen too', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'deepbreath-choose-'));
  try {
    for (const name of ['1.png', '2.png']) writeFileSync(path.join(folder, name), phantom());
    const [chooser] = await Promise.all([page.waitForEvent('filechooser'), app.locator('#open-folder').click()]);
    await chooser.setFiles(folder);
    await waitRead(2);
    await becomes(names, [`${path.basename(folder)}/1.png`, `${path.basename(folder)}/2.png`]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('pasting an image reads it; pasting a text does nothing', async () => {
  const paste = (/** @type {string | null} */ base64) => app.evaluate((base64) => {
    const data = new DataTransfer();
    if (base64 === null) data.setData('text/plain', 'hello');
    else data.items.add(new File([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], 'pasted.png', { type: 'image/png' }));
    document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true }));
  }, base64);
  await paste(null);
  assert.equal(await app.locator('#invitation').isVisible(), true);
  await paste(phantom().toString('base64'));
  await app.locator('#facts dd', { hasText: 'pasted.png' }).waitFor();
});

test('the camera takes one photo of a film, with the camera at the back', async () => {
  const camera = app.locator('#camera');
  assert.deepEqual([await camera.getAttribute('capture'), await camera.getAttribute('accept')], ['environment', 'image/*']);
  await camera.setInputFiles(drawn('photo.png'));
  await app.locator('#facts dd', { hasText: 'photo.png' }).waitFor();
});

test('a film that comes while the page loads is answered as soon as it can be', async () => {
  const other = await browser.newPage();
  try {
    const fake = await openFake(other, sources.url, `(await new Promise((resolve) => { globalThis.go = () => resolve(Object.assign(new EventTarget(), {
      async preview() { return { width: 1, height: 1, grey: Uint8Array.from([9]) }; },
      async classify(file) { throw Object.assign(new Error(file.name + ': asked'), { code: 'asked' }); },
    })); }))`, { wait: false });
    await fake.locator('#file').setInputFiles(drawn('early.png'));
    await fake.locator('#working:not([hidden])').waitFor();
    await fake.evaluate('go()');
    await fake.locator('#error-code', { hasText: 'asked' }).waitFor();
  } finally {
    await other.close();
  }
});
