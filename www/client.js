// The classifier as a page sees it: requests one after the other, abort, the choice of the engine, and a new engine when
// one is lost. Knows nothing of the document.

import { withoutGpu } from './backend.js';
import { DeepbreathError, Engine, EngineLost } from './engine.js';
import { noWeights, ownPrograms, ownWeights, ownWorker } from './programs.js';
import { nameOf, read } from './source.js';

export { DeepbreathError };

/** @typedef {import('./engine.js').ErrorCode} ErrorCode */
/** @typedef {import('./events.js').ClassifierEventMap} ClassifierEventMap */
/** @typedef {import('./worker.js').Assessment} Assessment */
/** @typedef {import('./worker.js').Backend} Backend */
/** @typedef {import('./worker.js').ClassifyOptions} ClassifyOptions */
/** @typedef {import('./worker.js').Loaded} Loaded */
/** @typedef {import('./worker.js').Plane} Plane */
/** @typedef {import('./worker.js').Program} Program */
/** @typedef {import('./worker.js').Judged} Judged */
/** @typedef {import('./worker.js').Reduced} Reduced */
/** @typedef {import('./worker.js').Request} Request */

/**
 * How far loading is: bytes while `stage` is `weights` (`total` is 0 where the server tells none), nothing to count after.
 * @typedef {{ loaded: number, total: number, stage?: 'weights' | 'engine' }} Progress
 */

/** @typedef {import('./source.js').Source} Source */
/** @typedef {import('./worker.js').Finding} Finding */
/** @typedef {import('./worker.js').Metadata} Metadata */
/** @typedef {import('./worker.js').OperatingPoint} OperatingPoint */
/** @typedef {import('./worker.js').Provenance} Provenance */
/** @typedef {import('./worker.js').Reason} Reason */
/** @typedef {import('./worker.js').Saliency} Saliency */

/**
 * What {@link Classifier.load} takes.
 * @typedef {object} LoadOptions
 * @property {string | URL | Blob | Uint8Array | ArrayBuffer | undefined} [weights] The weights file: its address, or the file itself.
 * @property {Backend | 'auto' | undefined} [backend] `auto`, the default, times what the machine has and takes the faster one.
 * @property {((progress: Progress) => void) | undefined} [onProgress] Hears how far loading is.
 * @property {AbortSignal | undefined} [signal] Gives up loading.
 * @property {string | URL | undefined} [base] Address of the folder with this package's files, where the bundler did not
 *   bring them along; by default they are beside this module.
 * @property {Partial<Record<Backend, Program>> | undefined} [modules] The programs, one by one; by default those of the package.
 * @property {((backend: Backend) => import('./engine.js').Host) | undefined} [host] Starts an engine's worker that already has program
 *   and weights: `weights`, `base` and `modules` are then needless.
 */

/**
 * What {@link Classifier.classify} takes besides the image.
 * @typedef {ClassifyOptions & { signal?: AbortSignal | undefined }} RequestOptions
 */

/** What `backendchange` and `restart` say: `event.detail`. @typedef {{ backend: Backend, reason: string }} BackendChange */

/** A graphics processor that is lost so often is left alone. */
const MOST_LOSSES = 2;

/**
 * How long the graphics processor may take, in milliseconds. Where the processor stands ready and only the faster one is
 * looked for: until its program has arrived, and then to start. Where nothing else can answer: to start. And for one answer.
 */
const PATIENCE = { arrival: 60_000, choice: 20_000, start: 180_000, answer: 120_000 };

const Target = /** @type {new () => import('./events.js').Telling<ClassifierEventMap> & EventTarget} */ (EventTarget);

/**
 * A classifier in a worker of its own. Dispatches `backendchange` (a `CustomEvent` whose `detail` is a
 * {@link BackendChange}) when it has to go on with another engine, and `restart` (the same) when the graphics processor was
 * lost and answers again.
 */
export class Classifier extends Target {
  #options;
  /** @type {Engine | undefined} */
  #engine;
  /** @type {Engine | undefined} The one that was started last. */
  #starting;
  /** @type {Backend} */
  #backend = 'cpu';
  #reason = '';
  #fallback = false;
  /** How often the graphics processor was lost. */
  #losses = 0;
  /** @type {Loaded['metadata'] | undefined} */
  #weights;
  /** @type {import('./worker.js').Assets | undefined} Fetched once, handed to every engine. */
  #assets;
  /** Until it is loaded: an engine that is started anew later is no loading. */
  #onProgress;
  /** @type {Promise<unknown>} The last request; the next one waits for it. */
  #last = Promise.resolve();
  /** @type {DeepbreathError | undefined} */
  #closed;

