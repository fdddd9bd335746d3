// The wasm modules of www/generated alone, without the site around them, for the tests of the modules themselves, and what
// the trainer answers for the images that they are asked about.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createReadStream, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';
import { missing, phantom, png, ROOT } from './site.js';

export const GENERATED = path.join(ROOT, 'www/generated');
export const DATA = process.env.DEEPBREATH_DATA ?? path.resolve(ROOT, '../shared/data');
export const WEIGHTS = process.env.DEEPBREATH_WEIGHTS || path.join(ROOT, 'weights/deepbreath.safetensors');
/** Programs of the Rust build: the trainer, and examples/ beside it. */
export const TRAINER = process.env.DEEPBREATH_TRAINER ?? '';

/** WebGPU on a software adapter, where there is no GPU. */
export const GPU_ARGUMENTS = [
  '--enable-unsafe-webgpu',
  '--enable-features=Vulkan,WebGPU',
  '--use-webgpu-adapter=swiftshader',
];

/**
 * An empty page with the modules beside it, and the weights.
 * @returns {Promise<{ url: string, close(): void }>}
 */
export async function serveModules() {
  const server = createServer((request, response) => {
    const name = decodeURI(new URL(request.url ?? '/', 'http://localhost').pathname);
    const file = name === '/weights' ? WEIGHTS : path.join(GENERATED, name);
    if (name === '/') return response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>modules</title><link rel="icon" href="data:,">');
    if (!existsSync(file)) return response.writeHead(404).end();
    const type = { '.js': 'text/javascript', '.wasm': 'application/wasm' }[path.extname(file)];
    response.writeHead(200, { 'content-type': type ?? 'application/octet-stream' });
    createReadStream(file).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  const address = server.address();
  if (!address || typeof address === 'string') throw new Error('the server has no port');
  return { url: `http://localhost:${address.port}/`, close: () => server.close() };
}

/** @param {string[]} args Arguments besides those that every test needs. */
export function launchWith(args) {
  return chromium.launch({
    executablePath: process.env.DEEPBREATH_BROWSER ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', ...args],
  });
}

/** What a skipped test says. */
export const NO_DATA = `skipped: no images in ${DATA} (set DEEPBREATH_DATA)`;
export const NO_TRAINER = 'skipped: no trainer program (set DEEPBREATH_TRAINER)';

/** The processor's module, in Node.js. @returns {Promise<typeof import('../../www/generated/cpu/deepbreath.js')>} */
export async function cpuModule() {
  const module = await import(pathToFileURL(path.join(GENERATED, 'cpu/deepbreath.js')).href);
  module.initSync({ module: readFileSync(path.join(GENERATED, 'cpu/deepbreath_bg.wasm')) });
  return module;
}

/**
 * Lines of a manifest in the folder of the data, as their first columns, which hold no quoted text; empty where it is not there.
 * @param {string} name
 * @param {(line: string) => boolean} [wanted]
 */
function rows(name, wanted = () => true) {
  const file = path.join(DATA, name, 'manifest.csv');
  if (!existsSync(file)) {
    missing(NO_DATA);
    return [];
  }
  return readFileSync(file, 'utf8').trim().split('\n').slice(1).filter(wanted).map((line) => {
    const [image = '', second = '', third = ''] = line.split(',');
    return { file: path.join(DATA, name, image), second, third };
  });
}

/** The first of each kind. @template T @param {T[]} all @param {(one: T) => string} kind @returns {T[]} */
const firsts = (all, kind) => [...new Map([...all].reverse().map((one) => [kind(one), one])).values()].reverse();

/** Films of the manifest's test split. */
const filmRows = () => rows('cxr', (line) => line.endsWith(',test')).map(({ file, second, third }) => ({ file, label: second, source: third }));

/** One film for each collection. @returns {{ source: string, file: string }[]} */
export const filmOfEachSource = () => firsts(filmRows(), ({ source }) => source);

/** Real images by kind; those that are not there are undefined. */
export function films() {
  const dicom = path.join(DATA, 'dicom/chest-rsna-mono2-jpeg-baseline.dcm');
  return {
    JPEG: filmOfEachSource().find(({ source }) => source === 'siim')?.file,
    DICOM: existsSync(dicom) ? dicom : undefined,
  };
}

/**
 * Images to compare with the trainer: a JPEG of each label and a PNG of 16 bits, made of the first of them; DICOM files of every
 * transfer syntax; one of each kind of what is no frontal film.
 * @param {string} folder Where the PNG goes.
 */
export async function comparable(folder) {
  const jpeg = firsts(filmRows(), ({ label }) => label).map(({ file }) => file);
  const { preview } = await cpuModule();
  const plane = preview('film', jpeg[0] ? readFileSync(jpeg[0]) : phantom());
  const { width, height, grey } = plane;
  const deep = path.join(folder, 'sixteen-bits.png');
  // The low byte tells it from eight bits.
  writeFileSync(deep, png(width, height, (x, y) => 256 * (grey[y * width + x] ?? 0) + ((7 * x + 13 * y) & 255), 16));
  return {
    films: [...jpeg, deep],
    dicom: rows('dicom').map(({ file }) => file),
    others: firsts(rows('ood'), ({ second }) => second).map(({ file }) => file),
  };
}

/**
 * @typedef {{ refused: boolean, probabilities: Record<string, number>, predictionSet: string[] | null, call: string | null,
 *   reasons: { code: string }[] }} Predicted A line of `trainer predict --json`.
 */

/** Largest difference between the browser's and the trainer's probabilities. */
const TOLERANCE = 1e-3;

/** What the trainer answers, by file. @param {string[]} files @returns {Map<string, Predicted>} */
export function predicted(files) {
  const lines = execFileSync(TRAINER, ['predict', '--json', '--weights', WEIGHTS, ...files], { encoding: 'utf8' }).trim().split('\n');
  assert.equal(lines.length, files.length);
  return new Map(lines.map((line, index) => [files[index] ?? '', JSON.parse(line)]));
}

/**
 * @param {string} file
 * @param {Pick<import('../../www/client.js').Assessment, 'refused' | 'findings' | 'predictionSet' | 'call' | 'reasons'>} answer
 * @param {Predicted | undefined} expected
 */
export function assertPredicted(file, { refused, findings, predictionSet, call, reasons }, expected) {
  assert.ok(expected, file);
  const codes = (/** @type {{ code: string }[]} */ list) => list.map(({ code }) => code);
  assert.deepEqual({ refused, predictionSet, call, reasons: codes(reasons) }, {
    refused: expected.refused, predictionSet: expected.predictionSet, call: expected.call, reasons: codes(expected.reasons),
  }, file);
  assert.deepEqual(findings.map(({ label }) => label).sort(), Object.keys(expected.probabilities).sort(), file);
  for (const { label, probability } of findings) {
    const wanted = expected.probabilities[label] ?? NaN;
    assert.ok(Math.abs(probability - wanted) <= TOLERANCE, `${file}: ${label}: ${probability} here, ${wanted} from the trainer`);
  }
}
