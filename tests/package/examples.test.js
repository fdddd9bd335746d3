// The examples of the package as they are, and the page about the package.

import assert from 'node:assert/strict';
import { copyFileSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { launch, ROOT, serve } from '../browser/site.js';
import { project } from './installed.js';

/** @typedef {import('../../www/client.js').Assessment} Assessment */

const AXE = readFileSync(path.join(ROOT, 'node_modules/axe-core/axe.min.js'), 'utf8');

/** @type {ReturnType<typeof project>} */
let made;
/** @type {import('playwright-core').Browser} */
let browser;
/** @type {Awaited<ReturnType<typeof serve>>} */
let server;

before(async () => {
  made = project();
  const installed = path.join(made.folder, 'node_modules/deepbreath');
  cpSync(installed, path.join(made.folder, 'deepbreath'), { recursive: true });
  for (const name of ['plain.html', 'ten-lines.html']) copyFileSync(path.join(installed, 'examples', name), path.join(made.folder, name));
  server = await serve({ folder: made.folder });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  server?.close();
  made?.remove();
});

/** Opens a page of the project and lets `body` look at it. @param {string} name @param {(page: import('playwright-core').Page) => Promise<void>} body */
async function open(name, body) {
  const page = await browser.newPage();
  try {
    await page.goto(`${server.url}${name}`);
    await body(page);
  } finally {
    await page.close();
  }
}

const image = () => path.join(made.folder, made.images.at(-1) ?? '');

describe('the examples', () => {
  test('ten lines classify', () => open('ten-lines.html', async (page) => {
    const text = readFileSync(path.join(made.folder, 'ten-lines.html'), 'utf8').trim().split('\n');
    assert.ok(text.length <= 12, `${text.length} lines`);
    assert.ok(readFileSync(path.join(made.folder, 'deepbreath/README.md'), 'utf8').includes(text.join('\n')), 'the README shows this page');
    // The page listens once the classifier is there.
    await page.waitForFunction(() => /** @type {HTMLInputElement} */ (document.querySelector('#film')).onchange, undefined, { timeout: 60_000 });
    await page.locator('#film').setInputFiles(image());
    await page.locator('#answer', { hasText: made.images.length > 1 ? /\d %.*\d %.*\d %/ : 'no frontal chest X-ray' }).waitFor({ timeout: 60_000 });
  }));

  test('the plain page with the element answers', () => open('plain.html', async (page) => {
    await page.locator('deep-breath #file').setInputFiles(image());
    await page.locator('deep-breath #assessment').waitFor({ timeout: 60_000 });
  }));

  test('the React component tells its page, and the hook its component', async () => {
    const { build } = await import('esbuild');
    const folder = path.join(made.folder, 'react');
    mkdirSync(folder);
    const entry = path.join(folder, 'main.jsx');
    writeFileSync(entry, `
      import { StrictMode, useState } from 'react';
      import { createRoot } from 'react-dom/client';
      import { Reader, useClassifier } from '../node_modules/deepbreath/examples/react.jsx';
      function App() {
        const [call, setCall] = useState('');
        const { classifier, error } = useClassifier('../deepbreath.safetensors');
        return <main>
          <h1>Reader</h1>
          <Reader weights="../deepbreath.safetensors" backend="cpu" onAssessment={({ file }) => setCall(file)} />
          <p id="heard">{call}</p>
          <p id="hook">{error ? error.code : classifier ? classifier.weights.classes.join() : 'loading'}</p>
        </main>;
      }
      createRoot(document.getElementById('root')).render(<StrictMode><App /></StrictMode>);`);
    await build({
      entryPoints: [entry], bundle: true, format: 'esm', outfile: path.join(folder, 'main.js'), jsx: 'automatic', logLevel: 'error',
      nodePaths: [path.join(ROOT, 'node_modules')], define: { 'process.env.NODE_ENV': '"production"' },
    });
    for (const name of ['worker.js', 'generated']) cpSync(path.join(made.folder, 'deepbreath', name), path.join(folder, name), { recursive: true });
    writeFileSync(path.join(folder, 'index.html'), '<!doctype html><title>React</title><link rel="icon" href="data:,"><div id="root"></div><script type="module" src="main.js"></script>');
    await open('react/index.html', async (page) => {
      await page.locator('deep-breath #file').setInputFiles(image());
      await page.locator('#heard', { hasText: made.images.at(-1) ?? '' }).waitFor({ timeout: 60_000 });
      await page.locator('#hook', { hasText: ',' }).waitFor({ timeout: 60_000 });
    });
  });
});

test('the page about the package is found, has guide, cookbook and types, and nothing for axe to complain about', async () => {
  const site = await serve();
  const page = await browser.newPage();
  try {
    await page.goto(`${site.url}about.html`);
    await page.locator('a[href="embed.html"]').click();
    await page.locator('h1', { hasText: 'In your own page' }).waitFor();
    const text = await page.locator('main').innerText();
    for (const part of ['Classifier.load', 'unsupported-transfer-syntax', 'A folder at once', 'export interface Assessment', 'Versions']) {
      assert.ok(text.includes(part), part);
    }
    await page.evaluate(AXE);
    const found = await page.evaluate(() => /** @type {any} */ (globalThis).axe.run(document, { resultTypes: ['violations'] }));
    assert.deepEqual(found.violations.map((/** @type {any} */ { id, nodes }) => [id, nodes.length]), []);
  } finally {
    await page.close();
    site.close();
  }
});
