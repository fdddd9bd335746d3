// The classifier as a page sees it: requests one after the other, abort, the choice of the engine, and a new engine when
// one is lost. Knows nothing of the document.

import { withoutGpu } from './backend.js';
import { DeepbreathError, Engine, EngineLost, ownWorker } from './engine.js';
import { fetchBytes } from './fetch.js';

export { DeepbreathError };

/** @typedef {import('./worker.js').Assessment} Assessment */
/** @typedef {import('./worker.js').Backend} Backend */
/** @typedef {import('./worker.js').ClassifyOptions} ClassifyOptions */
/** @typedef {import('./worker.js').Loaded} Loaded */
/** @typedef {import('./worker.js').Plane} Plane */
/** @typedef {import('./worker.js').Program} Program */
/** @typedef {import('./worker.js').Request} Request */

/**
 * How far loading is: bytes while `stage` is `weights` (`total` is 0 where the server tells none), nothing to count after.
 * @typedef {{ loaded: number, total: number, stage?: 'weights' | 'engine' }} Progress
 */

/** @typedef {File | Blob | ArrayBuffer | Uint8Array<ArrayBuffer>} Source An image file. */

/**
 * @typedef {object} LoadOptions
 * @property {string | URL | Uint8Array<ArrayBuffer>} [weights] Address or bytes of the weights file.
 * @property {Partial<Record<Backend, Program>>} [modules] The programs; by default those beside this file.
 * @property {Backend | 'auto'} [backend] `auto` times what the machine has and takes the faster one.
 * @property {(progress: Progress) => void} [onProgress]
 * @property {(backend: Backend) => import('./engine.js').Host} [host] Starts an engine's worker; one that already has the
 *   program makes `weights` and `modules` needless.
 */

/** A graphics processor that is lost so often is left alone. */
const MOST_LOSSES = 2;

/**
 * The programs that are built beside this file, and the weights.
 * @param {LoadOptions} options
 * @returns {Promise<import('./worker.js').Assets>}
 */
async function ownAssets({ weights, modules, onProgress }) {
  /** @param {Backend} backend @returns {Program} */
  const program = (backend) => ({
    script: new URL(`./generated/${backend}/deepbreath.js`, import.meta.url).href,
    wasm: new URL(`./generated/${backend}/deepbreath_bg.wasm`, import.meta.url).href,
  });
  modules ??= { cpu: program('cpu'), webgpu: program('webgpu') };
  if (weights === undefined) throw new DeepbreathError('no-weights', 'Name the weights: an address, or the bytes of the file.');
  if (weights instanceof Uint8Array) return { modules, file: 'weights', weights };
  const address = new URL(weights, document.baseURI).href;
  const bytes = await fetchBytes(address, { onProgress: (progress) => onProgress?.({ ...progress, stage: 'weights' }) });
  return { modules, file: address.slice(address.lastIndexOf('/') + 1), weights: bytes };
}

/**
 * A classifier in a worker of its own. Dispatches `backend` (a `CustomEvent` with `detail: { backend, reason }`) when it
 * has to go on with another engine.
 */
export class Classifier extends EventTarget {
  #options;
  /** @type {Engine | undefined} */
  #engine;
  /** @type {Backend} */
  #backend = 'cpu';
  #reason = '';
  /** How often the graphics processor was lost. */
  #losses = 0;
  /** @type {Loaded['metadata'] | undefined} */
  #weights;
  /** @type {import('./worker.js').Assets | undefined} Fetched once, handed to every engine. */
  #assets;
  /** @type {Promise<unknown>} The last request; the next one waits for it. */
  #last = Promise.resolve();
  /** @type {DeepbreathError | undefined} */
  #closed;

  /** @param {LoadOptions} options Use {@link Classifier.load}. */
  constructor(options) {
    super();
    this.#options = options;
  }

  /**
   * Starts a worker, loads the program and the weights and runs once, so that the first image is answered at full speed.
   * @param {LoadOptions} options
   * @returns {Promise<Classifier>}
   */
  static async load(options) {
    const classifier = new Classifier(options);
    try {
      await classifier.#choose(options.backend ?? 'auto');
    } catch (error) {
      classifier.close();
      throw error;
    }
    return classifier;
  }

  /** The engine that answers now. */
  get backend() {
    return this.#backend;
  }

  /** Why that one, in words; empty where it was asked for. */
  get reason() {
    return this.#reason;
  }

