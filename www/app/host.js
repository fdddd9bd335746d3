// The page around this one, where the address names it: it hears the answers and may hand films in. See loader/host.js.

import { input } from './dom.js';
import { described } from './words.js';

/** @typedef {import('../client.js').Assessment} Assessment */
/** @typedef {import('../client.js').Classifier} Classifier */
/** @typedef {import('../client.js').Source} Source */

/**
 * What the page around hears. `id` is that of the film that it handed in, if it was this one.
 * @typedef {{ kind: 'ready', backend: string, weights: Classifier['weights'] }
 *   | { kind: 'assessment', id: number | undefined, assessment: Assessment }
 *   | { kind: 'error', id: number | undefined, code: string, message: string }
 *   | { kind: 'failed', code: string, message: string }} FromApplication `failed`: there will be no answer to anything.
 */

/** @typedef {{ kind: 'classify', id: number, file: File }} ToApplication What it says. */

/** The line to the page around. */
export class Host {
  /** @type {MessagePort | undefined} */
  #line;
  /** @type {FromApplication | undefined} What a line that comes later still has to hear. */
  #state;
  /** @type {WeakMap<object, number>} The number of each film that was handed in and has no answer yet. */
  #asked = new WeakMap();

  /** @param {MessagePort} line */
  meet(line) {
    this.#line = line;
    line.addEventListener('message', ({ data }) => {
      const { kind, id, file } = /** @type {ToApplication} */ (data);
      if (kind !== 'classify' || !(file instanceof File)) return;
      choose(file, (chosen) => this.#asked.set(chosen, id));
    });
    line.start();
    if (this.#state) line.postMessage(this.#state);
  }

  /** Tells that the classifier is there, and from then on what it answers. @param {Classifier} classifier */
  ready(classifier) {
    this.#tell((this.#state = { kind: 'ready', backend: classifier.backend, weights: classifier.weights }));
    // The application asks for the picture first: a file that cannot be read fails there.
    const { preview, classify } = classifier;
    classifier.preview = (source, options) => this.#watch(preview.call(classifier, source, options), source, options?.signal);
    classifier.classify = async (source, options) => {
      const assessment = await this.#watch(classify.call(classifier, source, options), source, options?.signal);
      this.#tell({ kind: 'assessment', id: this.#idOf(source), assessment });
      return assessment;
    };
  }

  /**
   * Tells if this fails.
   * @template T
   * @param {Promise<T>} work
   * @param {Source} source
   * @param {AbortSignal | undefined} signal
   */
  async #watch(work, source, signal) {
    try {
      return await work;
    } catch (error) {
      if (!signal?.aborted) this.#tell({ kind: 'error', id: this.#idOf(source), ...described(error) });
      throw error;
    }
  }

  /** Which request of the page around is done with this. @param {Source} source */
  #idOf(source) {
    const id = this.#asked.get(source);
    this.#asked.delete(source);
    return id;
  }

  /** Tells that there will be no classifier. @param {unknown} error */
  failed(error) {
    this.#tell((this.#state = { kind: 'failed', ...described(error) }));
  }

  /** @param {FromApplication} message */
  #tell(message) {
    this.#line?.postMessage(message);
  }
}

/**
 * Opens a film as if the visitor had chosen it.
 * @param {File} file
 * @param {(chosen: File) => void} note Hears, before anything is read, which object the application gets: not this one.
 */
function choose(file, note) {
  const chosen = new DataTransfer();
  chosen.items.add(file);
  const box = input('file');
  box.files = chosen.files;
  for (const given of box.files) note(given);
  box.dispatchEvent(new Event('change', { bubbles: true }));
}
