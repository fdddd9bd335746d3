// <deep-breath> in somebody else's page: under a strict policy, twice, themed, by keyboard, and for a screen reader.

import assert from 'node:assert/strict';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { becomes, launch, phantom, ROOT, serve } from '../browser/site.js';
import { difference, NO_TRAINER, PACKAGE, predicted, project, TOLERANCE } from './installed.js';

/** @typedef {import('../../www/element.js').DeepBreathElement} DeepBreathElement */

/** What the package's README lists. */
const [, POLICY = ''] = /```text\n(script-src .*)\n```/.exec(readFileSync(path.join(PACKAGE, 'README.md'), 'utf8')) ?? [];
const AXE = readFileSync(path.join(ROOT, 'node_modules/axe-core/axe.min.js'), 'utf8');

const HOST = `<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'self'; img-src data:; ${POLICY}; require-trusted-types-for 'script'; trusted-types deepbreath">
  <title>Host</title>
  <link rel="icon" href="data:,">
  <link rel="stylesheet" href="host.css">
  <script type="module" src="host.js"></script>
</head>
<body>
  <main>
    <h1>Two readers</h1>
    <deep-breath id="first" weights="deepbreath.safetensors" backend="cpu"></deep-breath>
    <deep-breath id="second" weights="deepbreath.safetensors" backend="cpu" theme="dark">
      <h2 slot="invitation">Bring a film</h2>
      <p slot="disclaimer">A word of the host.</p>
    </deep-breath>
  </main>
</body>
</html>`;
/** What a strange page might do to everything in it. */
const STYLE = `
  p, button { color: red; font-size: 40px; }
  [hidden] { display: block; }
  deep-breath { --deepbreath-accent: rgb(1, 2, 3); }
  #first::part(call) { letter-spacing: 3px; }`;
const SCRIPT = `
  import './deepbreath/element.js';
  globalThis.heard = [];
  for (const type of ['ready', 'assessment', 'error']) {
    document.addEventListener(type, (event) => heard.push([event.target.id, type, event.detail?.code ?? event.detail?.file]));
  }`;

/** @type {ReturnType<typeof project>} */
let made;
/** @type {import('playwright-core').Browser} */
let browser;
/** @type {import('playwright-core').Page} */
let page;
/** @type {Awaited<ReturnType<typeof serve>>} */
let server;
/** @type {string[]} */
const complaints = [];

before(async () => {
  made = project();
  cpSync(path.join(made.folder, 'node_modules/deepbreath'), path.join(made.folder, 'deepbreath'), { recursive: true });
  for (const [name, text] of [['index.html', HOST], ['host.css', STYLE], ['host.js', SCRIPT]]) writeFileSync(path.join(made.folder, name ?? ''), text ?? '');
  server = await serve({ folder: made.folder });
  browser = await launch();
  page = await browser.newPage();
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.goto(server.url);
  for (const id of ['first', 'second']) await page.locator(`#${id} #status[data-state=ready]`).waitFor({ timeout: 60_000 });
});
after(async () => {
  await browser?.close();
  server?.close();
  made?.remove();
});

const heard = () => page.evaluate(() => /** @type {any} */ (globalThis).heard);

/** What axe finds wrong. */
async function violations() {
  // Not as a script of the page, whose policy forbids it.
  await page.evaluate(AXE);
  const found = await page.evaluate(() => /** @type {any} */ (globalThis).axe.run(document, { resultTypes: ['violations'] }));
  return found.violations.map((/** @type {any} */ { id, nodes }) => [id, nodes.map((/** @type {any} */ node) => node.target.join(' '))]);
}

