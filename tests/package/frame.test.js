// <deep-breath-frame>: the built site in a frame of another origin's page, which hears answers and hands films in.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { launch, serve } from '../browser/site.js';
import { difference, NO_TRAINER, predicted, project, TOLERANCE } from './installed.js';

/** @typedef {import('../../www/frame-element.js').DeepBreathFrameElement} DeepBreathFrameElement */

/** @type {ReturnType<typeof project>} */
let made;
/** @type {import('playwright-core').Browser} */
let browser;
/** @type {Awaited<ReturnType<typeof serve>>} The site. */
let site;
/** @type {Awaited<ReturnType<typeof serve>>} The page around, of another origin. */
let around;
/** @type {import('playwright-core').Page} */
let page;

/** @param {string} address Of the site. */
const host = (address) => `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Host</title><link rel="icon" href="data:,">
  <meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; script-src 'self'; frame-src ${new URL(address).origin}; connect-src 'self'">
  <script type="module" src="host.js"></script></head>
  <body><main><h1>Host</h1><deep-breath-frame src="${address}" backend="cpu"></deep-breath-frame></main></body></html>`;
const SCRIPT = `
  import './node_modules/deepbreath/frame-element.js';
  globalThis.heard = [];
  for (const type of ['ready', 'assessment', 'error']) {
    document.addEventListener(type, ({ target, detail }) => heard.push([target.localName, type, detail.code ?? detail.file ?? detail.backend]));
  }`;

before(async () => {
  made = project();
  [site, around] = await Promise.all([serve(), serve({ folder: made.folder })]);
  writeFileSync(path.join(made.folder, 'index.html'), host(site.url));
  writeFileSync(path.join(made.folder, 'host.js'), SCRIPT);
  browser = await launch();
  page = await browser.newPage();
  await page.goto(around.url);
});
after(async () => {
  await browser?.close();
  site?.close();
  around?.close();
  made?.remove();
});

/** @param {number} count @returns {Promise<string[][]>} */
async function heard(count) {
  await page.waitForFunction((count) => /** @type {any} */ (globalThis).heard.length >= count, count, { timeout: 60_000 });
  return page.evaluate(() => /** @type {any} */ (globalThis).heard);
}

