// The page's side of the worker: requests, abort, errors. Knows nothing of the document.

/** @typedef {import('./worker.js').Assessment} Assessment */
/** @typedef {import('./worker.js').ClassifyOptions} ClassifyOptions */
/** @typedef {import('./worker.js').Plane} Plane */
/** @typedef {import('./worker.js').Request} Request */
/** @typedef {{ loaded: number, total: number }} Progress Bytes; `total` is 0 where the server tells none. */

/** A refusal or failure; `code` is stable, `message` is for people. */
export class DeepbreathError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   */
  constructor(code, message) {
    super(message);
    this.name = 'DeepbreathError';
    this.code = code;
  }
}

/**
 * @typedef {object} Pending
 * @property {(value: any) => void} resolve
 * @property {(error: unknown) => void} reject
 * @property {((progress: Progress) => void) | undefined} onProgress
 */

/** A classifier in a worker of its own. */
export class Classifier {
  #worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
  #next = 0;
  /** @type {Map<number, Pending>} */
  #pending = new Map();
  /** @type {DeepbreathError | undefined} Set once the worker is beyond use. */
  #failed;

  /** Use {@link Classifier.load}. */
  constructor() {
    this.#worker.addEventListener('message', ({ data }) => this.#receive(data));
    this.#worker.addEventListener('error', (event) => {
      const reason = event.message || 'its files did not arrive';
      this.#fail(new DeepbreathError('worker', `The classifier stopped: ${reason}. Reload the page.`));
    });
  }

  /**
   * Starts a worker and loads the wasm module and the weights.
   * @param {{ weights: string | URL, onProgress?: (progress: Progress) => void }} options
   * @returns {Promise<Classifier>}
   */
  static async load({ weights, onProgress }) {
    const classifier = new Classifier();
    try {
      await classifier.#send({ kind: 'load', weights: new URL(weights, document.baseURI).href }, { onProgress });
    } catch (error) {
      classifier.close();
      throw error;
    }
    return classifier;
  }

  /**
   * Probabilities for one image file. An aborted request rejects at once with the signal's reason.
   * @param {File} file
   * @param {ClassifyOptions & { signal?: AbortSignal }} [options]
   * @returns {Promise<Assessment>}
   */
  async classify(file, { signal, ...options } = {}) {
    return this.#send({ kind: 'classify', file: file.name, bytes: await read(file), options }, { signal });
  }

  /**
   * The image as the classifier decodes it, for display.
   * @param {File} file
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<Plane>}
   */
  async preview(file, { signal } = {}) {
    return this.#send({ kind: 'preview', file: file.name, bytes: await read(file) }, { signal });
  }

  /** Ends the worker; whatever is under way rejects. */
  close() {
    this.#worker.terminate();
    this.#fail(new DeepbreathError('closed', 'The classifier was closed.'));
  }

  /**
   * @param {Request} request
   * @param {{ signal?: AbortSignal | undefined, onProgress?: ((progress: Progress) => void) | undefined }} options
   * @returns {Promise<any>}
   */
  #send(request, { signal, onProgress }) {
    return new Promise((resolve, reject) => {
      if (this.#failed) return reject(this.#failed);
      if (signal?.aborted) return reject(signal.reason);
      const id = this.#next++;
      this.#pending.set(id, { resolve, reject, onProgress });
      signal?.addEventListener('abort', () => this.#pending.delete(id) && reject(signal.reason), { once: true });
      // The bytes were read for this request alone, so they move instead of being copied.
      this.#worker.postMessage({ id, ...request }, 'bytes' in request ? [request.bytes.buffer] : []);
    });
  }

  /** @param {{ id: number, value?: unknown, progress?: Progress, error?: { code: string, message: string } }} reply */
  #receive({ id, value, progress, error }) {
    const pending = this.#pending.get(id);
    if (!pending) return; // Aborted meanwhile.
    if (progress) return pending.onProgress?.(progress);
    this.#pending.delete(id);
    if (error) {
      pending.reject(new DeepbreathError(error.code, error.message));
    } else {
      pending.resolve(value);
    }
  }

  /** @param {DeepbreathError} error */
  #fail(error) {
    this.#failed = error;
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}

/**
 * @param {File} file
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 */
async function read(file) {
  try {
    return new Uint8Array(await file.arrayBuffer());
  } catch {
    throw new DeepbreathError('unreadable-file', `${file.name}: cannot be read. Is it still there, and no folder?`);
  }
}
