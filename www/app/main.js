// The document in the sealed frame: films in, answers out. Everything else is behind client.js.

import { Answer, knownOf } from './answer.js';
import { announce, button, element } from './dom.js';
import { saveHere, toCsv, toJson } from './export.js';
import { takeFiles } from './inputs.js';
import { Lab } from './lab.js';
import { ENGLISH, fill, Words } from './language.js';
import { Queue } from './queue.js';
import { SaliencyControls } from './saliency.js';
import { FilmTable } from './table.js';
import { Viewer } from './viewer.js';
import { described, loadingText } from './words.js';

/** @typedef {import('../client.js').Classifier} Classifier */
/** @typedef {import('../client.js').Progress} Progress */
/** @typedef {import('./measured.js').Metadata} Metadata */
/** @typedef {import('./queue.js').Film} Film */
/**
 * What the page around the frame gives.
 * @typedef {object} Context
 * @property {string} [version] Of the program.
 * @property {EventTarget} [network] The report on requests.
 * @property {{ lang: string, texts: Record<string, string> } | undefined} [words] A catalogue; English without one.
 * @property {Promise<import('./lab.js').Tutorial>} [tutorial] A second network, for the shortcut lab.
 * @property {import('./export.js').Save} [save] Saves a text as a file of the visitor's: a frame that were allowed to
 *   download could ask any address for a file.
 */

/** Something that concerns no single film. @param {string | Node} text */
function notice(text) {
  const line = element('notice', HTMLElement);
  line.replaceChildren(text);
  line.hidden = !text;
}