  /** What the weights file tells of itself: classes, thresholds with their measured rates, provenance. */
  get weights() {
    return /** @type {Loaded['metadata']} */ (this.#weights); // Loaded, or there were no classifier.
  }

  /**
   * Probabilities for one image file. An aborted request rejects at once with the signal's reason.
   * @param {Source} source
   * @param {ClassifyOptions & { signal?: AbortSignal }} [options]
   * @returns {Promise<Assessment>}
   */
  classify(source, { signal, ...options } = {}) {
    return this.#enqueue(source, (file, bytes) => ({ kind: 'classify', file, bytes, options }), signal);
  }

  /**
   * The image as the classifier decodes it, for display.
   * @param {Source} source
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<Plane>}
   */
  preview(source, { signal } = {}) {
    return this.#enqueue(source, (file, bytes) => ({ kind: 'preview', file, bytes }), signal);
  }

  /** Ends the worker; whatever is under way rejects. */
  close() {
    this.#closed = new DeepbreathError('closed', 'The classifier was closed.');
    this.#engine?.close(this.#closed);
  }

  /**
   * @param {Source} source
   * @param {(file: string, bytes: Uint8Array<ArrayBuffer>) => Request} request
   * @param {AbortSignal | undefined} signal
   * @returns {Promise<any>}
   */
  #enqueue(source, request, signal) {
    const answer = this.#last.then(() => {
      signal?.throwIfAborted();
      return this.#ask(source, request);
    });
    this.#last = answer.catch(() => {});
    if (!signal) return answer;
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      if (signal.aborted) reject(signal.reason);
      answer.then(resolve, reject);
    });
  }

  /**
   * Asks the engine; where that is lost meanwhile, asks again: a new engine of the same kind, then the processor.
   * @param {Source} source
   * @param {(file: string, bytes: Uint8Array<ArrayBuffer>) => Request} request
   * @returns {Promise<any>}
   */
  async #ask(source, request) {
    const name = source instanceof File ? source.name : 'image';
    let lost;
    for (let stops = 0; stops < 2; ) {
      const engine = await this.#alive(lost);
      try {
        return await engine.ask(request(name, await read(name, source)));
      } catch (error) {
        if (!(error instanceof EngineLost)) throw error;
        lost = error;
        if (this.#backend === 'webgpu') this.#losses++;
        else stops++;
      }
    }
    throw new DeepbreathError('panic', `${name}: the classifier stopped on this file: ${lost?.message}. Other files can go on; please report what kind of file this is.`);
  }

  /** The engine, or a new one after it was lost. @param {DeepbreathError} [lost] */
  async #alive(lost) {
    if (this.#closed) throw this.#closed;
    if (this.#engine && !this.#engine.closed) return this.#engine;
    if (this.#backend === 'webgpu' && this.#losses >= MOST_LOSSES) return this.#fall(lost);
    try {
      const { engine } = await this.#start(this.#backend);
      return (this.#engine = engine);
    } catch (error) {
      if (this.#backend === 'cpu') throw error;
      return this.#fall(error);
    }
  }

  /** Goes on with the processor. @param {unknown} error */
  async #fall(error) {
    const { engine } = await this.#start('cpu');
    this.#engine?.close(new DeepbreathError('closed', 'Replaced by the processor.'));
    this.#engine = engine;
    this.#settle('cpu', `the graphics processor failed: ${error instanceof Error ? error.message : error}`);
    return engine;
  }

  /** @param {Backend} backend @param {string} reason */
  #settle(backend, reason) {
    this.#backend = backend;
    this.#reason = reason;
    this.dispatchEvent(new CustomEvent('backend', { detail: { backend, reason } }));
  }

  /**
   * A new engine, loaded and warm.
   * @param {Backend} backend
   * @param {boolean} [timed]
   * @returns {Promise<{ engine: Engine, milliseconds: number }>}
   */
  async #start(backend, timed = false) {
    const { host, onProgress } = this.#options;
    if (!host) this.#assets ??= await ownAssets(this.#options);
    onProgress?.({ loaded: 0, total: 0, stage: 'engine' });
    const engine = new Engine(host ? host(backend) : ownWorker());
    try {
      /** @type {Loaded} */
      const { metadata, milliseconds } = await engine.ask({ kind: 'load', backend, timed, assets: this.#assets });
      this.#weights = metadata;
      return { engine, milliseconds };
    } catch (error) {
      engine.close(new DeepbreathError('closed', 'The engine did not load.'));
      throw error;
    }
  }

  /** @param {Backend | 'auto'} wanted */
  async #choose(wanted) {
    const without = wanted === 'auto' ? await withoutGpu() : undefined;
    if (wanted === 'cpu' || without) {
      this.#engine = (await this.#start('cpu')).engine;
      return this.#settle('cpu', without ?? '');
    }
    if (wanted === 'webgpu') {
      try {
        this.#engine = (await this.#start('webgpu')).engine;
        this.#settle('webgpu', '');
      } catch (error) {
        await this.#fall(error);
      }
      return;
    }
    const cpu = await this.#start('cpu', true);
    this.#engine = cpu.engine;
    try {
      const gpu = await this.#start('webgpu', true);
      const faster = gpu.milliseconds < cpu.milliseconds;
      const times = `${Math.round(gpu.milliseconds)} ms on the graphics processor, ${Math.round(cpu.milliseconds)} ms on the processor`;
      (faster ? cpu : gpu).engine.close(new DeepbreathError('closed', 'The other engine is faster.'));
      this.#engine = (faster ? gpu : cpu).engine;
      this.#settle(faster ? 'webgpu' : 'cpu', `the faster one here: ${times}`);
    } catch (error) {
      this.#settle('cpu', `the graphics processor failed: ${error instanceof Error ? error.message : error}`);
    }
  }
}

/**
 * @param {string} name
 * @param {Source} source
 * @returns {Promise<Uint8Array<ArrayBuffer>>} The caller's bytes stay the caller's: these are a copy.
 */
async function read(name, source) {
  if (source instanceof Uint8Array || source instanceof ArrayBuffer) return new Uint8Array(source.slice(0));
  try {
    return new Uint8Array(await source.arrayBuffer());
  } catch {
    throw new DeepbreathError('unreadable-file', `${name}: cannot be read. Is it still there, and no folder?`);
  }
}
