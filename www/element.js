// <deep-breath weights="deepbreath.safetensors">: the application's viewer and answer as a custom element, for one film at
// a time. Markup, styles, viewer and answer are those of the application (www/app.html, www/app/).

import { Answer, knownOf } from './app/answer.js';
import { announce, button, element, input, make } from './app/dom.js';
import { ENGLISH, fill, Words } from './app/language.js';
import { SaliencyControls } from './app/saliency.js';
import { Viewer } from './app/viewer.js';
import { described, loadingText } from './app/words.js';
import { DeepbreathError } from './engine.js';
import { release, take } from './engines.js';
import { ANSWER, STYLES, SYMBOLS, VIEWER } from './generated/markup.js';
import { languageOf } from './language-of.js';
import { define, wordsFor } from './languages.js';
import { nameOf } from './source.js';
import { ownMarkup } from './trusted.js';

/** @typedef {import('./client.js').Assessment} Assessment */
/** @typedef {import('./client.js').Classifier} Classifier */
/** @typedef {import('./client.js').LoadOptions} LoadOptions */
/** @typedef {import('./client.js').Source} Source */
/** @typedef {import('./events.js').DeepBreathEventMap} DeepBreathEventMap */

const BAR = `<div class="bar" part="bar">
  <button id="open" type="button" class="button" part="button"><svg class="icon" aria-hidden="true"><use href="#i-film"/></svg><span data-word="bar.open"></span></button>
  <input id="file" type="file" hidden>
  <p id="status" class="status" part="status" data-state="loading" role="status"><span id="status-text"></span></p>
</div>
<div id="announcer" class="sr" role="log" data-word-label="bar.log"></div>`;

const INVITATION = `<slot name="invitation"><h2 data-word="invitation.heading"></h2><p data-word="invitation.text"></p></slot>
<div class="invite"><button id="choose" type="button" class="button primary" part="button" data-word="invitation.choose"></button></div>
<p class="aside"><span data-word="invitation.ways"></span><br><span data-word="invitation.formats"></span></p>`;

/** Names for `::part()`, by selector. */
const PARTS = {
  '.viewer': 'viewer', '.lightbox': 'lightbox', '#tools': 'tools', '#saliency': 'saliency', '#answer': 'answer',
  '#disclaimer': 'disclaimer', '#call': 'call', '#findings': 'findings', '#facts': 'facts', '#error': 'problem',
};

/** @type {{ template: HTMLTemplateElement, sheet: CSSStyleSheet } | undefined} Made once for all. */
let look;

const outside = () => new DeepbreathError('not-loaded', 'The element is in no document, so it has no engine.');

/** What every element is cloned from. */
function looks() {
  if (look) return look;
  const markup = `${SYMBOLS}${BAR}<div id="room" class="room" data-film="none">${VIEWER}${ANSWER}</div><slot name="footer"></slot>`;
  const template = document.createElement('template');
  template.innerHTML = ownMarkup(markup);
  const invitation = template.content.querySelector('#invitation');
  if (invitation) invitation.innerHTML = ownMarkup(INVITATION);
  template.content.querySelector('#keys')?.remove(); // Opens a dialog of the page.
  // The shortcut lab belongs to the page, and with it the choice between two views.
  for (const id of ['#views', '#lab', '#lab-help']) template.content.querySelector(id)?.remove();
  for (const name of ['role', 'aria-labelledby']) template.content.querySelector('#answer-view')?.removeAttribute(name);
  // A landmark of the application is none of the page around, where it may come several times.
  for (const section of template.content.querySelectorAll('section')) section.removeAttribute('aria-labelledby');
  template.content.querySelector('#dropzone')?.setAttribute('data-word', 'invitation.drop');
  // Stands beside a disclaimer that a page translated itself.
  const english = make('span', '', ENGLISH.say('disclaimer'));
  english.id = 'disclaimer-english';
  english.lang = 'en';
  const disclaimer = template.content.querySelector('#disclaimer [data-word]');
  const both = make('span', '');
  disclaimer?.replaceWith(both);
  both.append(disclaimer ?? '', ' ', english);
  const more = make('slot', '');
  more.name = 'disclaimer';
  template.content.querySelector('#disclaimer')?.after(more);
  for (const [selector, part] of Object.entries(PARTS)) template.content.querySelector(selector)?.part.add(part);
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(STYLES);
  return (look = { template, sheet });
}

