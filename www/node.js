// The same classifier for Node.js: the worker is a thread, files come from the disk. There the package's name leads here;
// the types are those of client.js.

import { readFile, stat } from 'node:fs/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { Classifier as Anywhere, DeepbreathError } from './client.js';
import { fetchBytes } from './fetch.js';
import { noWeights } from './programs.js';
import { fileName, refuseLarge } from './source.js';

export { DeepbreathError };

/** @typedef {import('./client.js').Assessment} Assessment */
/** @typedef {import('./client.js').LoadOptions} LoadOptions */
/** @typedef {import('./client.js').Plane} Plane */
/** @typedef {import('./client.js').Reduced} Reduced */
/** @typedef {import('./client.js').RequestOptions} RequestOptions */
/** @typedef {import('./client.js').Source} Source */

/** @typedef {(bytes: number, all?: boolean) => void} Check Throws where these are too many bytes. */

/**
 * A file of the disk or the network, with its name.
 * @param {URL} url
 * @param {AbortSignal} [signal]
 * @param {Check} [check]
 */
async function fileAt(url, signal, check) {
  const name = fileName(url);
  if (url.protocol !== 'file:') return new File([await fetchBytes(url.href, { signal, check })], name);
  let shown = url.href;
  try {
    shown = fileURLToPath(url);
    check?.((await stat(url)).size);
    return new File([await readFile(url, { signal })], name);
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof DeepbreathError) throw error;
    throw new DeepbreathError('unreadable-file', `${shown} cannot be read: ${/** @type {Error} */ (error).message}`);
  }
}

/** A film that an address names. @param {URL} url @param {AbortSignal | undefined} signal */
const filmAt = (url, signal) => fileAt(url, signal, (bytes, all) => refuseLarge(fileName(url), bytes, all));

/** What names the weights as an address. @param {string | URL} weights */
function addressOf(weights) {
  // What begins like `https:` is an address; a single letter is a drive of Windows.
  if (typeof weights === 'string' && !/^[a-z][a-z0-9+.-]+:/i.test(weights)) return pathToFileURL(weights);
  try {
    return new URL(weights);
  } catch {
    throw new DeepbreathError('options', `weights: ${weights} is no address.`);
  }
}

/** The program of the package, compiled. @param {URL} address */
async function programAt(address) {
  try {
    return await WebAssembly.compile(await readFile(address));
  } catch (error) {
    throw new DeepbreathError('worker', `The program of the package cannot be used: ${/** @type {Error} */ (error).message}. Where a bundler moved it, leave this package out of the bundle.`);
  }
}

/**
 * The weights as bytes.
 * @param {LoadOptions} options
 * @returns {Promise<{ file: string, bytes: Uint8Array<ArrayBuffer> }>}
 */
async function weightsOf({ weights, signal }) {
  if (!weights) throw noWeights();
  if (typeof weights === 'string' || weights instanceof URL) {
    const found = await fileAt(addressOf(weights), signal);
    return { file: found.name, bytes: new Uint8Array(await found.arrayBuffer()) };
  }
  if (!(weights instanceof Blob)) return { file: 'weights', bytes: new Uint8Array(weights) };
  return { file: weights instanceof File ? weights.name : 'weights', bytes: new Uint8Array(await weights.arrayBuffer()) };
}

/**
 * A thread with program and weights, ready to be asked.
 * @param {import('./worker.js').Assets} assets
 * @returns {import('./engine.js').Host}
 */
function thread(assets) {
  const worker = new Worker(new URL('./node-worker.js', import.meta.url));
  const { port1, port2 } = new MessageChannel();
  /** @type {Promise<string>} */
  const stopped = new Promise((resolve) => {
    worker.on('error', (error) => resolve(String(error)));
    worker.on('exit', (code) => resolve(`its thread ended with code ${code}`));
  });
  worker.postMessage({ kind: 'connect', port: port2, assets }, [/** @type {any} */ (port2)]);
  port1.start();
  const terminate = () => {
    port1.close();
    void worker.terminate();
  };
  return { line: port1, stopped, terminate };
}

/**
 * The classifier in a thread, on the processor. Its thread keeps the program running: call `dispose()` at the end.
 */
export class Classifier extends Anywhere {
  /**
   * Loads program and weights; `weights` may also be a path.
   * @param {LoadOptions} [options] `backend` is always `cpu` here.
   * @returns {Promise<Classifier>}
   * @throws {DeepbreathError} Where the weights cannot be read or used.
   */
  static async load(options = {}) {
    options.signal?.throwIfAborted();
    const folder = new URL('./generated/cpu/', import.meta.url);
    const [{ file, bytes }, wasm] = await Promise.all([weightsOf(options), programAt(new URL('deepbreath_bg.wasm', folder))]);
    const assets = { modules: { cpu: { script: new URL('deepbreath.js', folder).href, wasm } }, file, weights: bytes };
    return super.load({ ...options, backend: 'cpu', host: () => thread(assets) });
  }

  /**
   * Probabilities for one image.
   * @override
   * @param {Source} source An image file, its address (also `file:`), or its bytes.
   * @param {RequestOptions} [options]
   * @returns {Promise<Assessment>}
   */
  async classify(source, options) {
    return super.classify(source instanceof URL ? await filmAt(source, options?.signal) : source, options);
  }

  /**
   * The image as the classifier decodes it.
   * @override
   * @param {Source} source
   * @param {{ signal?: AbortSignal | undefined }} [options]
   * @returns {Promise<Plane>}
   */
  async preview(source, options) {
    return super.preview(source instanceof URL ? await filmAt(source, options?.signal) : source, options);
  }

  /**
   * The film as small as the network sees it.
   * @override
   * @param {Source} source
   * @param {{ signal?: AbortSignal | undefined }} [options]
   * @returns {Promise<Reduced>}
   */
  async reduce(source, options) {
    return super.reduce(source instanceof URL ? await filmAt(source, options?.signal) : source, options);
  }
}
