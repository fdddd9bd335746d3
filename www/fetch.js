// Fetching with progress, and errors that people can read.

import { DeepbreathError } from './engine.js';

/**
 * The bytes at an address. Where `signal` is aborted, it rejects with that signal's reason.
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
  let response;
  try {
    response = await fetch(url, { cache, credentials: 'same-origin', signal: signal ?? null });
  } catch {
    signal?.throwIfAborted();
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
  const next = () => reader.read().catch(() => {
    signal?.throwIfAborted();
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

/** SHA-256 in hexadecimal. @param {BufferSource} bytes */
export async function sha256(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
