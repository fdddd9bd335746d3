// Inside the sealed frame: the application on one side, the loader's port on the other. The loader starts the workers,
// because a frame without origin may not use the GPU in a worker of its own; requests go to them directly.

import { Host } from './app/host.js';
import { start } from './app/main.js';
import { Classifier, DeepbreathError } from './client.js';

/** @typedef {import('./client.js').Backend} Backend */
/** @typedef {import('./client.js').Progress} Progress */
/** @typedef {import('./loader/network.js').State} NetworkState */

/**
 * What the loader says.
 * @typedef {{ kind: 'progress', loaded: number, total: number }
 *   | { kind: 'loaded', backend: Backend | 'auto', tutorial: TutorialState }
 *   | { kind: 'failed', code: string, message: string }
 *   | { kind: 'stopped', id: number, reason: string }
 *   | { kind: 'host' }
 *   | { kind: 'theme', theme: import('./loader/theme.js').Theme }
 *   | { kind: 'network', state: NetworkState }} FromLoader
 */

/** Whether the loader has the weights of the tutorial's recipe, could have them after loading anew, or there are none. */
/** @typedef {{ state: 'here' | 'elsewhere' | 'absent', bytes: number }} TutorialState */

/**
 * What the loader hears; nothing of an image is ever among it, and what is to be saved goes to the visitor's disk only.
 * @typedef {{ kind: 'spawn', id: number, backend: Backend, tutorial: boolean }
 *   | { kind: 'started', id: number }
 *   | { kind: 'end', id: number }
 *   | { kind: 'settled', backend: Backend, reason: string }
 *   | { kind: 'fetch-tutorial' }
 *   | { kind: 'save', name: string, text: string }
 *   | { kind: 'blocked' }
 *   | { kind: 'requested', url: string }
 *   | { kind: 'broken', message: string }} FromFrame
 */

/** The loader's list of requests; dispatches `change`. */
class NetworkMirror extends EventTarget {
  /** @type {NetworkState} */
  state = { entries: [], sealed: false, since: [], blocked: 0 };
}

/** The engines' workers, which the loader starts. */
class Hosts {
  #port;
  #next = 0;
  /** @type {Map<number, (reason: string) => void>} */
  #stop = new Map();

  /** @param {MessagePort} port */
  constructor(port) {
    this.#port = port;
  }

  /**
   * @param {Backend} backend
   * @param {boolean} [tutorial] Whether it gets the weights of the tutorial's recipe.
   * @returns {import('./engine.js').Host}
   */
  spawn(backend, tutorial = false) {
    const id = this.#next++;
    const { port1, port2 } = new MessageChannel();
    this.#port.postMessage({ kind: 'spawn', id, backend, tutorial }, [port2]);
    port1.start();
    return {
      line: port1,
      stopped: new Promise((resolve) => this.#stop.set(id, resolve)),
      loaded: () => this.#port.postMessage({ kind: 'started', id }),
      terminate: () => {
        this.#stop.delete(id);
        this.#port.postMessage({ kind: 'end', id });
      },
    };
  }

  /** @param {number} id @param {string} reason */
  stopped(id, reason) {
    this.#stop.get(id)?.(reason);
  }
}

/**
 * Begins; called by loader/frame.js.
 * @param {MessagePort} port
 * @param {{ version: string, theme: string, words: import('./app/main.js').Context['words'] }} context
 */
export function open(port, { version, theme, words }) {
  document.documentElement.dataset.theme = theme;
  const tell = (/** @type {FromFrame} */ message) => port.postMessage(message);
  const hosts = new Hosts(port);
  const network = new NetworkMirror();
  const host = new Host();
  /** @type {(progress: Progress) => void} */
  let report = () => {};
  /** @type {Promise<{ backend: Backend | 'auto', tutorial: TutorialState }>} */
  const loaded = new Promise((resolve, reject) => {
    port.addEventListener('message', ({ data, ports: [line] }) => {
      const message = /** @type {FromLoader} */ (data);
      switch (message.kind) {
        case 'progress':
          return report({ loaded: message.loaded, total: message.total, stage: 'weights' });
        case 'loaded':
          return resolve(message);
        case 'failed':
          return reject(new DeepbreathError(message.code, message.message));
        case 'stopped':
          return hosts.stopped(message.id, message.reason);
        case 'host':
          return line && host.meet(line);
        case 'theme':
          document.documentElement.dataset.theme = message.theme;
          return;
        case 'network':
          network.state = message.state;
          return network.dispatchEvent(new Event('change'));
      }
    });
  });
  port.start();

  document.addEventListener('securitypolicyviolation', () => tell({ kind: 'blocked' }));
  new PerformanceObserver((list) => {
    for (const { name } of list.getEntries()) if (/^https?:/.test(name)) tell({ kind: 'requested', url: name });
  }).observe({ type: 'resource', buffered: true });

  /** @type {Promise<Classifier> | undefined} */
  let second;
  const tutorial = loaded.then(({ tutorial }) => ({
    ...tutorial,
    // On the processor: it is small, and the GPU may be busy with the first.
    open: () => (second ??= Classifier.load({ backend: 'cpu', host: (wanted) => hosts.spawn(wanted, true) })),
    fetch: () => tell({ kind: 'fetch-tutorial' }),
  }));
  tutorial.catch(() => {}); // Told by `loaded` itself.
  /** @param {(progress: Progress) => void} onProgress */
  const load = async (onProgress) => {
    report = onProgress;
    const { backend } = await loaded;
    const classifier = await Classifier.load({ backend, onProgress, host: (wanted) => hosts.spawn(wanted) });
    const settled = () => tell({ kind: 'settled', backend: classifier.backend, reason: classifier.reason });
    classifier.addEventListener('backendchange', settled);
    settled();
    host.ready(classifier);
    return classifier;
  };
  return start((onProgress) => load(onProgress).catch((error) => {
    host.failed(error);
    throw error;
  }), { version, network, words, tutorial, save: (name, _, text) => tell({ kind: 'save', name, text }) });
}
