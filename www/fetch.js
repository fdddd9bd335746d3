// Fetching with progress, and errors that people can read.

import { DeepbreathError } from './engine.js';

/** How long a server may send nothing, in milliseconds; it may have to fetch an image from elsewhere first. */
const PATIENCE = 60_000;

/**
 * The bytes at an address. Where `signal` is aborted, it rejects with that signal's reason; where nothing arrives for
 * {@link PATIENCE}, it gives up.
 * @param {string} url
 * @param {object} [options]
 * @param {RequestCache} [options.cache]
 * @param {AbortSignal | undefined} [options.signal]
 * @param {(progress: { loaded: number, total: number }) => void} [options.onProgress] Bytes, after decompression; `total`
 *   is 0 where the server tells none.
 * @param {((bytes: number, all: boolean) => void) | undefined} [options.check] Throws where these are too many bytes, and
 *   nothing more is fetched; `all` says that the server announced them, otherwise more may come.
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 */
export async function fetchBytes(url, { cache = 'default', signal, onProgress, check } = {}) {
  signal?.throwIfAborted();
  const request = new AbortController();
  const abort = () => request.abort(signal?.reason);
  signal?.addEventListener('abort', abort);
  try {
    return await received(url, request, cache, onProgress, check);
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

/**
 * @param {string} url
 * @param {AbortController} request
 * @param {RequestCache} cache
 * @param {((progress: { loaded: number, total: number }) => void) | undefined} onProgress
 * @param {((bytes: number, all: boolean) => void) | undefined} check
 */
async function received(url, request, cache, onProgress, check) {
  let response;
  try {
    response = await soon(url, request, fetch(url, { cache, credentials: 'same-origin', signal: request.signal }));
  } catch {
    request.signal.throwIfAborted();
    throw new DeepbreathError('unreachable', `${url} cannot be fetched. Check the connection and reload the page.`);
  }
  if (!response.ok || !response.body) {
    throw new DeepbreathError('unreachable', `${url} cannot be fetched: the server answered ${response.status}. Reload the page.`);
  }
  // The header counts compressed bytes, the stream what they unfold to.
  const total = response.headers.has('content-encoding') ? 0 : Number(response.headers.get('content-length') ?? 0);
  let loaded = 0;
  /** @type {Uint8Array<ArrayBuffer>[]} */
  const parts = [];
  const reader = response.body.getReader();
  const next = () => soon(url, request, reader.read()).catch(() => {
    request.signal.throwIfAborted();
    throw new DeepbreathError('unreachable', `${url} broke off after ${loaded} bytes. Check the connection and reload the page.`);
  });
  try {
    check?.(total, true);
    for (let part = await next(); !part.done; part = await next()) {
      parts.push(part.value);
      loaded += part.value.length;
      check?.(loaded, false);
      onProgress?.({ loaded, total });
    }
  } catch (error) {
    reader.cancel().catch(() => {}); // Nobody reads on.
    throw error;
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/**
 * The next piece of an answer. Where it takes too long, the request is given up, which makes the work fail.
 * @template T
 * @param {string} url
 * @param {AbortController} request
 * @param {Promise<T>} work
 */
async function soon(url, request, work) {
  const late = new DeepbreathError('unreachable', `${url} cannot be fetched: nothing arrived for ${PATIENCE / 1000} seconds. Check the connection and reload the page.`);
  const timer = setTimeout(() => request.abort(late), PATIENCE);
  try {
    return await work;
  } finally {
    clearTimeout(timer);
  }
}

/** SHA-256 in hexadecimal. @param {BufferSource} bytes */
export async function sha256(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
