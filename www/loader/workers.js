// The engines' workers. They start after sealing, so they inherit a policy without network; they have this page's origin,
// which the GPU needs, but no document. Bytes of images go from the frame to them directly, never through here.

import { instantiate } from './frame.js';
import { link } from './link.js';

/** @typedef {import('../worker.js').Assets} EngineAssets */
/** @typedef {import('../worker.js').Backend} Backend */

/** Starts and ends workers for the frame. */
export class Workers {
  #script;
  #assets;
  #tutorial;
  /** @type {Map<number, Worker>} */
  #running = new Map();

  /**
   * @param {string} script Text of worker.js.
   * @param {EngineAssets} assets
   * @param {EngineAssets | undefined} tutorial With the weights of the tutorial's recipe.
   */
  constructor(script, assets, tutorial) {
    this.#script = blobModule(new Map([['worker.js', script]]), 'worker.js');
    this.#assets = assets;
    this.#tutorial = tutorial;
  }

  /** Whether there is a second network. */
  get tutorial() {
    return this.#tutorial !== undefined;
  }

  /**
   * @param {number} id
   * @param {MessagePort} port Where its requests come from.
   * @param {boolean} tutorial Whether it gets the second network.
   * @param {(reason: string) => void} onStop When it stops by itself.
   */
  spawn(id, port, tutorial, onStop) {
    const worker = new Worker(this.#script, { type: 'module' });
    worker.addEventListener('error', (event) => onStop(event.message || 'its program did not start'));
    worker.postMessage({ kind: 'connect', port, assets: tutorial ? this.#tutorial : this.#assets }, [port]);
    this.#running.set(id, worker);
  }

  /** @param {number} id */
  end(id) {
    this.#running.get(id)?.terminate();
    this.#running.delete(id);
  }
}

/**
 * The address of a module that is here as text, with all that it imports.
 * @param {ReadonlyMap<string, string>} sources
 * @param {string} entry
 */
export function blobModule(sources, entry) {
  return instantiate(link(sources, entry)).get(entry) ?? '';
}