/** Where there is no document (a server that only renders), the element can be imported but not used. */
const Base = /** @type {new () => import('./events.js').Telling<DeepBreathEventMap> & HTMLElement} */ (globalThis.HTMLElement ?? Object);

/**
 * The element. Attributes: `weights` (address), `backend` (`auto`, `cpu`, `webgpu`), `base` (folder of the package's files),
 * `lang` (else that of the page around; `en`, `de`, `es`, `fr` and what {@link DeepBreathElement.define} brings),
 * `theme` (`dark`, `light`; else the page's `color-scheme`). Slots: `invitation`, `disclaimer` (after ours), `footer`.
 *
 * Events, all bubbling and composed: `ready` (`detail: { backend, weights }`), `assessment` (`detail`: the
 * {@link Assessment}), `error` (`detail`: the `DeepbreathError`).
 */
export class DeepBreathElement extends Base {
  static observedAttributes = ['weights', 'backend', 'base', 'lang'];

  /** Those in a document. @type {Set<DeepBreathElement>} */
  static #connected = new Set();
  /** Hears that the page around changes its language. @type {MutationObserver | undefined} */
  static #observer;

  /** @type {ShadowRoot | undefined} */
  #root;
  /** @type {Viewer | undefined} */
  #viewer;
  /** @type {SaliencyControls | undefined} */
  #saliency;
  /** @type {Answer | undefined} */
  #answer;
  /** @type {ReturnType<typeof take> | undefined} */
  #engine;
  /** @type {LoadOptions['weights']} */
  #weights;
  #asked = new AbortController();
  /** @type {Assessment | undefined} */
  #assessment;
  #words = ENGLISH;
  /** What the status says. @type {(words: Words) => string} */
  #state = (words) => words.say('status.starting');

