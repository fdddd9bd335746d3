// <deep-breath-frame src="https://example.org/deepbreath/">: a deployed page of this project in a frame, for pages that
// want the reader apart from themselves. Its films stay in that page's sealed frame; this one hears the answers.

import { DeepbreathError } from './engine.js';
import { languageOf } from './language-of.js';

/** @typedef {import('./worker.js').Assessment} Assessment */
/** @typedef {import('./events.js').DeepBreathEventMap} DeepBreathEventMap */

const STYLE = ':host { display: block; height: 60rem; } :host([hidden]) { display: none; } iframe { display: block; width: 100%; height: 100%; border: 0; }';

/** Where there is no document, the element can be imported but not used. */
const Base = /** @type {new () => import('./events.js').Telling<DeepBreathEventMap> & HTMLElement} */ (globalThis.HTMLElement ?? Object);

/**
 * The element. Attributes: `src` (address of the page), `backend`, `lang` (else that of the page around it), read when it
 * enters a document. Events as those of `<deep-breath>`: `ready`,
 * `assessment`, `error`, bubbling and composed.
 */
export class DeepBreathFrameElement extends Base {
  /** @type {HTMLIFrameElement | undefined} */
  #frame;
  /** @type {MessagePort | undefined} */
  #line;
  #next = 0;
  /** @type {{ kind: 'classify', id: number, file: File }[]} What was asked before the line was there. */
  #waiting = [];
  /** @type {Map<number, { resolve(assessment: Assessment): void, reject(error: unknown): void }>} */
  #pending = new Map();

  connectedCallback() {
    const src = this.getAttribute('src');
    if (!src) throw new DeepbreathError('options', 'A <deep-breath-frame> needs the address of a page: src="https://...".');
    const address = new URL(src, document.baseURI);
    address.searchParams.set('host', location.origin);
    const backend = this.getAttribute('backend');
    if (backend) address.searchParams.set('backend', backend);
    address.searchParams.set('lang', languageOf(this));
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    const frame = (this.#frame = document.createElement('iframe'));
    frame.title = this.title || 'Chest X-ray reader';
    if (!this.title) frame.lang = 'en';
    frame.allow = 'fullscreen';
    // It may not lead this page elsewhere. Its own origin it needs, for the GPU and for what it keeps.
    frame.setAttribute('sandbox', 'allow-scripts allow-same-origin allow-downloads');
    frame.src = address.href;
    const root = this.shadowRoot ?? this.attachShadow({ mode: 'open' });
    root.adoptedStyleSheets = [sheet];
    addEventListener('message', this.#greeted);
    root.replaceChildren(frame);
  }

  disconnectedCallback() {
    removeEventListener('message', this.#greeted);
    this.#line?.close();
    this.#line = this.#frame = undefined;
    for (const { reject } of this.#pending.values()) reject(new DeepbreathError('closed', 'The element was removed.'));
    this.#pending.clear();
    this.#waiting = [];
  }

  /**
   * Shows an image and its answer, as if it had been chosen in the frame.
   * @param {File | Blob} source
   * @returns {Promise<Assessment>}
   */
  classify(source) {
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      const file = source instanceof File ? source : new File([source], 'image');
      this.#pending.set(id, { resolve, reject });
      const message = /** @type {const} */ ({ kind: 'classify', id, file });
      if (this.#line) this.#line.postMessage(message);
      else this.#waiting.push(message);
    });
  }

  #greeted = (/** @type {MessageEvent} */ { source, origin, data }) => {
    const frame = this.#frame;
    if (!frame || source !== frame.contentWindow || origin !== new URL(frame.src).origin || data?.deepbreath !== 'hello') return;
    const { port1, port2 } = new MessageChannel();
    this.#line = port1;
    port1.addEventListener('message', ({ data }) => this.#heard(data));
    port1.start();
    frame.contentWindow?.postMessage({ deepbreath: 'line' }, origin, [port2]);
    for (const message of this.#waiting.splice(0)) port1.postMessage(message);
  };

  /** @param {import('./app/host.js').FromApplication} message */
  #heard(message) {
    if (message.kind === 'ready') return this.#tell('ready', { backend: message.backend, weights: message.weights });
    const pending = message.id === undefined ? undefined : this.#pending.get(message.id);
    if (message.id !== undefined) this.#pending.delete(message.id);
    if (message.kind === 'assessment') {
      pending?.resolve(message.assessment);
      return this.#tell('assessment', message.assessment);
    }
    const error = new DeepbreathError(message.code, message.message);
    pending?.reject(error);
    this.#tell('error', error);
  }

  /** @param {string} type @param {unknown} detail */
  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }
}

if (globalThis.customElements && !customElements.get('deep-breath-frame')) customElements.define('deep-breath-frame', DeepBreathFrameElement);