/** The page: which film is shown, and what follows from each event. */
class Room {
  #viewer = new Viewer();
  #saliency = new SaliencyControls(this.#viewer);
  #answer = new Answer();
  #lab = new Lab(this.#viewer);
  #queue = new Queue();
  #table = new FilmTable(() => this.#queue.films, (film) => {
    void this.#open(film);
    element('lightbox', HTMLElement).scrollIntoView({ block: 'nearest' });
  });
  /** @type {Film | undefined} */
  #current;
  /** @type {Classifier | undefined} */
  #classifier;
  #backend = '';
  /** @type {{ code: string, message: string } | undefined} Why there will be no classifier. */
  #failure;
  /** @type {number | undefined} Of the prediction sets. */
  #coverage;
  #opening = new AbortController();
  #version;
  #words;
  #save;

  /** @param {Context} context */
  constructor({ version = '', words, save = saveHere }) {
    this.#version = version;
    this.#words = words ? new Words(words.lang, words.texts) : ENGLISH;
    if (words) this.#speak();
    this.#save = save;
    takeFiles(
      (files, leftOut) => this.#take(files, leftOut),
      (error) => notice(this.#words.english(described(error).message)),
      () => notice(this.#words.say('list.folders')),
    );
    this.#queue.addEventListener('change', (event) => this.#changed(/** @type {CustomEvent<Film | undefined>} */ (event).detail));
    this.#queue.addEventListener('plane', (event) => this.#decoded(/** @type {CustomEvent} */ (event).detail));
    this.#queue.addEventListener('rest', (event) => this.#rested(/** @type {CustomEvent<number>} */ (event).detail));
    button('cancel').addEventListener('click', () => this.#queue.stop());
    button('resume').addEventListener('click', () => void this.#queue.run());
    button('clear').addEventListener('click', () => this.#clear());
    button('export-csv').addEventListener('click', () => this.#export('csv'));
    button('export-json').addEventListener('click', () => this.#export('json'));
    button('to-list').addEventListener('click', () => {
      element('worklist', HTMLElement).scrollIntoView();
      element('table-body', HTMLElement).querySelector('button')?.focus({ preventScroll: true });
    });
    const shortcuts = element('shortcuts', HTMLDialogElement);
    button('keys').addEventListener('click', () => shortcuts.showModal());
  }

  #speak() {
    const words = this.#words;
    document.documentElement.lang = words.lang;
    fill(document, words);
    for (const part of [this.#viewer, this.#saliency, this.#answer, this.#lab, this.#table]) part.speak(words);
  }

  /** @param {'loading' | 'ready' | 'working' | 'failed'} state @param {(words: Words) => string} text */
  status(state, text) {
    element('status', HTMLElement).dataset.state = state;
    element('status-text', HTMLElement).textContent = text(this.#words);
  }

  /**
   * Takes the loaded classifier; what was opened meanwhile is read now.
   * @param {Classifier} classifier
   * @param {import('./lab.js').Tutorial | undefined} tutorial
   */
  ready(classifier, tutorial) {
    this.#lab.use(classifier, tutorial);
    this.#classifier = classifier;
    const { backend = '', weights: metadata } = /** @type {{ backend?: string, weights?: Metadata }} */ (/** @type {unknown} */ (classifier));
    this.#backend = backend;
    const known = knownOf(metadata);
    this.#answer.know(known);
    this.#coverage = metadata?.conformal?.coverage;
    if (known.classes.length) this.#table.classes = known.classes;
    if (classifier.fallback) this.#answer.tellEngine('fallback', classifier.reason);
    if (classifier instanceof EventTarget) {
      classifier.addEventListener('backendchange', ({ detail: { backend, reason } }) => {
        this.#backend = backend;
        this.#answer.tellEngine('fallback', reason);
      });
      classifier.addEventListener('restart', ({ detail: { reason } }) => this.#answer.tellEngine('restart', reason));
    }
    this.status('ready', (words) => words.say('status.ready'));
    this.#queue.use(classifier);
  }

  /** @param {unknown} error */
  failed(error) {
    this.status('failed', (words) => words.say('status.failed'));
    this.#failure = described(error);
    this.#answer.fail(this.#failure);
    if (this.#current) this.#blank(this.#words.say('page.no-picture'));
  }

  /** @param {import('./inputs.js').Named[]} files @param {number} leftOut */
  #take(files, leftOut) {
    notice(leftOut ? this.#words.say(leftOut === 1 ? 'list.left-out-one' : 'list.left-out', { count: leftOut }) : '');
    const [first] = this.#queue.add(files);
    if (!first) return;
    if (files.length > 1) announce(this.#words.say('list.opened', { count: files.length }));
    void this.#open(first);
  }

  /** Puts a film on the lightbox, with its answer if there is one. @param {Film} film */
  async #open(film) {
    this.#current = film;
    this.#table.selected = film.id;
    this.#opening.abort();
    const { signal } = (this.#opening = new AbortController());
    const many = this.#queue.films.length > 1;
    element('room', HTMLElement).dataset.film = 'open';
    element('room', HTMLElement).dataset.many = String(many);
    element('invitation', HTMLElement).hidden = true;
    const caption = element('caption', HTMLElement);
    caption.textContent = film.name;
    caption.hidden = false;
    this.#viewer.clear();
    if (film.error) this.#lab.close();
    else this.#lab.film(undefined);
    this.#saliency.offer([]);
    this.#blank(film.error || this.#failure ? this.#words.say('page.no-picture') : film.assessment ? '' : this.#words.say('page.reading'));
    this.#tellAnswer(film);
    // A film at work or waiting is shown when the queue has decoded it.
    if (!this.#classifier || !film.assessment) return;
    try {
      this.#show(film, await this.#classifier.preview(film.file, { signal }));
    } catch (error) {
      if (!signal.aborted) this.#answer.fail(described(error));
    }
  }

  /** @param {Film} film */
  #tellAnswer(film) {
    if (film.error) this.#answer.fail(film.error);
    else if (film.assessment) this.#answer.answer(film.assessment);
    else if (this.#failure) this.#answer.fail(this.#failure);
    else this.#answer.work(film.name);
  }

  /** @param {Film} film @param {import('../client.js').Plane} plane */
  #show(film, plane) {
    if (film !== this.#current) return;
    this.#viewer.show(plane, film.name);
    this.#lab.film(film);
    this.#blank('');
    element('tools', HTMLElement).hidden = false;
    if (film.assessment) this.#saliency.offer(film.assessment.refused ? [] : film.assessment.saliency);
  }

  /** What stands in the lightbox while no film does. @param {string} text */
  #blank(text) {
    const blank = element('busy', HTMLElement);
    blank.textContent = text;
    blank.hidden = !text;
    if (text) element('tools', HTMLElement).hidden = true;
  }

  /** @param {{ film: Film, plane: import('../client.js').Plane }} decoded */
  #decoded({ film, plane }) {
    this.#show(film, plane);
  }

  /** @param {Film | undefined} film */
  #changed(film) {
    this.#table.changed(film);
    this.#count();
    if (film?.state === 'working') this.status('working', (words) => words.say('status.reading', { file: film.name }));
    if (!film || film !== this.#current || film.state === 'working' || film.state === 'waiting') return;
    if (film.error && this.#viewer.empty) {
      this.#blank(this.#words.say('page.no-picture'));
      this.#lab.close();
    }
    // Opened after it was decoded: its picture has gone by.
    if (film.assessment && this.#viewer.empty) return void this.#open(film);
    this.#tellAnswer(film);
    if (film.assessment) this.#saliency.offer(film.assessment.refused ? [] : film.assessment.saliency);
  }

  /** Progress of the list, and which of its controls make sense now. */
  #count() {
    const { films, running } = this.#queue;
    const words = this.#words;
    const read = films.filter(({ state }) => state === 'done' || state === 'failed').length;
    element('worklist', HTMLElement).hidden = films.length < 2;
    button('to-list').hidden = films.length < 2;
    button('to-list').textContent = words.say('list.open', { count: films.length });
    element('progress-text', HTMLElement).textContent = words.say(read < films.length ? 'list.some' : 'list.read', { read, all: films.length });
    element('progress-bar', HTMLProgressElement).value = films.length ? read / films.length : 0;
    element('progress-bar', HTMLProgressElement).hidden = read === films.length;
    const swap = button(running ? 'resume' : 'cancel');
    const kept = button(running ? 'cancel' : 'resume');
    const hadFocus = document.activeElement === swap;
    swap.hidden = true;
    kept.hidden = read === films.length;
    if (hadFocus) (kept.hidden ? element('rows', HTMLElement) : kept).focus();
  }

  /** @param {number} read How many films were read since the last rest. */
  #rested(read) {
    this.#count();
    if (this.#classifier) this.status('ready', (words) => words.say('status.ready'));
    const { films } = this.#queue;
    const waiting = films.filter(({ state }) => state === 'waiting').length;
    // One film alone was announced with its answer.
    if (read < 2 && waiting === 0) return;
    announce(this.#words.say(waiting ? 'list.stopped' : 'list.finished', { read: films.length - waiting, all: films.length }));
  }

  #clear() {
    this.#opening.abort();
    this.#queue.clear();
    this.#lab.close();
    this.#current = undefined;
    this.#table.selected = undefined;
    this.#viewer.clear();
    this.#saliency.offer([]);
    if (this.#failure) this.#answer.fail(this.#failure);
    else this.#answer.wait();
    this.#blank('');
    element('tools', HTMLElement).hidden = true;
    element('caption', HTMLElement).hidden = true;
    element('invitation', HTMLElement).hidden = false;
    element('room', HTMLElement).dataset.film = 'none';
    element('room', HTMLElement).dataset.many = 'false';
    button('open').focus();
    announce(this.#words.say('list.empty'));
  }

  /** The films in sight of the filter, in their order. @param {'csv' | 'json'} form */
  #export(form) {
    const films = this.#table.shown;
    const answered = films.find(({ assessment }) => assessment)?.assessment;
    const date = new Date().toISOString();
    const origin = {
      version: this.#version,
      weights: answered?.weights ?? '',
      backend: answered?.backend ?? this.#backend,
      date,
      settings: { operatingPoint: 'balanced', coverage: this.#coverage, saliency: true },
    };
    const name = `deepbreath-${date.slice(0, 19).replaceAll(':', '')}.${form}`;
    if (form === 'csv') this.#save(name, 'text/csv', toCsv(films, origin));
    else this.#save(name, 'application/json', toJson(films, origin));
    announce(this.#words.say('list.saved', { count: films.length, file: name }));
  }
}

/**
 * Begins: takes files at once, and answers as soon as the classifier is there.
 * @param {(onProgress: (progress: Progress) => void) => Promise<Classifier>} load
 * @param {Context} context
 */
export async function start(load, context = {}) {
  document.body.hidden = false;
  const room = new Room(context);
  room.status('loading', (words) => words.say('status.starting'));
  let failed = false;
  try {
    // What was on its way when something else failed goes on arriving.
    const classifier = await load((progress) => failed || room.status('loading', (words) => loadingText(progress, words)));
    room.ready(classifier, await context.tutorial?.catch(() => undefined)); // The lab is the only one to miss it.
  } catch (error) {
    failed = true;
    room.failed(error);
  }
}
