// The examples of the package as they are, and the page about the package.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
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

/** What each recipe of the cookbook finds around it, and what is to be looked at after it, as code. @type {[string, string, string, unknown][]} */
const RECIPES = [
  ['A folder at once', "const input = { files: [film, new File(['text'], 'note.txt')] }; const { signal } = new AbortController();",
    'rows.map(({ file, error = "answered" }) => [file, error])', [['drawn.png', 'answered'], ['note.txt', 'unknown-format']]],
  ['Your own weights, your own classes', "const signedUrl = 'deepbreath.safetensors'; const headers = { 'x-made-up': '1' };",
    'classifier.weights.operating_points.filter(({ name }) => name === "balanced").length === classifier.weights.classes.length', true],
  ['Once fetched, kept', "const address = 'deepbreath.safetensors';", '[classifier.backend, await caches.has("deepbreath")]', ['cpu', true]],
  ['Another language', '', "document.createElement('deep-breath') instanceof DeepBreathElement", true],
  ['The film as the classifier saw it', "const file = film; const canvas = document.createElement('canvas');",
    "[canvas.width, canvas.height, canvas.getContext('2d').getImageData(160, 150, 1, 1).data[3]]", [320, 300, 255]],
  ['What it goes by', 'const file = film;',
    'Math.max(...whole.findings.map(({ probability }, index) => Math.abs(probability - without.findings[index].probability))) > 0.01', true],
  ['Where the network looked', 'const file = film;', '[values.length === width * height, typeof peak]', [true, 'number']],
];

test('the recipes of the cookbook run as they are', () => open('blank.html', async (page) => {
  const sections = new Map(readFileSync(path.join(made.folder, 'deepbreath/COOKBOOK.md'), 'utf8').split('\n## ').map((text) => {
    const [heading = ''] = text.split('\n');
    return [heading, [...text.matchAll(/```js\n([^]*?)```/g)].map(([, code]) => code ?? '')];
  }));
  const server = sections.get('On a server') ?? [];
  const tested = [...RECIPES.map(([heading]) => heading), 'On a server'];
  assert.deepEqual([...sections].filter(([, codes]) => codes.length).map(([heading]) => heading).toSorted(), tested.toSorted());
  for (const [heading, around, look, wanted] of RECIPES) {
    const [code = '', ...more] = sections.get(heading) ?? [];
    assert.equal(more.length, 0, heading);
    // No import inside a function: the same by a call.
    const inside = code.replace(/import (\{.*\}) from 'deepbreath\/element';/, "const $1 = await import(new URL('deepbreath/element.js', document.baseURI).href);");
    const found = await page.evaluate(`(async () => {
      const { Classifier } = await import(new URL('deepbreath/client.js', document.baseURI).href);
      const classifier = await (globalThis.shared ??= Classifier.load({ weights: 'deepbreath.safetensors', backend: 'cpu' }));
      const film = new File([await (await fetch('drawn.png')).blob()], 'drawn.png');
      ${around}
      { ${inside}
        return ${look}; }
    })()`);
    assert.deepEqual(found, wanted, heading);
  }
  const [code = ''] = server;
  writeFileSync(path.join(made.folder, 'server.mjs'), `import { readFileSync } from 'node:fs';\nconst bytes = readFileSync('drawn.png');\n${code}\nconsole.log(assessment.file);`);
  assert.equal(execFileSync(process.execPath, ['server.mjs'], { cwd: made.folder, encoding: 'utf8', timeout: 60_000 }), 'upload.dcm\n');
}));

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
