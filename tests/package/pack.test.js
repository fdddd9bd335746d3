// What the package holds, says and answers outside a browser.

import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { appendFileSync, copyFileSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { brotliCompressSync, brotliDecompressSync } from 'node:zlib';
import { DIST, ROOT } from '../browser/site.js';
import { difference, NO_TRAINER, PACKAGE, predicted, project, TOLERANCE, WEIGHTS_PACKAGE } from './installed.js';

/** @typedef {import('../../www/client.js').Assessment} Assessment */

const run = promisify(execFile);

/** @type {ReturnType<typeof project>} */
let made;

before(() => {
  made = project();
});
after(() => made?.remove());

/** What the example of the package prints for the project's images. @returns {Promise<Assessment[]>} */
async function answered() {
  const example = 'node_modules/deepbreath/examples/classify.mjs';
  const { stdout } = await run(process.execPath, [example, '--weights', 'deepbreath.safetensors', ...made.images], { cwd: made.folder });
  return stdout.trim().split('\n').map((line) => JSON.parse(line));
}

/** The files that npm would publish. @param {string} folder @returns {string[]} */
function packed(folder) {
  // Packs first; its list is that of `npm pack --dry-run --json`.
  const printed = execFileSync('npm', ['publish', '--dry-run', '--json', '--offline'], { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  const report = JSON.parse(printed);
  const { files } = report.files ? report : /** @type {any} */ (Object.values(report)[0]); // npm 10, npm 11
  return files.map((/** @type {{ path: string }} */ file) => file.path).sort();
}

test('npm packs exactly these files, and would publish them', () => {
  const application = ['answer', 'dom', 'language', 'measured', 'picture', 'prevalence', 'report', 'saliency', 'viewer', 'words', 'words/de', 'words/en', 'words/es', 'words/fr'].map((name) => `app/${name}`);
  const modules = [...application, 'backend', 'client', 'element', 'engine', 'engines', 'fetch', 'frame-element', 'generated/markup', 'language-of', 'languages', 'node', 'node-worker', 'programs', 'source', 'trusted', 'worker'];
  const programs = ['cpu', 'webgpu'];
  const wanted = [
    ...modules.flatMap((name) => [`${name}.js`, `${name}.d.ts`]).filter((name) => !/^node.*\.d\.ts$/.test(name)),
    'generated/cpu/deepbreath.d.ts',
    ...programs.flatMap((name) => ['deepbreath.js', 'deepbreath_bg.wasm'].map((file) => `generated/${name}/${file}`)),
    'CHANGELOG.md', 'COOKBOOK.md', 'LICENSE-APACHE', 'app/host.d.ts', 'events.d.ts', 'LICENSE-MIT', 'NOTICE', 'README.md', 'deep-breath.d.ts', 'deep-breath-frame.d.ts',
    ...['classify.mjs', 'plain.html', 'react.jsx', 'ten-lines.html'].map((name) => `examples/${name}`), 'package.json',
  ];
  assert.deepEqual(packed(PACKAGE), wanted.sort());
});

test('the weights are a package of their own, which says what they are for', async () => {
  assert.deepEqual(packed(WEIGHTS_PACKAGE), [
    'LICENSE-APACHE', 'MODEL_CARD.md', 'NOTICE', 'README.md', 'deepbreath.safetensors', 'index.d.ts', 'index.js', 'package.json',
  ]);
  const [weights, program] = [WEIGHTS_PACKAGE, PACKAGE].map((folder) => JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8')));
  for (const key of ['dependencies', 'peerDependencies', 'scripts', 'private']) assert.equal(weights[key], undefined, key);
  assert.equal(weights.version, program.version);
  const readme = readFileSync(path.join(WEIGHTS_PACKAGE, 'README.md'), 'utf8');
  for (const words of [/Not a diagnosis/, /Not for any decision about a person/, /\| nih \|/]) assert.match(readme, words);
  assert.doesNotMatch(readme, /<!--/);

  const script = `import { Classifier } from 'deepbreath';
    import { weights } from 'deepbreath-weights';
    const classifier = await Classifier.load({ weights });
    console.log(JSON.stringify([classifier.weights.id, (await classifier.classify(new URL('drawn.png', import.meta.url))).findings.length]));
    classifier.dispose();`;
  writeFileSync(path.join(made.folder, 'own.mjs'), script);
  const { stdout } = await run(process.execPath, ['own.mjs'], { cwd: made.folder });
  const [id, findings] = JSON.parse(stdout);
  assert.match(readFileSync(path.join(WEIGHTS_PACKAGE, 'MODEL_CARD.md'), 'utf8'), new RegExp(id));
  assert.ok(findings > 1);
});

test('package.json depends on nothing, runs nothing and names files that are there', () => {
  const manifest = JSON.parse(readFileSync(path.join(PACKAGE, 'package.json'), 'utf8'));
  for (const key of ['dependencies', 'peerDependencies', 'optionalDependencies', 'scripts', 'private']) assert.equal(manifest[key], undefined, key);
  assert.match(manifest.version, /^\d+\.\d+\.\d+/);
  /** @param {unknown} value @returns {string[]} */
  const leaves = (value) => (typeof value === 'string' ? [value] : Object.values(/** @type {object} */ (value)).flatMap(leaves));
  const named = [...leaves(manifest.exports), ...manifest.sideEffects].filter((name) => !name.includes('*'));
  assert.ok(named.length > 5);
  for (const name of named) readFileSync(path.join(PACKAGE, name));
});

test('the whole package, without weights, is at most 2.5 MB compressed', (context) => {
  /** What brotli makes of a file; a program was packed before, for the site, which takes long. @param {string} name */
  const size = (name) => {
    const bytes = readFileSync(path.join(PACKAGE, name));
    const [, backend] = /^generated\/(\w+)\/.*\.wasm$/.exec(name) ?? [];
    const folder = path.join(DIST, `assets/generated/${backend}`);
    const copy = backend && existsSync(folder) && readdirSync(folder).find((file) => file.endsWith('.wasm.br'));
    if (!copy) return brotliCompressSync(bytes).length;
    const known = readFileSync(path.join(folder, copy));
    return brotliDecompressSync(known).equals(bytes) ? known.length : brotliCompressSync(bytes).length;
  };
  const sizes = packed(PACKAGE).map((name) => ({ name, bytes: size(name) }));
  const total = sizes.reduce((sum, { bytes }) => sum + bytes, 0);
  context.diagnostic(`${total} bytes`);
  assert.ok(sizes.some(({ name }) => name === 'generated/webgpu/deepbreath_bg.wasm'));
  assert.ok(total <= 2_500_000, `${total} bytes: ${JSON.stringify(sizes.sort((a, b) => b.bytes - a.bytes).slice(0, 9))}`);
});

test('the example for Node.js answers as the trainer does', async (context) => {
  const expected = predicted(made);
  if (!expected) return context.skip(NO_TRAINER);
  const answers = await answered();
  assert.deepEqual(answers.map(({ file }) => file), made.images);
  for (const { file, findings } of answers) {
    const far = difference(findings, expected[file]);
    assert.ok(far < TOLERANCE, `${file} differs by ${far}`);
  }
});

test('the example takes the installed weights where none are named, and says so where there are none', async () => {
  const example = 'node_modules/deepbreath/examples/classify.mjs';
  const { stdout } = await run(process.execPath, [example, 'drawn.png'], { cwd: made.folder });
  assert.equal(JSON.parse(stdout).file, 'drawn.png');
  const [here, away] = ['node_modules/deepbreath-weights', 'away'].map((name) => path.join(made.folder, name));
  renameSync(here ?? '', away ?? '');
  try {
    const failed = await run(process.execPath, [example, 'drawn.png'], { cwd: made.folder }).then(() => assert.fail('it answered'), (error) => error);
    assert.equal(failed.code, 2);
    assert.match(failed.stderr, /^usage: .*\n.*npm install deepbreath-weights/);
  } finally {
    renameSync(away ?? '', here ?? '');
  }
});

test('the example says what is wrong with a file, and ends with code 2', async () => {
  const example = 'node_modules/deepbreath/examples/classify.mjs';
  const failed = await run(process.execPath, [example, '--weights', 'deepbreath.safetensors', 'package.json', 'nowhere.dcm'], { cwd: made.folder })
    .then(() => assert.fail('it answered'), (error) => error);
  assert.equal(failed.code, 2);
  assert.match(failed.stderr, /^unknown-format: package\.json: .*\nunreadable-file: .*nowhere\.dcm/);
});

test('a program that stops in Node.js is an error of its file, and the next file is answered', async () => {
  const broken = project();
  try {
    // A panic in the middle of an answer: it settles no promise and comes by as an uncaught error.
    const fault = `{ const real = Classifier.prototype.assess;
      Classifier.prototype.assess = function (film, ...rest) {
        if (film.file !== 'bad.png') return real.call(this, film, ...rest);
        setTimeout(() => { throw new WebAssembly.RuntimeError('unreachable'); });
        return new Promise(() => {});
      }; }`;
    appendFileSync(path.join(broken.folder, 'node_modules/deepbreath/generated/cpu/deepbreath.js'), fault);
    copyFileSync(path.join(broken.folder, 'drawn.png'), path.join(broken.folder, 'bad.png'));
    const example = 'node_modules/deepbreath/examples/classify.mjs';
    const failed = await run(process.execPath, [example, '--weights', 'deepbreath.safetensors', 'bad.png', 'drawn.png'], { cwd: broken.folder })
      .then(() => assert.fail('it answered'), (error) => error);
    assert.equal(failed.code, 2);
    assert.match(failed.stderr, /^panic: bad\.png: /m);
    assert.equal(JSON.parse(failed.stdout).file, 'drawn.png');
  } finally {
    broken.remove();
  }
});

test('in Node.js every failure has a code, and what is aborted rejects with the reason of its signal', async () => {
  const script = `import { createServer } from 'node:http';
    import { Classifier, DeepbreathError } from 'deepbreath';
    const say = (error) => error instanceof DeepbreathError ? error.code : error.message;
    const stalled = createServer(() => {});
    await new Promise((resolve) => stalled.listen(0, '127.0.0.1', resolve));
    const address = \`http://127.0.0.1:\${stalled.address().port}/film.png\`;
    const soon = () => {
      const abort = new AbortController();
      setTimeout(() => abort.abort(new Error('enough')), 50);
      return abort.signal;
    };
    const gone = AbortSignal.abort(new Error('no more'));
    const weights = 'deepbreath.safetensors';
    const loads = [undefined, {}, { weights: 'http://[' }, { weights: '.' }, { weights: address, signal: soon() }, { weights, signal: gone }];
    const loading = await Promise.all(loads.map((options) => Classifier.load(options).then(() => 'loaded', say)));
    const classifier = await Classifier.load({ weights });
    const told = (work) => work.then(() => 'answered', say);
    const asking = [
      await told(classifier.classify(new URL('file:///100%.png'))), await told(classifier.classify('drawn.png')),
      await told(classifier.classify(new URL(address), { signal: soon() })), await told(classifier.classify(new URL(address), { signal: gone })),
      await told(classifier.reduce(new URL('drawn.png', import.meta.url))),
    ];
    classifier.dispose();
    stalled.closeAllConnections();
    stalled.close();
    console.log(JSON.stringify([loading, asking]));`;
  writeFileSync(path.join(made.folder, 'failures.mjs'), script);
  const { stdout } = await run(process.execPath, ['failures.mjs'], { cwd: made.folder, timeout: 60_000 });
  const [loading, asking] = JSON.parse(stdout);
  assert.deepEqual(loading, ['no-weights', 'no-weights', 'options', 'unreadable-file', 'enough', 'no more']);
  assert.deepEqual(asking, ['unreadable-file', 'unreadable-file', 'enough', 'no more', 'answered']);
  const part = project();
  try {
    rmSync(path.join(part.folder, 'node_modules/deepbreath/generated'), { recursive: true });
    writeFileSync(path.join(part.folder, 'part.mjs'), `import { Classifier } from 'deepbreath';
      console.log(await Classifier.load({ weights: 'deepbreath.safetensors' }).catch((error) => error.code));`);
    assert.equal((await run(process.execPath, ['part.mjs'], { cwd: part.folder })).stdout, 'worker\n');
  } finally {
    part.remove();
  }
});

/** Compiles files of the project as a user would. @param {Record<string, string>} sources @param {object} [options] */
async function compile(sources, options = {}) {
  for (const [name, text] of Object.entries(sources)) writeFileSync(path.join(made.folder, name), text);
  writeFileSync(path.join(made.folder, 'tsconfig.json'), JSON.stringify({
    compilerOptions: {
      strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, noEmit: true, skipLibCheck: false,
      module: 'esnext', moduleResolution: 'bundler', target: 'es2022', lib: ['es2022', 'dom', 'dom.iterable'], types: [], ...options,
    },
    files: Object.keys(sources),
  }));
  return run(process.execPath, [path.join(ROOT, 'node_modules/typescript/bin/tsc'), '--project', made.folder]).then(() => '', (error) => error.stdout);
}

const CONSUMER = `
import { DeepBreathElement, type OwnWords } from 'deepbreath/element';
import { DeepBreathFrameElement } from 'deepbreath/frame';
import { weights as released } from 'deepbreath-weights';
import { Classifier, DeepbreathError, type Assessment, type BackendChange, type ErrorCode, type Progress } from 'deepbreath';

export async function answer(film: File, pixels: ImageData, signal: AbortSignal): Promise<Assessment> {
  const onProgress = ({ loaded, total, stage }: Progress) => console.log(loaded / total, stage);
  const classifier = await Classifier.load({ weights: released, backend: 'auto', onProgress, signal, base: undefined });
  const changed = ({ detail }: CustomEvent<BackendChange>) => console.log(detail.backend, detail.reason.length);
  classifier.addEventListener('backendchange', changed, { once: true });
  classifier.addEventListener('backendchange', ({ detail: { backend, reason } }) => console.log(backend === 'cpu', reason));
  classifier.removeEventListener('backendchange', changed);
  classifier.addEventListener('restart', changed);
  if (classifier.fallback) console.log(classifier.reason);
  // @ts-expect-error: the detail is no number
  classifier.addEventListener('backendchange', ({ detail }: CustomEvent<number>) => console.log(detail));
  // @ts-expect-error: and has no such field
  classifier.addEventListener('backendchange', ({ detail }) => console.log(detail.engine));
  const sources = [film, new Blob(), new ArrayBuffer(8), new Uint8Array(8), new URL('https://example.org/f'), pixels];
  try {
    for (const source of sources) await classifier.classify(source, { signal });
    return await classifier.classify(film, { saliency: true });
  } catch (error) {
    if (error instanceof DeepbreathError) {
      const code: ErrorCode | (string & {}) = error.code;
      console.warn(code, error.message);
    }
    throw error;
  } finally {
    classifier.dispose();
  }
}

export function embed(weights: Blob): DeepBreathElement {
  const element = document.createElement('deep-breath');
  element.weights = weights;
  const told = ({ detail }: CustomEvent<Assessment>) => console.log(detail.call);
  element.addEventListener('assessment', told);
  element.removeEventListener('assessment', told);
  element.addEventListener('ready', ({ detail }) => console.log(detail.backend === 'webgpu', detail.weights.classes[0]));
  element.addEventListener('error', ({ detail }) => console.log(detail.code, detail.message));
  element.addEventListener('click', ({ clientX }) => console.log(clientX));
  document.addEventListener('assessment', ({ detail }) => console.log(detail.refused));
  // @ts-expect-error: an answer is no word
  element.addEventListener('assessment', ({ detail }: CustomEvent<string>) => console.log(detail));
  // @ts-expect-error: an error has no such field
  element.addEventListener('error', ({ detail }) => console.log(detail.status));
  return element;
}

export function apart(element: DeepBreathFrameElement) {
  element.addEventListener('error', ({ detail }) => console.log(detail.code));
  element.addEventListener('assessment', ({ detail }) => console.log(detail.findings.length));
  // @ts-expect-error: an answer is no word
  element.addEventListener('assessment', ({ detail }: CustomEvent<string>) => console.log(detail));
}

const italian: OwnWords = { 'bar.open': 'Apri', 'finding.silicosis': 'Silicosi' };
DeepBreathElement.define('it', italian);
// @ts-expect-error: there is no such key
DeepBreathElement.define('it', { 'bar.opens': 'Apri' });

export const say = ({ findings, call, provenance, timings }: Assessment) =>
  \`\${findings[0]?.label ?? ''} \${call ?? 'no call'} \${provenance.notes.join()} \${timings.total.toFixed()} \${provenance.window?.kind}\`;
`;

test('a strict TypeScript consumer compiles, and mistakes do not', async () => {
  assert.equal(await compile({ 'consumer.ts': CONSUMER }), '');
  const nodeTypes = { module: 'nodenext', moduleResolution: 'nodenext' };
  assert.equal(await compile({ 'consumer.ts': CONSUMER }, nodeTypes), '');
  const wrong = await compile({ 'wrong.ts': "import { Classifier } from 'deepbreath';\nvoid Classifier.load({ weight: 'x' });\n" });
  assert.match(wrong, /weight/);
});

test('the types are those of real answers: no field more, none less', async () => {
  const answers = await answered();
  const sources = answers.map((answer) => `import type { Assessment } from 'deepbreath';\nexport const answer: Assessment = ${JSON.stringify(answer)};\n`);
  assert.equal(await compile(Object.fromEntries(sources.map((text, index) => [`answer-${index}.ts`, text]))), '');
  const readme = readFileSync(path.join(PACKAGE, 'README.md'), 'utf8');
  for (const field of Object.keys(answers[0] ?? {})) assert.ok(readme.includes(`\`${field}\``), `the README describes ${field}`);
  const [source = ''] = sources;
  assert.match(await compile({ 'more.ts': source.replace('"file"', '"fyle":"", "file"') }), /fyle/);
  assert.match(await compile({ 'less.ts': source.replace(/"backend":"cpu",/, '') }), /backend/);
});

test('the types of the classifier on the page for developers are those of the package', () => {
  const [shown, packed] = [path.join(ROOT, 'package'), PACKAGE].map((folder) => readFileSync(path.join(folder, 'client.d.ts'), 'utf8'));
  assert.equal(shown, packed, 'copy client.d.ts of the package to package/client.d.ts');
});

test('the table of codes lists every code that is thrown, and no other', () => {
  const sources = ['src/error.rs', 'src/web.rs', ...['backend', 'client', 'element', 'engine', 'engines', 'fetch', 'frame-element', 'loader/assets', 'node', 'programs', 'source', 'worker'].map((name) => `www/${name}.js`)]
    .map((name) => readFileSync(path.join(ROOT, name), 'utf8')).join('\n');
  const thrown = new Set([...sources.matchAll(/(?:(?:DeepbreathError|EngineLost|failure)\(|=> |code: )['"]([a-z]+(?:-[a-z]+)*)['"]/g)].map(([, code]) => code));
  const table = readFileSync(path.join(PACKAGE, 'README.md'), 'utf8').split('| code | what happened |')[1]?.split('\n\n')[0] ?? '';
  const listed = [...table.matchAll(/`([a-z-]+)`/g)].map(([, code]) => code);
  const rows = table.split('\n').flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/`([a-z-]+)`/g)].map(([, code]) => code));
  assert.ok(rows.length > 20 && listed.length >= rows.length);
  assert.deepEqual(rows.toSorted(), [...thrown].toSorted());
  const union = /@typedef \{([^}]*)\} ErrorCode/.exec(readFileSync(path.join(ROOT, 'www/engine.js'), 'utf8'))?.[1] ?? '';
  assert.deepEqual([...union.matchAll(/'([a-z-]+)'/g)].map(([, code]) => code).toSorted(), rows.toSorted());
});
