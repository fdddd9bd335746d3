// Sites built around the package with each bundler, and with none, as their users build them; served below a sub-path
// and driven to the trainer's answers.

import assert from 'node:assert/strict';
import { cpSync, createReadStream, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { launch, serve } from '../browser/site.js';
import { difference, NO_TRAINER, predicted, project, TOLERANCE, WEIGHTS_PACKAGE } from './installed.js';

/** @typedef {{ file: string, findings: { label: string, probability: number }[] }} Answer */

/** @type {ReturnType<typeof project>} */
let made;
/** @type {ReturnType<typeof predicted>} */
let expected;
/** @type {import('playwright-core').Browser} */
let browser;

before(async () => {
  made = project();
  expected = predicted(made);
  browser = await launch();
  writeFileSync(path.join(made.folder, 'main.js'), program(''));
});
after(async () => {
  await browser?.close();
  made?.remove();
});

/** The site's own code. @param {string} options Further options of `load`, as code. */
const program = (options, from = 'deepbreath', weights = "const weights = 'deepbreath.safetensors';") => `
  import { Classifier } from '${from}';
  ${weights}
  const classifier = await Classifier.load({ weights, backend: 'cpu'${options} });
  const answers = [];
  for (const name of ${JSON.stringify(made.images)}) answers.push(await classifier.classify(new URL(name, document.baseURI)));
  globalThis.answers = answers;
`;

/** @param {string} script @param {string} [head] */
const page = (script, head = '') => `<!doctype html><html lang="en"><meta charset="utf-8"><title>site</title>
  <link rel="icon" href="data:,">${head}<script type="module" src="${script}"></script></html>`;

/**
 * A folder to serve, with weights and images.
 * @param {string} name
 * @param {string} [html]
 */
function site(name, html) {
  const folder = path.join(made.folder, 'sites', name);
  mkdirSync(folder, { recursive: true });
  for (const file of ['deepbreath.safetensors', ...made.images]) symlinkSync(path.join(made.folder, file), path.join(folder, file));
  if (html) writeFileSync(path.join(folder, 'index.html'), html);
  return folder;
}

/**
 * Opens a site and compares its answers.
 * @param {import('node:test').TestContext} context
 * @param {string} url
 */
async function compare(context, url) {
  const tab = await browser.newPage();
  try {
    const failed = new Promise((_, reject) => tab.on('pageerror', reject));
    failed.catch(() => {});
    await tab.goto(url);
    const done = tab.waitForFunction(() => /** @type {any} */ (globalThis).answers, undefined, { timeout: 60_000 });
    const answers = /** @type {Answer[]} */ (await (await /** @type {typeof done} */ (Promise.race([done, failed]))).jsonValue());
    assert.deepEqual(answers.map(({ file }) => file), made.images);
    if (!expected) return context.skip(NO_TRAINER);
    for (const { file, findings } of answers) {
      const far = difference(findings, expected[file]);
      assert.ok(far < TOLERANCE, `${file} differs by ${far}`);
    }
  } finally {
    await tab.close();
  }
}

/**
 * Serves a built site and compares its answers.
 * @param {import('node:test').TestContext} context
 * @param {string} folder
 * @param {number} [programs] How many programs it may fetch of its own server: one is enough.
 * @param {Record<string, string>} [headers] Of its server.
 */
async function answersAsTrained(context, folder, programs = 1, headers = {}) {
  const server = await serve({ folder, headers });
  try {
    await compare(context, server.url);
    assert.equal(server.served.filter((name) => name.endsWith('.wasm')).length, programs);
  } finally {
    server.close();
  }
}

describe('a site with the package, answering as the trainer does', () => {
  test('without a bundler', async (context) => {
    const folder = site('plain', page('main.js'));
    cpSync(path.join(made.folder, 'node_modules/deepbreath'), path.join(folder, 'deepbreath'), { recursive: true });
    writeFileSync(path.join(folder, 'main.js'), program('', './deepbreath/client.js'));
    await answersAsTrained(context, folder);
  });

  test('isolated from other origins, and under the policy of the README, by headers of every file', async (context) => {
    const folder = site('isolated', page('main.js'));
    cpSync(path.join(made.folder, 'node_modules/deepbreath'), path.join(folder, 'deepbreath'), { recursive: true });
    writeFileSync(path.join(folder, 'main.js'), `if (!crossOriginIsolated) throw new Error('not isolated');${program('', './deepbreath/client.js')}`);
    const [, policy = ''] = /```text\n(script-src .*)\n```/.exec(readFileSync(path.join(folder, 'deepbreath/README.md'), 'utf8')) ?? [];
    assert.match(policy, /^script-src /);
    await answersAsTrained(context, folder, 1, {
      'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp',
      'content-security-policy': `default-src 'none'; ${policy}`,
    });
  });

  test('with the package on another origin, as a CDN serves it', async (context) => {
    const cdn = createServer((request, response) => {
      const file = path.join(made.folder, 'node_modules/deepbreath', new URL(request.url ?? '/', 'http://localhost').pathname);
      const type = { '.js': 'text/javascript', '.wasm': 'application/wasm' }[path.extname(file)] ?? 'text/plain';
      response.writeHead(200, { 'content-type': type, 'access-control-allow-origin': '*' });
      createReadStream(file).on('error', () => response.destroy()).pipe(response);
    });
    await new Promise((resolve) => cdn.listen(0, '127.0.0.1', () => resolve(undefined)));
    const { port } = /** @type {import('node:net').AddressInfo} */ (cdn.address());
    const origin = `http://localhost:${port}`;
    const policy = `script-src 'self' ${origin} 'wasm-unsafe-eval'; connect-src 'self' ${origin}; worker-src blob: ${origin}`;
    const folder = site('cdn', page('main.js', `<meta http-equiv="Content-Security-Policy" content="${policy}">`));
    writeFileSync(path.join(folder, 'main.js'), program('', `${origin}/client.js`));
    try {
      await answersAsTrained(context, folder, 0);
    } finally {
      cdn.closeAllConnections();
      cdn.close();
    }
  });

  test('with the development server of Vite', async (context) => {
    const { createServer } = await import('vite');
    const folder = site('vite-dev', page('./main.js'));
    cpSync(path.join(made.folder, 'node_modules'), path.join(folder, 'node_modules'), { recursive: true });
    writeFileSync(path.join(folder, 'main.js'), program(''));
    const server = await createServer({
      root: folder, base: '/some/path/', configFile: false, logLevel: 'error', optimizeDeps: { exclude: ['deepbreath'] }, server: { port: 0, host: '127.0.0.1', hmr: false },
    });
    await server.listen();
    try {
      await compare(context, server.resolvedUrls?.local[0] ?? '');
    } finally {
      await server.close();
    }
  });

  test('with Vite', async (context) => {
    const { build } = await import('vite');
    writeFileSync(path.join(made.folder, 'index.html'), page('./main.js'));
    const folder = site('vite');
    await build({ root: made.folder, base: './', configFile: false, publicDir: false, logLevel: 'error', build: { outDir: folder, emptyOutDir: false } });
    await answersAsTrained(context, folder);
  });

  test('with webpack', async (context) => {
    const { default: webpack } = await import('webpack');
    const folder = site('webpack', page('main.js'));
    /** @type {import('webpack').Stats} */
    const stats = await new Promise((resolve, reject) => webpack({
      mode: 'production', context: made.folder, entry: './main.js', output: { path: folder },
    }, (error, stats) => (stats ? resolve(stats) : reject(error))));
    assert.deepEqual(stats.toJson().errors, []);
    assert.deepEqual(stats.toJson().warnings?.filter(({ message }) => !/size limit|performance/.test(message)), []);
    await answersAsTrained(context, folder);
  });

  test('with the weights from a package of their own, which Vite and webpack bring along', async (context) => {
    if (!readFileSync(path.join(made.folder, 'deepbreath.safetensors')).equals(readFileSync(path.join(WEIGHTS_PACKAGE, 'deepbreath.safetensors')))) {
      return context.skip('skipped: the tests run with weights that are not the released ones');
    }
    const [{ build }, { default: webpack }] = await Promise.all([import('vite'), import('webpack')]);
    writeFileSync(path.join(made.folder, 'with-weights.js'), program('', undefined, "import { weights } from 'deepbreath-weights';"));
    writeFileSync(path.join(made.folder, 'with-weights.html'), page('./with-weights.js'));
    const folders = { vite: site('vite-weights'), webpack: site('webpack-weights', page('main.js')) };
    await build({
      root: made.folder, base: './', configFile: false, publicDir: false, logLevel: 'error',
      build: { outDir: folders.vite, emptyOutDir: false, rollupOptions: { input: path.join(made.folder, 'with-weights.html') } },
    });
    renameSync(path.join(folders.vite, 'with-weights.html'), path.join(folders.vite, 'index.html'));
    await new Promise((resolve, reject) => webpack({
      mode: 'production', context: made.folder, entry: './with-weights.js', output: { path: folders.webpack, filename: 'main.js' },
    }, (error, stats) => (stats && !stats.hasErrors() ? resolve(stats) : reject(error ?? new Error(stats?.toString())))));
    for (const folder of Object.values(folders)) {
      rmSync(path.join(folder, 'deepbreath.safetensors')); // It must be the one that came along.
      await answersAsTrained(context, folder);
    }
  });

  test('with Rollup, and the files that are fetched copied beside the bundle', async (context) => {
    const [{ rollup }, { nodeResolve }] = await Promise.all([import('rollup'), import('@rollup/plugin-node-resolve')]);
    const folder = site('rollup', page('main.js'));
    const bundle = await rollup({ input: path.join(made.folder, 'main.js'), plugins: [nodeResolve({ browser: true })] });
    await bundle.write({ dir: folder });
    await bundle.close();
    for (const name of ['worker.js', 'generated']) {
      cpSync(path.join(made.folder, 'node_modules/deepbreath', name), path.join(folder, name), { recursive: true });
    }
    await answersAsTrained(context, folder);
  });

  test('with esbuild, and the package in a folder that `base` names', async (context) => {
    const { build } = await import('esbuild');
    const folder = site('esbuild', page('main.js'));
    const entry = path.join(made.folder, 'with-base.js');
    writeFileSync(entry, program(", base: 'vendor/deepbreath/'"));
    await build({ entryPoints: [entry], bundle: true, minify: true, format: 'esm', outfile: path.join(folder, 'main.js'), logLevel: 'error' });
    cpSync(path.join(made.folder, 'node_modules/deepbreath'), path.join(folder, 'vendor/deepbreath'), { recursive: true });
    await answersAsTrained(context, folder);
  });
});
