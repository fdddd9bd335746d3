// What this machine is known for: which engine won here, and whether the last start of the GPU ended well.

import { withoutGpu } from '../backend.js';

/** @typedef {import('../worker.js').Backend} Backend */
/** @typedef {{ backend: Backend | 'auto', reason: string, programs: Backend[] }} Plan `programs` are what is to be fetched. */

/** Storage is shared by all pages of an origin. */
const KEY = `deepbreath ${new URL('.', document.baseURI).pathname}`;
const STARTING = `${KEY} gpu-starting`;

/** @param {string} key @returns {any} Undefined where nothing is stored or storage is off. */
function recall(key) {
  try {
    return JSON.parse(localStorage.getItem(key) ?? '');
  } catch {
    return undefined;
  }
}

/** @param {string} key @param {unknown} value Undefined removes. */
function store(key, value) {
  try {
    if (value === undefined) localStorage.removeItem(key);
    else localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // Storage is off: the choice is made anew on each visit.
  }
}

/** @param {Backend} backend @param {string} reason @param {string} version */
export function remember(backend, reason, version) {
  store(KEY, { backend, reason, version, browser: navigator.userAgent });
}

/** Forgets the choice: the next visit measures again. */
export function forget() {
  store(KEY, undefined);
  store(STARTING, undefined);
}

/** A page that is left while the GPU starts for longer, in milliseconds, is left because it hangs. */
const HANGS = 20_000;

/** @param {boolean} now Whether the GPU is being started. A crash in between is seen at the next visit. */
function starting(now) {
  store(STARTING, now || undefined);
}

/** Which workers start the GPU now: as long as there are any, the next visit would take it that one crashed. */
export class Starts {
  /** @type {Map<number, number>} Since when, by the number of the worker. */
  #since = new Map();

  constructor() {
    // A page that is left fires this, one that crashed does not.
    addEventListener('pagehide', () => {
      for (const [id, since] of this.#since) if (performance.now() - since < HANGS) this.end(id);
    });
  }

  /** @param {number} id */
  begin(id) {
    this.#since.set(id, performance.now());
    starting(true);
  }

  /** It is up, or was given up. @param {number} id Of any worker. */
  end(id) {
    if (this.#since.delete(id) && this.#since.size === 0) starting(false);
  }
}

/**
 * Which engine to start with.
 * @param {ReadonlySet<Backend>} built The programs that this build has.
 * @param {string} version
 * @returns {Promise<Plan>}
 */
export async function plan(built, version) {
  const asked = new URLSearchParams(location.search).get('backend');
  if (asked === 'cpu') return { backend: 'cpu', reason: 'asked for', programs: ['cpu'] };
  if (!built.has('webgpu')) return { backend: 'cpu', reason: 'this build has no program for WebGPU', programs: ['cpu'] };
  // The processor's program is there in any case: after sealing nothing can be fetched, and the GPU may fail.
  if (asked === 'webgpu') return { backend: 'webgpu', reason: 'asked for', programs: ['cpu', 'webgpu'] };
  if (recall(STARTING)) {
    starting(false);
    remember('cpu', 'the last start on the graphics processor did not come to an end', version);
  }
  const known = recall(KEY);
  if (known?.browser === navigator.userAgent && known.version === version) {
    if (known.backend === 'cpu') return { backend: 'cpu', reason: known.reason, programs: ['cpu'] };
    if (!await withoutGpu()) return { backend: 'webgpu', reason: known.reason, programs: ['cpu', 'webgpu'] };
  }
  const without = await withoutGpu();
  if (without) return { backend: 'cpu', reason: without, programs: ['cpu'] };
  return { backend: 'auto', reason: '', programs: ['cpu', 'webgpu'] };
}
