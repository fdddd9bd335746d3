// Measures the built page: bytes of each file, time to ready, time per image. `node bench.js [RUNS]`

import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { dispatches } from './dispatches.js';
import { DIST, launch, phantom, ready, serve, SOURCES } from './site.js';

const RUNS = Number(process.argv[2] ?? 20);
if (!Number.isInteger(RUNS) || RUNS < 1) throw new Error(`the number of runs must be 1 or more, not ${process.argv[2]}`);

/** Visits of the page, each with an empty cache: slower, so fewer. */
const VISITS = Math.min(RUNS, 5);

/** @param {number[]} values Milliseconds. */
function summary(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (/** @type {number} */ share) => (sorted[Math.round(share * (sorted.length - 1))] ?? NaN).toFixed(1);
  return `median ${at(0.5)} ms, range ${at(0)} to ${at(1)} (n = ${values.length})`;
}

console.log(`${'bytes'.padStart(9)} ${'gzip'.padStart(9)} ${'brotli'.padStart(9)}  file`);
const total = [0, 0, 0];
for (const name of (await readdir(DIST, { recursive: true })).sort()) {
  const file = path.join(DIST, name);
  if (!(await stat(file)).isFile() || /\.(br|gz)$/.test(name)) continue;
  const bytes = await readFile(file);
  const sizes = [bytes.length, gzipSync(bytes, { level: 9 }).length, brotliCompressSync(bytes).length];
  sizes.forEach((size, index) => (total[index] = (total[index] ?? 0) + size));
  console.log(`${sizes.map((size) => String(size).padStart(9)).join(' ')}  ${name}`);
}
console.log(`${total.map((size) => String(size).padStart(9)).join(' ')}  total`);

const site = await serve();
const sources = await serve({ folder: SOURCES });
const bench = await serve({ folder: process.env.DEEPBREATH_BENCH ?? '' });
const browser = await launch();
try {
  const visits = [];
  for (let visit = 0; visit < VISITS; visit++) {
    const context = await browser.newContext();
    const page = await context.newPage();
    const start = performance.now();
    await page.goto(site.url);
    await ready(page);
    visits.push(performance.now() - start);
    await context.close();
  }
  console.log(`visit to ready: ${summary(visits)}`);

  const beside = await browser.newPage();
  await beside.goto(bench.url);
  const runs = await beside.evaluate(async (runs) => {
    /** @typedef {{ ready(): Promise<void>, predict(input: Float32Array): Promise<number[]> }} Bench */
    const { __bench } = /** @type {{ __bench: Bench }} */ (/** @type {unknown} */ (window));
    await __bench.ready();
    const input = new Float32Array(3 * 224 * 224).map((_, index) => Math.sin(index));
    const all = [];
    for (let run = 0; run <= runs; run++) {
      const start = performance.now();
      await __bench.predict(input);
      all.push(performance.now() - start);
    }
    return all.slice(1);
  }, RUNS);
  console.log(`a film of 224 x 224 that is decoded already: ${summary(runs)}`);

  const page = await browser.newPage();
  await page.goto(`${sources.url}blank.html`);
  const bytes = phantom().toString('base64');
  const timings = await page.evaluate(async ({ bytes, runs }) => {
    const { Classifier } = await import(new URL('client.js', document.baseURI).href);
    const classifier = await Classifier.load({ weights: 'generated/weights/deepbreath.safetensors', backend: 'cpu' });
    const file = new File([Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0))], 'phantom.png');
    const all = [];
    for (let run = 0; run <= runs; run++) {
      const start = performance.now();
      const { timings } = await classifier.classify(file);
      all.push({ ...timings, total: performance.now() - start });
    }
    return all;
  }, { bytes, runs: RUNS });
  const [cold, ...warm] = timings;
  console.log(`first image: ${cold?.total.toFixed(1)} ms`);
  console.log(`later images, as the page waits: ${summary(warm.map(({ total }) => total))}`);
  console.log(`  of which the network: ${summary(warm.map(({ forward }) => forward))}`);
} finally {
  await browser.close();
  site.close();
  sources.close();
  bench.close();
}

const all = await dispatches(process.env.DEEPBREATH_BENCH ?? '');
console.log(`one film on WebGPU: ${all.length} dispatches`);
/** @type {Map<string, { runs: number, groups: number }>} */
const programs = new Map();
for (const { program, groups } of all) {
  const sum = programs.get(program) ?? { runs: 0, groups: 0 };
  const product = groups.split(' x ').reduce((product, side) => product * Number(side), 1);
  programs.set(program, { runs: sum.runs + 1, groups: sum.groups + product });
}
for (const [program, { runs, groups }] of [...programs].sort(([, a], [, b]) => b.runs - a.runs)) {
  console.log(`${String(runs).padStart(5)} x ${program}, ${groups} workgroups in all`);
}
