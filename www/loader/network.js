// What was requested: the list that the page shows. It counts what the browser reports, not what the code intends.

/**
 * @typedef {object} Entry
 * @property {string} name Path below the page.
 * @property {number} bytes
 * @property {'network' | 'this machine'} from
 */

/** @typedef {{ entries: Entry[], sealed: boolean, since: string[], blocked: number }} State */

/** Dispatches `change`. */
export class Network extends EventTarget {
  /** @type {Map<string, Entry>} */
  #entries = new Map();
  #sealed = false;
  #sealedAt = Infinity;
  /** @type {string[]} Requested after sealing; stays empty. */
  #since = [];
  #blocked = 0;
  #base = new URL('.', document.baseURI).href;

  /** Begins to watch this document; what was loaded before counts too. */
  watch() {
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) this.#see(/** @type {PerformanceResourceTiming} */ (entry));
    }).observe({ type: 'resource', buffered: true });
    const [page] = performance.getEntriesByType('navigation');
    if (page) this.#see(/** @type {PerformanceNavigationTiming} */ (page));
    document.addEventListener('securitypolicyviolation', () => this.block());
  }

  /** A file that storage on this machine held, so that the browser reports no request. @param {string} url @param {number} bytes */
  kept(url, bytes) {
    this.#add({ name: this.#name(url), bytes, from: 'this machine' });
  }

  /** A file that was not kept; behind a service worker the browser does not tell where it came from. @param {string} url @param {number} bytes */
  fetched(url, bytes) {
    if (navigator.serviceWorker?.controller) this.#add({ name: this.#name(url), bytes, from: 'network' });
  }

  /** From now on every request is one too many. */
  seal() {
    this.#sealed = true;
    this.#sealedAt = performance.now();
    this.#changed();
  }

  /** Something was requested after sealing, here or in the frame or in a worker. @param {string} url */
  leak(url) {
    this.#since.push(url);
    this.#changed();
  }

  /** The policy stopped a request. */
  block() {
    this.#blocked++;
    this.#changed();
  }

  /** @returns {State} */
  get state() {
    const entries = [...this.#entries.values()];
    return { entries, sealed: this.#sealed, since: [...this.#since], blocked: this.#blocked };
  }

  /** @param {PerformanceResourceTiming} timing */
  #see({ name, startTime, transferSize, encodedBodySize, decodedBodySize }) {
    if (!/^https?:/.test(name)) return; // blob: addresses are this page's own memory.
    // Reports come late: what started before sealing belongs to loading.
    if (this.#sealed && startTime > this.#sealedAt) return this.leak(name);
    const bytes = transferSize || encodedBodySize || decodedBodySize;
    this.#add({ name: this.#name(name), bytes, from: transferSize > 0 ? 'network' : 'this machine' });
  }

  /** @param {Entry} entry */
  #add(entry) {
    const before = this.#entries.get(entry.name);
    if (before?.from === 'network' && entry.from !== 'network') return; // The same file again, from memory.
    this.#entries.set(entry.name, entry);
    this.#changed();
  }

  /** @param {string} url */
  #name(url) {
    const name = url.startsWith(this.#base) ? url.slice(this.#base.length) : url;
    return name.replace(/[?#].*$/, '') || 'index.html';
  }

  #changed() {
    this.dispatchEvent(new Event('change'));
  }
}