describe('<deep-breath>', () => {
  test('twice on a page loads one engine and the weights once, and both are ready', async () => {
    const fetched = server.served.map((name) => path.basename(name));
    for (const name of ['worker.js', 'deepbreath_bg.wasm', 'deepbreath.safetensors']) assert.equal(fetched.filter((other) => other === name).length, 1, name);
    assert.deepEqual((await heard()).map((/** @type {string[]} */ [id, type]) => [id, type]).toSorted(), [['first', 'ready'], ['second', 'ready']]);
  });

  test('waiting: nothing for axe to complain about, in the host\'s words where it says so', async () => {
    assert.deepEqual(await violations(), []);
    assert.equal(await page.locator('#second h2[slot=invitation]').isVisible(), true);
    assert.equal(await page.locator('#second #invitation slot h2').isVisible(), false);
    assert.match(await page.locator('#first #invitation').innerText(), /Show it a chest X-ray/);
  });

  test('a film chosen by keyboard alone is answered as the trainer does, and told by an event', async (context) => {
    const chooser = page.waitForEvent('filechooser');
    await page.locator('#first #choose').focus();
    await page.keyboard.press('Enter');
    await (await chooser).setFiles(made.images.map((name) => path.join(made.folder, name)).at(-1) ?? '');
    await page.locator('#first #assessment').waitFor({ timeout: 60_000 });
    const name = made.images.at(-1) ?? '';
    assert.deepEqual((await heard()).at(-1), ['first', 'assessment', name]);
    const findings = await page.locator('#first').evaluate((element) => /** @type {DeepBreathElement} */ (element).assessment?.findings ?? []);
    assert.ok(findings.length > 1);
    assert.equal(await page.locator('#second #assessment').isVisible(), false);
    assert.match(await page.locator('#first #announcer').innerText(), new RegExp(`${name}.*Not a diagnosis`));
    const expected = predicted(made);
    if (!expected) return context.skip(NO_TRAINER);
    assert.ok(difference(findings, expected[name]) < TOLERANCE);
  });

  test('beside the answer stands which mixture the percentages are for, and what became of the engine', async () => {
    const first = page.locator('#first');
    const refused = await first.evaluate((element) => /** @type {DeepBreathElement} */ (element).assessment?.refused);
    assert.equal(await first.locator('#mixture').isVisible(), !refused);
    assert.match(await first.locator('#mixture').textContent() ?? '', /equal mixture of these \d findings/);
    assert.equal(await first.locator('#engine-note').isVisible(), false);
    for (const [type, told] of /** @type {[string, RegExp][]} */ ([['restart', /answers again.*\(said by a test\)/], ['backendchange', /^The processor answers.*: said by a test\.$/]])) {
      await first.evaluate(async (element, type) => {
        const classifier = await /** @type {DeepBreathElement} */ (element).classifier;
        classifier.dispatchEvent(new CustomEvent(type, { detail: { backend: 'cpu', reason: 'said by a test' } }));
      }, type);
      await becomes(() => first.locator('#engine-note').innerText(), told);
      await first.locator('#announcer p', { hasText: told }).waitFor({ state: 'attached' });
    }
    await first.locator('#engine-note').evaluate((note) => /** @type {HTMLElement} */ (note).hidden = true);
  });

  test('the film is looked at by keyboard, with the tools of the application', async () => {
    await page.locator('#first #stage').focus();
    await page.keyboard.press('+');
    await page.locator('#first #readout', { hasText: '1.4 ×' }).waitFor();
    await page.keyboard.press('i');
    await page.locator('#first #invert[aria-pressed=true]').waitFor();
    assert.equal(await page.locator('#second #stage').isVisible(), false);
    if (await page.locator('#first #saliency').isHidden()) return;
    await page.locator('#first #saliency-findings input').nth(1).check({ force: true });
    await page.locator('#first #overlay').waitFor();
  });

  test('answered: nothing for axe to complain about, wide and narrow, light and dark', async () => {
    for (const width of [1200, 400]) {
      await page.setViewportSize({ width, height: 900 });
      assert.deepEqual(await violations(), [], `${width} pixels wide`);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `no sideways scrolling at ${width} pixels`);
    }
    await page.setViewportSize({ width: 1200, height: 900 });
  });

  test('styles of the page stay outside, its properties and parts reach in, and the theme is the attribute\'s', async () => {
    /** @param {string} selector @param {string} property */
    const style = (selector, property) => page.locator(selector).evaluate((node, property) => getComputedStyle(node).getPropertyValue(property), property);
    assert.notEqual(await style('#first #meaning', 'color'), 'rgb(255, 0, 0)');
    assert.equal(await style('#first', '--accent'), 'rgb(1, 2, 3)');
    assert.equal(await style('#first #call', 'letter-spacing'), '3px');
    assert.deepEqual([await style('#first', 'color-scheme'), await style('#second', 'color-scheme')], ['normal', 'dark']);
    assert.equal(await page.locator('#first #error').isVisible(), false);
  });

  test('a file that is no image is refused in words and by an event; the next one is answered', async () => {
    await page.locator('#second #file').setInputFiles({ name: 'note.txt', mimeType: 'text/plain', buffer: Buffer.from('no image') });
    await page.locator('#second #error-code', { hasText: 'unknown-format' }).waitFor();
    assert.deepEqual((await heard()).at(-1), ['second', 'error', 'unknown-format']);
    assert.equal(await page.locator('#second #busy').innerText(), 'There is no picture to show.');
    await page.locator('#second #file').setInputFiles({ name: 'drawn.png', mimeType: 'image/png', buffer: phantom() });
    await page.locator('#second #assessment').waitFor({ timeout: 60_000 });
    assert.equal(await page.locator('#second #busy').isVisible(), false);
    assert.deepEqual(await violations(), []);
  });

  test('a script can ask it, and weights that are not there are told', async () => {
    const outcome = await page.evaluate(async () => {
      const element = /** @type {DeepBreathElement} */ (document.createElement('deep-breath'));
      element.id = 'third';
      element.setAttribute('backend', 'cpu');
      element.weights = await (await fetch('deepbreath.safetensors')).blob();
      document.querySelector('main')?.append(element);
      const { file } = await element.classify(new URL('drawn.png', document.baseURI));
      element.weights = undefined;
      element.setAttribute('weights', 'nowhere.safetensors');
      const failed = await element.classifier.catch((error) => error.code);
      element.remove();
      return [file, failed];
    });
    assert.deepEqual(outcome, ['drawn.png', 'unreachable']);
    assert.deepEqual((await heard()).at(-1), ['third', 'error', 'unreachable']);
  });

  test('weights that come late, fail or change leave nothing of before on show', async () => {
    const seen = await page.evaluate(async () => {
      const main = document.querySelector('main');
      const element = /** @type {DeepBreathElement} */ (document.createElement('deep-breath'));
      element.id = 'fourth';
      element.setAttribute('backend', 'cpu');
      /** The part of the answer that is on show. */
      const shown = () => ['waiting', 'working', 'error', 'assessment'].filter((id) => !element.shadowRoot?.getElementById(id)?.hidden).join();
      /** @param {Promise<unknown>} work */
      const code = (work) => work.then(() => 'done', (error) => error.code);
      const seen = /** @type {unknown[]} */ ([await code(element.classify(new Blob()))]);
      main?.append(element);
      seen.push([await code(element.classifier), shown()]);
      element.weights = await (await fetch('deepbreath.safetensors')).blob();
      seen.push([await code(element.classifier), shown()]);
      const film = await (await fetch('drawn.png')).blob();
      await element.classify(film);
      seen.push([shown(), element.assessment !== undefined]);
      element.weights = 'http://[';
      seen.push([shown(), element.assessment !== undefined, await code(element.classifier), shown()]);
      // A film that comes where loading failed tries again.
      seen.push([await code(element.classify(film)), shown()]);
      element.weights = 'deepbreath.safetensors';
      seen.push([await code(element.classify(film)), shown()]);
      const moved = element.classify(film).catch((error) => error.name);
      main?.prepend(element);
      seen.push([await moved, shown(), await code(element.classify(film)), shown()]);
      element.remove();
      return seen;
    });
    assert.deepEqual(seen, [
      'not-loaded', ['no-weights', 'error'], ['done', 'waiting'], ['assessment', true], ['waiting', false, 'options', 'error'],
      ['options', 'error'], ['done', 'assessment'], ['AbortError', 'waiting', 'done', 'assessment'],
    ]);
    const errors = (await heard()).filter((/** @type {string[]} */ [id, type]) => id === 'fourth' && type === 'error');
    assert.deepEqual(errors.map((/** @type {string[]} */ [, , code]) => code), ['no-weights', 'options', 'options']);
  });

  test('a film that the program stops on is told as an error, the next one is answered, and a neighbour on the engine stays ready', async () => {
    const stops = `
{
  const { assess } = Classifier.prototype;
  Classifier.prototype.assess = function (film, ...values) {
    if (film.file.startsWith('bad')) throw new WebAssembly.RuntimeError('unreachable');
    return assess.call(this, film, ...values);
  };
}
`;
    const faulty = await serve({
      folder: made.folder,
      change: (name, bytes) => (name.endsWith('cpu/deepbreath.js') ? Buffer.concat([bytes, Buffer.from(stops)]) : bytes),
    });
    const tab = await browser.newPage();
    try {
      await tab.goto(`${faulty.url}blank.html`);
      const outcome = await tab.evaluate(async () => {
        // @ts-ignore: an address of the served page
        await import('./deepbreath/element.js');
        /** @type {string[]} */
        const told = [];
        document.addEventListener('error', (event) => told.push(/** @type {any} */ (event).detail.code));
        const [reader, neighbour] = [1, 2].map(() => {
          const element = /** @type {DeepBreathElement} */ (document.createElement('deep-breath'));
          element.setAttribute('backend', 'cpu');
          element.setAttribute('weights', 'deepbreath.safetensors');
          document.body.append(element);
          return element;
        });
        if (!reader || !neighbour) throw new Error('no elements');
        await neighbour.classifier;
        const film = await (await fetch('drawn.png')).blob();
        /** What stands in an element: its status, and the part of the answer that is on show. @param {DeepBreathElement} element */
        const shown = ({ shadowRoot }) => [shadowRoot?.getElementById('status')?.dataset.state,
          ['waiting', 'working', 'error', 'assessment'].find((id) => !shadowRoot?.getElementById(id)?.hidden)];
        const code = await reader.classify(new File([film], 'bad.png')).catch((error) => error.code);
        const stopped = [code, ...told, shown(reader), shown(neighbour)];
        const { file } = await reader.classify(new File([film], 'good.png'));
        return [...stopped, file, shown(reader), shown(neighbour)];
      });
      assert.deepEqual(outcome, ['panic', 'panic', ['ready', 'error'], ['ready', 'waiting'], 'good.png', ['ready', 'assessment'], ['ready', 'waiting']]);
    } finally {
      await tab.close();
      faulty.close();
    }
  });

  test('what was set before its module came counts, and can be changed', async () => {
    const tab = await browser.newPage();
    try {
      await tab.goto(`${server.url}blank.html`);
      const outcome = await tab.evaluate(async () => {
        const element = /** @type {DeepBreathElement} */ (document.createElement('deep-breath'));
        element.setAttribute('backend', 'cpu');
        element.weights = 'nowhere.safetensors';
        document.body.append(element);
        // @ts-ignore: an address of the served page
        await import('./deepbreath/element.js');
        const first = await element.classifier.catch((error) => error.code);
        element.weights = 'deepbreath.safetensors';
        return [first, (await element.classifier).weights.classes.length];
      });
      assert.deepEqual(outcome, ['unreachable', 3]);
    } finally {
      await tab.close();
    }
  });

  test('an engine that is still loading ends where nobody waits for it', { timeout: 60_000 }, async () => {
    const tab = await browser.newPage();
    try {
      await tab.route('**/stalled.safetensors', () => {}); // Never answered.
      await tab.goto(`${server.url}blank.html`);
      const outcome = await tab.evaluate(async () => {
        // @ts-ignore: an address of the served page
        await import('./deepbreath/element.js');
        const element = /** @type {DeepBreathElement} */ (document.createElement('deep-breath'));
        element.setAttribute('weights', 'stalled.safetensors');
        document.body.append(element);
        const { classifier } = element;
        element.remove();
        return classifier.catch((error) => error.name);
      });
      assert.equal(outcome, 'AbortError');
      await becomes(async () => tab.workers().length, 0, 'its worker ended');
    } finally {
      await tab.close();
    }
  });

  test('files fall on it, and a word on a field in one of its slots', async () => {
    const outcome = await page.evaluate(async () => {
      const element = /** @type {DeepBreathElement} */ (document.querySelector('#first'));
      /** @param {DataTransfer} dataTransfer */
      const drop = (dataTransfer) => !element.dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }));
      const word = new DataTransfer();
      word.setData('text/plain', 'a word');
      const file = new DataTransfer();
      file.items.add(new File([await (await fetch('drawn.png')).blob()], 'dropped.png'));
      const answered = new Promise((resolve) => element.addEventListener('assessment', ({ detail }) => resolve(detail.file), { once: true }));
      const taken = [drop(word), drop(file), await answered];
      const pasted = new Promise((resolve) => element.addEventListener('assessment', ({ detail }) => resolve(detail.file), { once: true }));
      const clipboard = new DataTransfer();
      clipboard.items.add(new File([await (await fetch('drawn.png')).blob()], 'pasted.png'));
      element.shadowRoot?.getElementById('stage')?.dispatchEvent(new ClipboardEvent('paste', { clipboardData: clipboard, bubbles: true, composed: true }));
      return [...taken, await pasted];
    });
    assert.deepEqual(outcome, [false, true, 'dropped.png', 'pasted.png']);
  });

  test('an engine that no element uses is ended', { timeout: 60_000 }, async () => {
    const ended = await page.evaluate(async () => {
      const first = /** @type {DeepBreathElement} */ (document.querySelector('#first'));
      const classifier = await first.classifier;
      for (const element of document.querySelectorAll('deep-breath')) element.remove();
      for (;;) {
        const code = await classifier.classify(new Uint8Array(0)).catch((error) => error.code);
        if (code === 'closed') return code;
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    });
    assert.equal(ended, 'closed');
  });

  test('the policy stopped nothing, and nothing was thrown', () => {
    assert.match(POLICY, /^script-src /, 'the README lists one');
    assert.deepEqual(complaints.filter((text) => !text.includes('404')), []);
  });
});
