// The worker that owns the wasm module. It answers one message at a time, in order:
// `{ id, kind, ... }` in; `{ id, value }` or `{ id, error: { code, message } }` out, and `{ id, progress }` while loading.

import init, { Classifier, preview } from './generated/cpu/deepbreath.js';

/** @typedef {import('./generated/cpu/deepbreath.js').Assessment} Assessment */
/** @typedef {import('./generated/cpu/deepbreath.js').ClassifyOptions} ClassifyOptions */
/** @typedef {{ width: number, height: number, grey: Uint8Array }} Plane */

/**
 * @typedef {{ kind: 'load', weights: string }
 *   | { kind: 'preview', file: string, bytes: Uint8Array }
 *   | { kind: 'classify', file: string, bytes: Uint8Array, options: ClassifyOptions }} Request
 */

/** @type {Classifier | undefined} */
let classifier;

/**
 * Fetches the weights, telling how far it is.
 * @param {string} url
 * @param {(progress: { loaded: number, total: number }) => void} onProgress `total` is 0 where the server tells none.
 * @returns {Promise<Uint8Array>}
 */
async function fetchWeights(url, onProgress) {
  let response;
  try {
    response = await fetch(url);
  } catch {
    throw failure('weights-unreachable', `${url} cannot be fetched. Check the connection and reload the page.`);
  }
  if (!response.ok || !response.body) {
    throw failure('weights-unreachable', `${url} cannot be fetched: the server answered ${response.status}.`);
  }
  const total = Number(response.headers.get('content-length') ?? 0);
  /** @type {Uint8Array[]} */
  const parts = [];
  let loaded = 0;
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    loaded += value.length;
    onProgress({ loaded, total });
  }
  const bytes = new Uint8Array(loaded);
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}

/**
 * @param {string} code
 * @param {string} message
 */
function failure(code, message) {
  return Object.assign(new Error(message), { code });
}

/** @returns {Classifier} */
function loaded() {
  if (!classifier) throw failure('not-loaded', 'The weights are not loaded yet. Wait until they are.');
  return classifier;
}

/**
 * @param {Request} request
 * @param {(progress: { loaded: number, total: number }) => void} onProgress
 * @returns {Promise<Assessment | Plane | undefined>}
 */
async function answer(request, onProgress) {
  switch (request.kind) {
    case 'load': {
      const [bytes] = await Promise.all([fetchWeights(request.weights, onProgress), init()]);
      const name = new URL(request.weights).pathname.split('/').pop() ?? 'weights';
      classifier = Classifier.load(name, bytes);
      return undefined;
    }
    case 'preview': {
      const plane = preview(request.file, request.bytes);
      const { width, height, grey } = plane;
      plane.free();
      return { width, height, grey };
    }
    case 'classify':
      return loaded().classify(request.file, request.bytes, request.options);
  }
}

/** @type {Promise<void>} */
let queue = Promise.resolve();

addEventListener('message', (event) => {
  /** @type {Request & { id: number }} */
  const request = event.data;
  queue = queue.then(async () => {
    const { id } = request;
    try {
      postMessage({ id, value: await answer(request, (progress) => postMessage({ id, progress })) });
    } catch (error) {
      const { code, message } = /** @type {Error & { code?: string }} */ (error);
      postMessage({ id, error: { code: code ?? 'internal', message } });
    }
  });
});