  /**
   * Words of your own: another language, or other words in one that is there. What is missing is said in English. The
   * disclaimer of the languages that come along stays; beside one in another language stands the English one.
   * @param {string} lang A language tag: `it`, `pt-BR`.
   * @param {import('./languages.js').OwnWords} words By the keys of `app/words/en.js`; also `finding.LABEL` for the labels of your weights.
   * @throws {RangeError} Where `lang` is no language tag.
   */
  static define(lang, words) {
    define(lang, words);
    for (const element of DeepBreathElement.#connected) void element.#listen();
  }

  /** The weights, where they are not at the address of the attribute: bytes or a Blob. */
  get weights() {
    return this.#weights ?? this.getAttribute('weights') ?? undefined;
  }

  set weights(weights) {
    if (weights === this.#weights) return;
    this.#weights = weights;
    this.#begin();
  }

  /** The last answer. */
  get assessment() {
    return this.#assessment;
  }

  /** The classifier, once it is there. @returns {Promise<Classifier>} */
  get classifier() {
    if (!this.#engine) return Promise.reject(outside());
    return this.#engine.classifier;
  }

  connectedCallback() {
    if (Object.hasOwn(this, 'weights')) {
      // Set before this module was there, and so beside the accessor.
      this.#weights = this.weights;
      Reflect.deleteProperty(this, 'weights');
    }
    if (!this.#root) this.#build();
    DeepBreathElement.#connected.add(this);
    if (!DeepBreathElement.#observer) {
      DeepBreathElement.#observer = new MutationObserver(() => DeepBreathElement.#connected.forEach((element) => element.#listen()));
      DeepBreathElement.#observer.observe(document, { subtree: true, attributeFilter: ['lang'] });
    }
    void this.#listen();
    this.#reload();
  }

  disconnectedCallback() {
    DeepBreathElement.#connected.delete(this);
    if (!this.#html('working').hidden) this.#clear(); // Nobody goes on with that film.
    this.#leave();
  }

  /** @param {string} name @param {string | null} before @param {string | null} value */
  attributeChangedCallback(name, before, value) {
    if (!this.#root || value === before) return;
    if (name === 'lang') void this.#listen();
    else this.#begin();
  }

  /**
   * Shows an image and its answer, as if it had been chosen here. Where loading failed, it is tried again first.
   * @param {Source} source
   * @returns {Promise<Assessment>} What `assessment` tells as well. Rejects with an `AbortError` where another image takes
   *   its place, or the element is removed or gets other weights.
   */
  async classify(source) {
    const [viewer, saliency, answer] = [this.#viewer, this.#saliency, this.#answer];
    if (!viewer || !saliency || !answer || !this.#engine) throw outside();
    if (this.#html('status').dataset.state === 'failed') this.#reload();
    this.#asked.abort();
    const { signal } = (this.#asked = new AbortController());
    const name = nameOf(source);
    this.#invite(name);
    viewer.clear();
    saliency.offer([]);
    answer.work(name);
    this.#blank('page.reading');
    let loaded = false;
    try {
      const classifier = await this.classifier;
      loaded = true;
      signal.throwIfAborted();
      this.#status('working', (words) => words.say('status.reading', { file: name }));
      viewer.show(await classifier.preview(source, { signal }), name);
      this.#blank();
      this.#html('tools').hidden = false;
      const assessment = await classifier.classify(source, { saliency: true, signal });
      this.#assessment = assessment;
      saliency.offer(assessment.refused ? [] : assessment.saliency);
      answer.answer(assessment);
      this.#status('ready', (words) => words.say('status.ready'));
      this.#tell('assessment', assessment);
      return assessment;
    } catch (error) {
      if (!signal.aborted && viewer.empty) this.#blank('page.no-picture');
      // Of an error while loading, `#reload` tells.
      if (!signal.aborted && loaded) {
        this.#status('ready', (words) => words.say('status.ready'));
        answer.fail(described(error));
        this.#tell('error', error);
      }
      throw error;
    }
  }

  /** @param {string} id */
  #html(id) {
    return element(id, HTMLElement, /** @type {ShadowRoot} */ (this.#root));
  }

  /** @param {'loading' | 'ready' | 'working' | 'failed'} state @param {(words: Words) => string} text */
  #status(state, text) {
    this.#state = text;
    this.#html('status').dataset.state = state;
    this.#html('status-text').textContent = text(this.#words);
  }

  /** Takes the words of the language around, which may have to be fetched. */
  async #listen() {
    const tag = languageOf(this);
    const found = wordsFor(tag);
    if (found instanceof Words) return this.#speak(found);
    const words = await found.catch((error) => {
      console.warn(`<deep-breath> goes on in English: the words for ${tag} did not arrive. ${error}`);
      return ENGLISH;
    });
    if (tag === languageOf(this)) this.#speak(words);
  }

  /** What stands at the top of the shadow tree and holds words. */
  #parts() {
    return [...(this.#root?.children ?? [])].filter((child) => child instanceof HTMLDivElement);
  }

  /** @param {Words} words */
  #speak(words) {
    const root = this.#root;
    if (!root) return;
    this.#words = words;
    for (const part of this.#parts()) {
      part.lang = words.lang;
      part.classList.remove('mute');
    }
    fill(root, words);
    this.#html('disclaimer-english').hidden = words.ours || words.langOf('disclaimer') === 'en';
    this.#html('status-text').textContent = this.#state(words);
    this.#viewer?.speak(words);
    this.#saliency?.speak(words);
    this.#answer?.speak(words);
  }

  /** @param {string} type @param {unknown} detail */
  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }

  #build() {
    const { template, sheet } = looks();
    const root = (this.#root = this.attachShadow({ mode: 'open' }));
    root.adoptedStyleSheets = [sheet];
    root.append(document.importNode(template.content, true));
    for (const part of this.#parts()) part.classList.add('mute'); // Until the words are there.
    this.#viewer = new Viewer(root);
    this.#saliency = new SaliencyControls(this.#viewer, root);
    this.#answer = new Answer(root);
    this.#viewer.clear();
    const file = input('file', root);
    for (const id of ['open', 'choose']) button(id, root).addEventListener('click', () => file.click());
    file.addEventListener('change', () => {
      this.#take(file.files);
      file.value = ''; // So that the same file can be chosen again.
    });
    const drop = this.#html('dropzone');
    const leave = () => (drop.hidden = true);
    const carriesFiles = (/** @type {DragEvent} */ { dataTransfer }) => dataTransfer?.types.includes('Files') ?? false;
    this.addEventListener('dragover', (event) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      drop.hidden = false;
    });
    this.addEventListener('dragleave', (event) => this.contains(/** @type {Node | null} */ (event.relatedTarget)) || leave());
    this.addEventListener('drop', (event) => {
      if (!carriesFiles(event)) return; // A word for a field in one of the slots.
      event.preventDefault();
      leave();
      this.#take(event.dataTransfer?.files);
    });
    this.addEventListener('paste', (event) => this.#take(event.clipboardData?.files));
  }

  /** @param {FileList | null | undefined} files Of several, the first. */
  #take(files) {
    const [file] = files ?? [];
    if (!file) return;
    if (files && files.length > 1) announce(this.#words.say('status.one', { file: file.name }), this.#root);
    this.classify(file).catch(() => {}); // Shown, and told by an event.
  }

  /** Makes room for a film. @param {string} name */
  #invite(name) {
    this.#html('room').dataset.film = 'open';
    this.#html('invitation').hidden = true;
    this.#html('tools').hidden = true;
    const caption = this.#html('caption');
    caption.textContent = name;
    caption.hidden = false;
  }

  /** What stands in the lightbox while no film does. @param {import('./app/language.js').WordKey} [key] */
  #blank(key) {
    const blank = this.#html('busy');
    blank.hidden = !key;
    if (!key || !this.#root) return;
    blank.dataset.word = key;
    fill(this.#root, this.#words);
  }

  /** Takes film and answer away; what is under way ends. */
  #clear() {
    this.#asked.abort();
    this.#blank();
    this.#assessment = undefined;
    this.#viewer?.clear();
    this.#saliency?.offer([]);
    this.#answer?.wait();
    this.#html('room').dataset.film = 'none';
    this.#html('invitation').hidden = false;
    this.#html('tools').hidden = true;
    this.#html('caption').hidden = true;
  }

  /** Begins anew with other weights or another engine, which the answer on show does not come from. */
  #begin() {
    if (!this.#root) return;
    this.#clear();
    this.#reload();
  }

  /** Gets the engine that the attributes ask for. */
  #reload() {
    if (!this.isConnected || !this.#root) return;
    if (this.#html('status').dataset.state === 'failed') this.#clear(); // What failed is said no longer.
    this.#leave();
    this.#html('engine-note').hidden = true; // Of the engine that was.
    const backend = this.getAttribute('backend');
    const base = this.getAttribute('base');
    const engine = (this.#engine = take({
      ...(this.weights !== undefined && { weights: this.weights }),
      backend: backend === 'cpu' || backend === 'webgpu' ? backend : 'auto',
      ...(base !== null && { base }),
    }));
    engine.addEventListener('progress', this.#progressed);
    this.#progressed();
    engine.classifier.then((classifier) => {
      if (engine === this.#engine) this.#ready(classifier);
    }, (error) => {
      if (engine !== this.#engine) return;
      this.#status('failed', (words) => words.say('status.failed'));
      this.#answer?.fail(described(error));
      this.#tell('error', error);
    });
  }

  #leave() {
    if (!this.#engine) return;
    const engine = this.#engine;
    this.#engine = undefined;
    engine.removeEventListener('progress', this.#progressed);
    engine.classifier.then((classifier) => {
      classifier.removeEventListener('backendchange', this.#changed);
      classifier.removeEventListener('restart', this.#restarted);
    }, () => {});
    release(engine);
  }

  #progressed = () => {
    const progress = this.#engine?.progress ?? { loaded: 0, total: 0 };
    this.#status('loading', (words) => loadingText(progress, words));
  };

  /** @param {Classifier} classifier */
  #ready(classifier) {
    const { weights, backend } = classifier;
    this.#answer?.know(knownOf(weights));
    if (classifier.fallback) this.#answer?.tellEngine('fallback', classifier.reason);
    this.#status('ready', (words) => words.say('status.ready'));
    classifier.addEventListener('backendchange', this.#changed);
    classifier.addEventListener('restart', this.#restarted);
    this.#tell('ready', { backend, weights });
  }

  #changed = (/** @type {import('./events.js').ClassifierEventMap['backendchange']} */ { detail: { reason } }) => {
    this.#answer?.tellEngine('fallback', reason);
  };

  #restarted = (/** @type {import('./events.js').ClassifierEventMap['restart']} */ { detail: { reason } }) => {
    this.#answer?.tellEngine('restart', reason);
  };
}

if (globalThis.customElements && !customElements.get('deep-breath')) customElements.define('deep-breath', DeepBreathElement);
