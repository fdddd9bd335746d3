// One worker and its messages. A worker that failed is done: client.js starts the next one.

/** @typedef {import('./worker.js').Request} Request */

/**
 * Where an engine's worker is reached. `stopped` resolves to the reason when the worker stops by
 * itself; `loaded` hears that the engine in it is loaded and warm.
 * @typedef {{ line: Pick<Worker | MessagePort, 'postMessage'> & EventTarget, stopped: Promise<string>, terminate(): void, loaded?(): void }} Host
 */

/**
 * What can go wrong. The codes are stable: one may be added, none changes its meaning.
 * @typedef {'empty' | 'file-too-large' | 'too-many-pixels' | 'unknown-format' | 'truncated' | 'corrupt' | 'unsupported-image'
 *   | 'unsupported-transfer-syntax' | 'unsupported-photometric' | 'no-pixel-data' | 'dicom-not-built' | 'unreadable-file'
 *   | 'options' | 'mask' | 'no-weights' | 'weights' | 'unreachable' | 'no-module' | 'not-loaded' | 'no-gpu' | 'device-lost'
 *   | 'verification' | 'inference' | 'worker' | 'panic' | 'closed' | 'damaged' | 'no-asset' | 'frame-failed' | 'internal'} ErrorCode
 */

/** A refusal or failure; `code` is stable, `message` is for people. */
export class DeepbreathError extends Error {
  /** @param {ErrorCode | (string & {})} code @param {string} message */
  constructor(code, message) {
    super(message);
    this.name = 'DeepbreathError';
    /** @type {ErrorCode | (string & {})} One of the table of codes; compare with this, not with the message. */
    this.code = code;
  }
}

/** The worker stopped or lost its device: the same request may succeed with a new one. */
export class EngineLost extends DeepbreathError {}

/** Requests and answers, one worker long. */
export class Engine {
  #host;
  #next = 0;
  /** @type {Map<number, { resolve(value: any): void, reject(error: unknown): void }>} */
  #pending = new Map();
  /** @type {DeepbreathError | undefined} */
  #failed;

  /** @param {Host} host */
  constructor(host) {
    this.#host = host;
    host.line.addEventListener('message', (event) => this.#receive(/** @type {MessageEvent} */ (event).data));
    void host.stopped.then((reason) => this.close(new EngineLost('worker', `The classifier stopped: ${reason}.`)));
  }

  /** Whether nothing more can be asked. */
  get closed() {
    return this.#failed !== undefined;
  }

  /**
   * @param {Request} request
   * @returns {Promise<any>}
   */
  ask(request) {
    return new Promise((resolve, reject) => {
      if (this.#failed) return reject(this.#failed);
      const id = this.#next++;
      try {
        // The bytes were read for this request alone, so they move instead of being copied.
        this.#host.line.postMessage({ id, ...request }, 'bytes' in request ? [request.bytes.buffer] : []);
      } catch (error) {
        return reject(new DeepbreathError('options', `An option cannot be handed to the worker: ${error}`));
      }
      this.#pending.set(id, { resolve, reject });
    });
  }

  /** Ends the worker; whatever is under way rejects with `error`. @param {DeepbreathError} error */
  close(error) {
    if (this.#failed) return;
    this.#failed = error;
    this.#host.terminate();
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }

  /** @param {{ id: number, value?: unknown, error?: { code: string, message: string, fatal: boolean } }} reply */
  #receive({ id, value, error }) {
    const pending = this.#pending.get(id);
    if (!pending) return; // Not an answer.
    this.#pending.delete(id);
    if (!error) return pending.resolve(value);
    const Kind = error.fatal ? EngineLost : DeepbreathError;
    const failure = new Kind(error.code, error.message);
    pending.reject(failure);
    if (error.fatal) this.close(failure);
  }
}