  /** @param {LoadOptions} options Use {@link Classifier.load}. */
  constructor(options) {
    super();
    this.#options = options;
    this.#onProgress = options.onProgress;
  }

  /**
   * Starts a worker, loads the program and the weights and runs once, so that the first image is answered at full speed.
   * @param {LoadOptions} [options] Without `weights` (or a `host`, which has them) there is nothing to load.
   * @returns {Promise<Classifier>}
   * @throws {DeepbreathError} Where the weights or a program do not arrive, or cannot be used.
   */
  static async load(options = {}) {
    const classifier = new this(options);
    try {
      await unlessAborted(classifier.#choose(options.backend ?? 'auto'), options.signal);
    } catch (error) {
      classifier.dispose();
      throw error;
    }
    classifier.#onProgress = undefined;
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

  /** Whether it is the processor because the graphics processor was tried and failed. */
  get fallback() {
    return this.#fallback;
  }

  /** What the weights file tells of itself: classes, thresholds with their measured rates, provenance. */
  get weights() {
    return /** @type {Loaded['metadata']} */ (this.#weights); // Loaded, or there were no classifier.
  }

  /**
   * Probabilities for one image. Requests are answered one after the other; an aborted one rejects at once with the
   * signal's reason.
   * @param {Source} source An image file, its address, or pixels.
   * @param {RequestOptions} [options]
   * @returns {Promise<Assessment>}
   * @throws {DeepbreathError} Where the image cannot be read, or the network cannot be run.
   */
  classify(source, { signal, ...options } = {}) {
    return this.#enqueue(source, (file, bytes) => ({ kind: 'classify', file, bytes, options }), signal);
  }

  /**
   * The image as the classifier decodes it, for display.
   * @param {Source} source
   * @param {{ signal?: AbortSignal | undefined }} [options]
   * @returns {Promise<Plane>}
   */
  preview(source, { signal } = {}) {
    return this.#enqueue(source, (file, bytes) => ({ kind: 'preview', file, bytes }), signal);
  }

  /**
   * The film as small as the network sees it, with ready-made parts of it to cover.
   * @param {Source} source
   * @param {{ signal?: AbortSignal | undefined }} [options]
   * @returns {Promise<Reduced>}
   */
  reduce(source, { signal } = {}) {
    return this.#enqueue(source, (file, bytes) => ({ kind: 'reduce', file, bytes }), signal);
  }

  /**
   * What the network makes of a reduced film with parts covered; also where an image would be refused.
   * @param {Reduced} film
   * @param {Uint8Array<ArrayBuffer>} cover A byte for each of the 224 by 224 cells, row by row; what is not 0 is covered.
   * @param {{ signal?: AbortSignal | undefined }} [options]
   * @returns {Promise<Judged>}
   */
  judge({ plane }, cover, { signal } = {}) {
    return this.#enqueue(cover, (_, bytes) => ({ kind: 'judge', plane, bytes }), signal);
  }

  /** Ends the worker and frees its memory; whatever is under way rejects with the code `closed`. */
  dispose() {
    this.#closed ??= new DeepbreathError('closed', 'The classifier was disposed of. Load another one.');
    this.#engine?.close(this.#closed);
    this.#starting?.close(this.#closed);
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
      return this.#ask(source, request, signal);
    });
    this.#last = answer.catch(() => {});
    return unlessAborted(answer, signal);
  }

  /**
   * Asks the engine; where that is lost meanwhile, asks again: a new engine of the same kind, then, where the graphics
   * processor itself was lost, the processor.
   * @param {Source} source
   * @param {(file: string, bytes: Uint8Array<ArrayBuffer>) => Request} request
   * @param {AbortSignal | undefined} signal
   * @returns {Promise<any>}
   */
  async #ask(source, request, signal) {
    const name = nameOf(source);
    let lost;
    for (let stops = 0; stops < 2; ) {
      const engine = await this.#alive(lost);
      try {
        const answer = engine.ask(request(name, await read(name, source, signal)));
        return await (this.#backend === 'cpu' ? answer : within(PATIENCE.answer, engine, 'it did not answer', answer));
      } catch (error) {
        if (!(error instanceof EngineLost)) throw error;
        lost = error;
        // A program that stops on a file says nothing of the graphics processor.
        if (error.code === 'device-lost') this.#losses++;
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
      if (lost?.code === 'device-lost') this.#tell('restart', this.#backend, lost.message);
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
    this.#settleFor(error);
    return engine;
  }

  /** The processor, because the graphics processor failed. @param {unknown} error */
  #settleFor(error) {
    this.#fallback = true;
    this.#settle('cpu', `the graphics processor failed: ${error instanceof Error ? error.message : error}`);
  }

  /** @param {Backend} backend @param {string} reason */
  #settle(backend, reason) {
    this.#backend = backend;
    this.#reason = reason;
    this.#tell('backendchange', backend, reason);
  }

  /** @param {keyof ClassifierEventMap} type @param {Backend} backend @param {string} reason */
  #tell(type, backend, reason) {
    this.dispatchEvent(new CustomEvent(type, { detail: { backend, reason } }));
  }