describe('<deep-breath-frame>', () => {
  test('a film that the page around hands in is answered in the frame, as the trainer does', async (context) => {
    const name = made.images.at(-1) ?? '';
    // Asked at once: it waits for the frame.
    const assessment = await page.locator('deep-breath-frame').evaluate(async (element, name) => {
      const file = new File([await (await fetch(name)).blob()], name);
      return /** @type {DeepBreathFrameElement} */ (element).classify(file);
    }, name);
    assert.deepEqual(await heard(2), [['deep-breath-frame', 'ready', 'cpu'], ['deep-breath-frame', 'assessment', name]]);
    assert.equal(assessment.file, name);
    const expected = predicted(made);
    if (!expected) return context.skip(NO_TRAINER);
    assert.ok(difference(assessment.findings, expected[name]) < TOLERANCE);
  });

  test('the frame shows the film, says who hears the answers, and is sealed', async () => {
    const frame = page.frames().find((one) => one.url().startsWith(site.url));
    assert.ok(frame);
    assert.match(await frame.locator('.host').innerText(), new RegExp(`page of ${new URL(around.url).origin}`));
    await frame.locator('#network[data-state=sealed]').waitFor();
    await frame.frameLocator('#place iframe').locator('#assessment').waitFor();
  });

  test('what is no image is refused in the frame and told', async () => {
    const code = await page.locator('deep-breath-frame').evaluate((element) =>
      /** @type {DeepBreathFrameElement} */ (element).classify(new File(['text'], 'note.txt')).catch((error) => error.code));
    assert.equal(code, 'unknown-format');
    assert.deepEqual((await heard(3)).at(-1), ['deep-breath-frame', 'error', 'unknown-format']);
  });

  test('films of one name are answered each for itself', async () => {
    const answers = await page.locator('deep-breath-frame').evaluate(async (element) => {
      const reader = /** @type {DeepBreathFrameElement} */ (element);
      const film = await (await fetch('drawn.png')).blob();
      const asked = [film, new Blob(['text']), film].map((blob) => reader.classify(blob).then(({ file }) => file, (error) => error.code));
      return Promise.all(asked);
    });
    assert.deepEqual(answers, ['image', 'unknown-format', 'image']);
  });

  test('a film of the visitor is not taken for one of the same name that the page around asked for', async () => {
    const frame = page.frames().find((one) => one.url().startsWith(site.url));
    assert.ok(frame);
    const app = frame.frameLocator('#place iframe');
    // The visitor's film is read first; it is no image.
    const asked = page.locator('deep-breath-frame').evaluate(async (element) => {
      const film = await (await fetch('drawn.png')).blob();
      while (!(/** @type {any} */ (globalThis).go)) await new Promise((resolve) => setTimeout(resolve, 10));
      return /** @type {DeepBreathFrameElement} */ (element).classify(new File([film], 'same')).then(({ file }) => file, (error) => error.code);
    });
    const image = readFileSync(path.join(made.folder, 'drawn.png'));
    const files = [0, 1, 2, 3].map((number) => ({ name: number < 3 ? `before-${number}` : 'same', mimeType: '', buffer: number < 3 ? image : Buffer.from('text') }));
    await app.locator('#file').setInputFiles(files);
    await page.evaluate(() => Object.assign(globalThis, { go: true }));
    assert.equal(await asked, 'same');
  });

  test('speaks the language of the page around, and only that catalogue is fetched', async () => {
    const tab = await browser.newPage();
    const before = site.served.length;
    try {
      await tab.goto(`${around.url}blank.html`);
      await tab.evaluate(async (address) => {
        // @ts-ignore: an address of the served page
        await import('./node_modules/deepbreath/frame-element.js');
        document.documentElement.lang = 'de-AT';
        const element = document.createElement('deep-breath-frame');
        element.setAttribute('src', address);
        element.setAttribute('backend', 'cpu');
        document.body.append(element);
      }, site.url);
      const app = tab.frameLocator('deep-breath-frame iframe').frameLocator('#place iframe');
      await app.locator('#status:lang(de)', { hasText: 'Bereit' }).waitFor({ timeout: 60_000 });
      await app.locator('#disclaimer :lang(de)', { hasText: 'Für Lehre und Forschung. Keine Diagnose.' }).waitFor();
      await app.locator('#file').setInputFiles(path.join(made.folder, made.images.at(-1) ?? ''));
      await app.locator('#assessment:lang(de) #facts', { hasText: 'Prozessor (cpu)' }).waitFor({ timeout: 60_000 });
      const fetched = site.served.slice(before).filter((name) => name.includes('/app/words/')).map((name) => path.basename(name).split('-')[0]);
      assert.deepEqual(fetched.toSorted(), ['de', 'en']);
    } finally {
      await tab.close();
    }
  });

  test('a page that the address does not name is told nothing', async () => {
    const tab = await browser.newPage();
    try {
      await tab.goto(`${around.url}blank.html`);
      const told = await tab.evaluate((address) => new Promise((resolve) => {
        const frame = document.createElement('iframe');
        frame.src = address;
        const messages = /** @type {unknown[]} */ ([]);
        addEventListener('message', ({ data }) => messages.push(data));
        frame.addEventListener('load', () => setTimeout(() => resolve(messages), 2000));
        document.body.append(frame);
      }), `${site.url}?host=https://example.org`);
      assert.deepEqual(told, []);
    } finally {
      await tab.close();
    }
  });

  test('a page that does not answer is told, and so is who asked', async () => {
    const tab = await browser.newPage();
    try {
      await tab.clock.install();
      await tab.goto(`${around.url}blank.html`);
      await tab.evaluate(async (address) => {
        // @ts-ignore: an address of the served page
        await import('./node_modules/deepbreath/frame-element.js');
        const element = /** @type {DeepBreathFrameElement} */ (document.createElement('deep-breath-frame'));
        const scope = /** @type {any} */ (globalThis);
        scope.outside = await element.classify(new Blob()).catch((error) => error.code);
        scope.told = new Promise((resolve) => element.addEventListener('error', ({ detail }) => resolve(detail.code)));
        element.setAttribute('src', address);
        document.body.append(element);
        scope.asked = element.classify(new Blob()).catch((error) => error.code);
        await new Promise((resolve) => element.shadowRoot?.querySelector('iframe')?.addEventListener('load', resolve));
      }, `${site.url}blank.html`);
      await tab.clock.fastForward(30_000);
      assert.deepEqual(await tab.evaluate('Promise.all([outside, told, asked])'), ['not-loaded', 'unreachable', 'unreachable']);
    } finally {
      await tab.close();
    }
  });

  test('what was asked of a page that fails, stops or is left is rejected', async () => {
    /** @param {string} address @param {(frame: import('playwright-core').Frame) => Promise<unknown>} [act] */
    const outcome = async (address, act) => {
      const tab = await browser.newPage();
      try {
        await tab.goto(`${around.url}blank.html`);
        const asked = tab.evaluate(async (address) => {
          // @ts-ignore: an address of the served page
          await import('./node_modules/deepbreath/frame-element.js');
          const element = /** @type {DeepBreathFrameElement} */ (document.createElement('deep-breath-frame'));
          element.setAttribute('src', address);
          element.setAttribute('backend', 'cpu');
          document.body.append(element);
          const code = await element.classify(new Blob(['text'])).catch((error) => error.code);
          return [code, await Promise.race([element.classify(new Blob(['text'])).catch((error) => error.code), new Promise((resolve) => setTimeout(resolve, 500, 'waits'))])];
        }, address);
        if (act) {
          await tab.locator('deep-breath-frame iframe').waitFor();
          const frame = await (await tab.locator('deep-breath-frame iframe').elementHandle())?.contentFrame();
          if (!frame) throw new Error('no frame');
          await frame.locator('#place iframe').waitFor();
          await act(frame);
        }
        return await asked;
      } finally {
        await tab.close();
      }
    };
    /** @type {(name: string) => number} */
    let status = (name) => (name.endsWith('.safetensors') ? 503 : 200);
    let silent = (/** @type {string} */ _) => false;
    const broken = await serve({ status: (name) => status(name), silent: (name) => silent(name) });
    try {
      assert.deepEqual(await outcome(broken.url), ['unreachable', 'unreachable'], 'no weights');
      status = (name) => (name.includes('app/main-') ? 503 : 200);
      assert.deepEqual(await outcome(broken.url), ['frame-failed', 'frame-failed'], 'no application');
      status = () => 200;
      silent = (name) => name.endsWith('.safetensors'); // What was asked is not answered while it loads.
      assert.deepEqual(await outcome(broken.url, (frame) => frame.evaluate(() => location.reload())), ['frame-failed', 'waits'], 'loaded anew');
    } finally {
      broken.close();
    }
  });

  test('an element without an address says so', async () => {
    const tab = await browser.newPage();
    try {
      const thrown = new Promise((resolve) => tab.on('pageerror', (error) => resolve(String(error))));
      await tab.goto(`${around.url}blank.html`);
      await tab.evaluate(async () => {
        // @ts-ignore: an address of the served page
        await import('./node_modules/deepbreath/frame-element.js');
        const element = /** @type {DeepBreathFrameElement} */ (document.createElement('deep-breath-frame'));
        element.addEventListener('error', ({ detail }) => (element.title = detail.code));
        document.body.append(element);
      });
      assert.equal(await tab.locator('deep-breath-frame').getAttribute('title'), 'options');
      assert.match(String(await thrown), /needs the address of a page/);
    } finally {
      await tab.close();
    }
  });
});
