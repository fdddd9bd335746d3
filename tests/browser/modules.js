// The wasm modules of www/generated alone, without the site around them, for the tests of the modules themselves.

import { createReadStream, existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { ROOT } from './site.js';

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

/** Films of the manifest's test split, one for each collection. @returns {{ source: string, file: string }[]} */
export function filmOfEachSource() {
  const manifest = path.join(DATA, 'cxr/manifest.csv');
  if (!existsSync(manifest)) return [];
  /** @type {Map<string, string>} */
  const files = new Map();
  for (const line of readFileSync(manifest, 'utf8').split('\n')) {
    // The first and third columns hold no quoted text.
    const [file, , source] = line.split(',');
    if (line.endsWith(',test') && file && source && !files.has(source)) files.set(source, path.join(DATA, 'cxr', file));
  }
  return [...files].map(([source, file]) => ({ source, file }));
}

/** Real images by kind; those that are not there are undefined. */
export function films() {
  const dicom = path.join(DATA, 'dicom/chest-rsna-mono2-jpeg-baseline.dcm');
  return {
    JPEG: filmOfEachSource().find(({ source }) => source === 'siim')?.file,
    DICOM: existsSync(dicom) ? dicom : undefined,
  };
}
