// The files that a build of this page consists of, as `assets.json` lists them: fetched once, checked against their
// digest, kept in Cache Storage for the next visit.

import { DeepbreathError } from '../engine.js';
import { fetchBytes, sha256 } from '../fetch.js';

/** @typedef {{ path: string, bytes: number, sha256: string }} Asset */
/** @typedef {{ version: string, files: Record<string, Asset>, shell: Record<string, Asset> }} Manifest */

const MANIFEST = 'assets.json';
/** Its presence makes the service worker ask the network first: the visitor accepted an update. */
const UPDATE = 'update-accepted';

/** How long the server may take to tell of another build, in milliseconds: the page is not sealed before. */
const PATIENCE = 3000;

/** @param {string} path */
const absolute = (path) => new URL(path, document.baseURI).href;

/** Also computed by sw.js. */
const cacheName = () => `deepbreath ${absolute('./')}`;

/** Where files are kept; undefined where that is off, as in some private windows. */
async function opened() {
  try {
    return await globalThis.caches?.open(cacheName());
  } catch {
    return undefined;
  }
}

/** One build's files. */
export class Assets {
  #manifest;
  #cache;
  #network;

  /**
   * @param {Manifest} manifest
   * @param {Cache | undefined} cache
   * @param {import('./network.js').Network} network
   */
  constructor(manifest, cache, network) {
    this.#manifest = manifest;
    this.#cache = cache;
    this.#network = network;
  }

  /** @param {import('./network.js').Network} network */
  static async open(network) {
    const cache = await opened();
    const manifest = JSON.parse(new TextDecoder().decode(await fetchBytes(absolute(MANIFEST), { cache: 'no-cache' })));
    return new Assets(manifest, cache, network);
  }

  /** The build, for people. */
  get version() {
    return this.#manifest.version;
  }

  /** @returns {string[]} */
  get names() {
    return Object.keys(this.#manifest.files);
  }

  /** @param {string} name */
  size(name) {
    return this.#manifest.files[name]?.bytes ?? 0;
  }

  /** Whether a file is on this machine already. @param {string} name */
  async kept(name) {
    const asset = this.#manifest.files[name];
    return asset !== undefined && await this.#stored(absolute(asset.path)) !== undefined;
  }

  /**
   * A file's bytes, as they were when the page was built.
   * @param {string} name
   * @param {(loaded: number) => void} [onProgress]
   * @returns {Promise<Uint8Array<ArrayBuffer>>}
   */
  async bytes(name, onProgress) {
    const asset = this.#manifest.files[name];
    if (!asset) throw new DeepbreathError('no-asset', `This build of the page has no ${name}.`);
    const url = absolute(asset.path);
    const kept = await this.#stored(url);
    if (kept && await sha256(kept) === asset.sha256) {
      this.#network.kept(url, kept.byteLength);
      onProgress?.(kept.byteLength);
      return new Uint8Array(kept);
    }
    if (kept) await this.#cache?.delete(url).catch(() => {}); // Or the service worker would answer with it again.
    const bytes = await this.#fetch(url, asset, (loaded) => onProgress?.(loaded));
    // A full disk must not keep anyone from an answer.
    await this.#cache?.put(url, new Response(bytes, { headers: { 'content-length': String(bytes.length) } })).catch(() => {});
    return bytes;
  }

  /** @param {string} name */
  async text(name) {
    return new TextDecoder().decode(await this.bytes(name));
  }

  /** Whether the server has another build by now; false where it cannot be asked, or does not answer soon. */
  async outdated() {
    try {
      const bytes = await fetchBytes(absolute(MANIFEST), { cache: 'no-store', signal: AbortSignal.timeout(PATIENCE) });
      return JSON.parse(new TextDecoder().decode(bytes)).version !== this.version;
    } catch {
      return false;
    }
  }

  /** Makes the next visit take the server's build. */
  async accept() {
    try {
      await this.#cache?.put(absolute(UPDATE), new Response('yes'));
    } catch {
      // No room for the mark: without the old build there is only the server's.
      await globalThis.caches.delete(cacheName()).catch(() => {});
    }
  }

  /**
   * Keeps the page itself, so that the next visit works without a network, and forgets the files of other builds. Where
   * that fails, only the next visit needs the network: it rejects for a file alone that is not what was published.
   */
  async keep() {
    try {
      if (this.#cache) await this.#keep(this.#cache);
    } catch (error) {
      if (error instanceof DeepbreathError && error.code === 'damaged') throw error;
    }
  }

  /** What is kept under an address; undefined also where storage fails. @param {string} url */
  async #stored(url) {
    try {
      return await (await this.#cache?.match(url))?.arrayBuffer();
    } catch {
      return undefined;
    }
  }

  /** @param {Cache} cache */
  async #keep(cache) {
    const wanted = new Map(Object.values(this.#manifest.files).map((asset) => [absolute(asset.path), asset]));
    const stored = await cache.match(absolute(MANIFEST));
    const manifest = JSON.stringify(this.#manifest);
    if (!stored || await stored.text() !== manifest) {
      const shell = Object.values(this.#manifest.shell);
      const responses = await Promise.all(shell.map(async (asset) => {
        const url = absolute(asset.path);
        const type = TYPES[asset.path.slice(asset.path.lastIndexOf('.'))] ?? 'application/octet-stream';
        return /** @type {const} */ ([url, new Response(await this.#fetch(url, asset), { headers: { 'content-type': type } })]);
      }));
      // First what was there, all of it: where the disk is full in between, files of two builds would stand beside each other.
      for (const url of [absolute(MANIFEST), ...responses.map(([url]) => url)]) await cache.delete(url);
      for (const [url, response] of responses) await cache.put(url, response);
      // Last: with the list, the build is whole.
      await cache.put(absolute(MANIFEST), new Response(manifest, { headers: { 'content-type': 'application/json' } }));
    }
    for (const asset of Object.values(this.#manifest.shell)) wanted.set(absolute(asset.path), asset);
    for (const request of await cache.keys()) {
      if (!wanted.has(request.url) && request.url !== absolute(MANIFEST)) await cache.delete(request);
    }
  }

  /** Forgets everything that is kept on this machine. */
  static async forget() {
    await globalThis.caches?.delete(cacheName());
    await (await navigator.serviceWorker?.getRegistration())?.unregister();
  }

  /**
   * @param {string} url
   * @param {Asset} asset
   * @param {(loaded: number) => void} [onProgress]
   */
  async #fetch(url, asset, onProgress) {
    // Twice, because a copy between here and the server may be the damaged one.
    for (const cache of /** @type {RequestCache[]} */ (['force-cache', 'reload'])) {
      const bytes = await fetchBytes(url, { cache, onProgress: ({ loaded }) => onProgress?.(loaded) });
      if (await sha256(bytes) !== asset.sha256) continue;
      this.#network.fetched(url, bytes.length);
      return bytes;
    }
    throw new DeepbreathError('damaged', `${url} did not arrive as it was published: its checksum is another one. Reload the page; if it stays so, tell whoever runs this site.`);
  }
}

/** @type {Record<string, string>} */
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.webmanifest': 'application/manifest+json',
};