  /**
   * A new engine, loaded and warm.
   * @param {Backend} backend
   * @param {boolean} [timed]
   * @returns {Promise<{ engine: Engine, milliseconds: number }>}
   */
  async #start(backend, timed = false) {
    const { host } = this.#options;
    // Disposed of meanwhile: nothing would ever end a worker that started now.
    if (this.#closed) throw this.#closed;
    const where = host ? host(backend) : ownWorker(this.#options.base);
    const engine = new Engine(where);
    this.#starting = engine;
    // Whether there is no other engine that could answer meanwhile.
    const alone = !this.#engine || this.#engine.closed;
    try {
      if (!host && !this.#assets) {
        const modules = ownPrograms(this.#options);
        // The worker fetches and compiles while the weights are on their way; what fails there fails again on `load`.
        engine.ask({ kind: 'prepare', backend, modules }).catch(() => {});
        this.#assets = { modules, ...(await ownWeights(this.#options)) };
      }
      this.#onProgress?.({ loaded: 0, total: 0, stage: 'engine' });
      if (backend === 'webgpu' && this.#assets) {
        const arriving = engine.ask({ kind: 'prepare', backend, modules: this.#assets.modules });
        await (alone ? arriving : within(PATIENCE.arrival, engine, 'its program did not arrive', arriving));
      }
      /** @type {Promise<Loaded>} */
      const loading = engine.ask({ kind: 'load', backend, timed, assets: this.#assets });
      const patience = alone ? PATIENCE.start : PATIENCE.choice;
      const { metadata, milliseconds } = await (backend === 'cpu' ? loading : within(patience, engine, 'it did not start', loading));
      where.loaded?.();
      this.#weights = metadata;
      return { engine, milliseconds };
    } catch (error) {
      engine.close(new DeepbreathError('closed', 'The engine did not load.'));
      throw error;
    }
  }

  /** @param {Backend | 'auto'} wanted */
  async #choose(wanted) {
    if (!['auto', 'cpu', 'webgpu'].includes(wanted)) {
      throw new DeepbreathError('options', `There is no backend ${wanted}: say auto, cpu or webgpu.`);
    }
    // Before anything is started or fetched for it.
    if (!this.#options.host && !this.#options.weights) throw noWeights();
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
      this.#settleFor(error);
    }
  }
}

/**
 * The work's outcome, or the end of its engine where that takes too long.
 * @template T
 * @param {number} milliseconds
 * @param {Engine} engine
 * @param {string} late What is said then.
 * @param {Promise<T>} work What the engine was asked.
 * @returns {Promise<T>}
 */
async function within(milliseconds, engine, late, work) {
  const timer = setTimeout(() => engine.close(new EngineLost('device-lost', `${late} within ${milliseconds / 1000} seconds`)), milliseconds);
  try {
    return await work;
  } finally {
    clearTimeout(timer);
  }
}

/**
 * The work's outcome, or the signal's reason as soon as it is aborted.
 * @template T
 * @param {Promise<T>} work
 * @param {AbortSignal | undefined} signal
 * @returns {Promise<T>}
 */
async function unlessAborted(work, signal) {
  if (!signal) return work;
  work.catch(() => {}); // Nobody may wait for it any more.
  signal.throwIfAborted();
  let stop = () => {};
  const aborted = new Promise((_, reject) => signal.addEventListener('abort', (stop = () => reject(signal.reason)), { once: true }));
  try {
    return /** @type {T} */ (await Promise.race([work, aborted]));
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
