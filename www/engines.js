// Engines that several <deep-breath> on a page share: one for each choice of weights, backend and base.

import { Classifier } from './client.js';

/** @typedef {import('./client.js').LoadOptions} LoadOptions */
/** @typedef {import('./client.js').Progress} Progress */
/** @typedef {Pick<LoadOptions, 'weights' | 'backend' | 'base'>} Choice */

/** How long an engine that nobody uses is kept, in milliseconds: an element that is moved is out of the page for a moment. */
const KEPT = 5000;

/** One engine and those who use it; dispatches `progress`. */
class Shared extends EventTarget {
  users = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  timer;
  /** @type {Progress | undefined} How far loading is. */
  progress;
  #abort = new AbortController();

  /** @param {Choice} choice */
  constructor(choice) {
    super();
    this.choice = choice;
    /** @type {Promise<Classifier>} */
    this.classifier = Classifier.load({
      ...choice,
      signal: this.#abort.signal,
      onProgress: (progress) => {
        this.progress = progress;
        this.dispatchEvent(new Event('progress'));
      },
    });
    this.classifier.catch(() => engines.delete(this)); // So that the next one tries again.
  }

  /** Ends the engine, or its loading, for good. */
  end() {
    engines.delete(this);
    this.#abort.abort();
    this.classifier.then((classifier) => classifier.dispose(), () => {});
  }
}

/** @type {Set<Shared>} */
const engines = new Set();

/** What tells two choices apart. @param {string | URL | undefined} address */
function text(address) {
  if (address === undefined) return '';
  // What is no address fails when it is loaded, in words.
  return URL.canParse(address, document.baseURI) ? new URL(address, document.baseURI).href : String(address);
}

/** @param {Choice['weights']} weights */
const named = (weights) => (typeof weights === 'string' || weights instanceof URL ? text(weights) : weights);

/**
 * An engine for this choice, which is loaded where nobody has it yet.
 * @param {Choice} choice
 * @returns {Shared}
 */
export function take(choice) {
  const same = [...engines].find((engine) => named(engine.choice.weights) === named(choice.weights)
    && engine.choice.backend === choice.backend && text(engine.choice.base) === text(choice.base));
  const engine = same ?? new Shared(choice);
  engines.add(engine);
  clearTimeout(engine.timer);
  engine.users++;
  return engine;
}

/** Gives an engine back; the last one to do so ends it. @param {Shared} engine */
export function release(engine) {
  if (--engine.users > 0) return;
  engine.timer = setTimeout(() => engine.end(), KEPT);
}
