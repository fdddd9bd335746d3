// <deep-breath-frame src="https://example.org/deepbreath/">: a deployed page of this project in a frame, for pages that
// want the reader apart from themselves. Its films stay in that page's sealed frame; this one hears the answers.

import { DeepbreathError } from './engine.js';
import { languageOf } from './language-of.js';

/** @typedef {import('./worker.js').Assessment} Assessment */
/** @typedef {import('./events.js').DeepBreathEventMap} DeepBreathEventMap */

const STYLE = ':host { display: block; height: 60rem; } :host([hidden]) { display: none; } iframe { display: block; width: 100%; height: 100%; border: 0; }';

/** How long a page that has loaded may take to greet, in milliseconds. */
const PATIENCE = 30_000;
/** How long a page may take to load, in milliseconds. */
const LOADING = 90_000;

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
  #loads = 0;
  #greetings = 0;
  /** @type {DeepbreathError | undefined} Why nothing can be asked for now. */
  #failed;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {{ kind: 'classify', id: number, file: File }[]} What was asked before the line was there. */
  #waiting = [];
  /** @type {Map<number, { resolve(assessment: Assessment): void, reject(error: unknown): void }>} */
  #pending = new Map();

  connectedCallback() {
    const src = this.getAttribute('src');
    if (!src || !URL.canParse(src, document.baseURI)) {
      const error = new DeepbreathError('options', 'A <deep-breath-frame> needs the address of a page: src="https://...".');
      reportError(error);
      return this.#tell('error', error);
    }
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
    const wait = (/** @type {number} */ patience) => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#fail(new DeepbreathError('unreachable', `${src} does not answer. Is it a page of deepbreath, and may it be in a frame here?`)), patience);
    };
    this.#loads = this.#greetings = 0;
    // What a browser shows instead of a page that it cannot have loads like any other.
    frame.addEventListener('load', () => {
      if (++this.#loads <= this.#greetings) return;
      if (this.#line) this.#lose();
      wait(PATIENCE);
    });
    wait(LOADING);
    root.replaceChildren(frame);
  }

  disconnectedCallback() {
    removeEventListener('message', this.#greeted);
    clearTimeout(this.#timer);
    this.#line?.close();
    this.#line = this.#frame = this.#failed = undefined;
    this.#drop(new DeepbreathError('closed', 'The element was removed.'));
  }

  /** Ends whatever was asked. @param {DeepbreathError} error */
  #drop(error) {
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
    this.#waiting = [];
  }

  /** The page that had the line has gone, with all that was asked of it. */
  #lose() {
    this.#line?.close();
    this.#line = undefined;
    this.#drop(new DeepbreathError('frame-failed', 'The page in the frame was left or loaded anew before it answered. Ask once more.'));
  }

  /** No answer will come from the page that is there. @param {DeepbreathError} error */
  #fail(error) {
    clearTimeout(this.#timer);
    this.#failed = error;
    this.#drop(error);
    this.#tell('error', error);
  }

  /**
   * Shows an image and its answer, as if it had been chosen in the frame.
   * @param {File | Blob} source
   * @returns {Promise<Assessment>}
   */
  classify(source) {
    return new Promise((resolve, reject) => {
      if (!this.#frame) return reject(new DeepbreathError('not-loaded', 'The element has no frame: it is in no document, or has no src.'));
      if (this.#failed) return reject(this.#failed);
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
    if (!frame || source !== frame.contentWindow || origin !== new URL(frame.src).origin) return;
    if (data?.deepbreath === 'stopped') return this.#fail(new DeepbreathError('frame-failed', 'The page in the frame stopped, and says there why. Load it anew.'));
    if (data?.deepbreath !== 'hello') return;
    clearTimeout(this.#timer);
    this.#failed = undefined;
    this.#greetings++;
    if (this.#line) this.#lose();
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
    if (message.kind === 'failed') return this.#fail(new DeepbreathError(message.code, message.message));
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
