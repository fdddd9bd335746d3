// The films of this session, read one after the other. A film keeps its file's handle, never its bytes.

import { described } from './words.js';
import { thumbnail } from './picture.js';

/** @typedef {import('../client.js').Assessment} Assessment */
/** @typedef {import('../client.js').Classifier} Classifier */
/** @typedef {import('../client.js').Plane} Plane */

/** Pixels of a thumbnail's longer side: twice what the list shows, for dense screens. */
const THUMBNAIL = 88;

/**
 * @typedef {object} Film
 * @property {number} id
 * @property {File} file
 * @property {string} name With the folders it came from.
 * @property {'waiting' | 'working' | 'done' | 'failed'} state
 * @property {import('./picture.js').Thumbnail} [thumbnail]
 * @property {Assessment} [assessment]
 * @property {{ code: string, message: string }} [error]
 * @property {string} [time] When the answer came, ISO 8601.
 */

/**
 * Dispatches `change` (detail: the film, or undefined for all), `plane` (detail: film and plane) and `rest` (detail: how
 * many films were read since it last rested).
 */
export class Queue extends EventTarget {
  /** @type {Film[]} */
  films = [];
  running = false;
  #next = 0;
  #read = 0;
  /** @type {Classifier | undefined} */
  #classifier;
  #abort = new AbortController();

  /** @param {Classifier} classifier */
  use(classifier) {
    this.#classifier = classifier;
    void this.run();
  }

  /**
   * Appends files and begins to read them.
   * @param {{ file: File, name: string }[]} files
   * @returns {Film[]}
   */
  add(files) {
    /** @type {Film[]} */
    const films = files.map(({ file, name }) => ({ id: this.#next++, file, name, state: 'waiting' }));
    this.films.push(...films);
    this.#tell('change');
    void this.run();
    return films;
  }

  /** Reads what waits, in order, one film at a time. */
  async run() {
    const classifier = this.#classifier;
    if (this.running || !classifier) return;
    this.running = true;
    const { signal } = (this.#abort = new AbortController());
    for (let film = this.#waiting(); film && !signal.aborted; film = this.#waiting()) await this.#readOne(film, classifier, signal);
    // A stop, then more at once: the later run has its own signal and must not be ended by the earlier.
    if (this.#abort.signal === signal) this.#rest();
  }

  /** Leaves the rest unread; the film at work goes back to the waiting ones. */
  stop() {
    this.#abort.abort();
    this.#abort = new AbortController();
    for (const film of this.films) if (film.state === 'working') film.state = 'waiting';
    this.#rest();
    this.#tell('change');
  }

  #rest() {
    this.running = false;
    this.#tell('rest', this.#read);
    this.#read = 0;
  }

  /** Forgets all films. */
  clear() {
    this.films = [];
    this.stop();
  }

  /** @returns {Film | undefined} */
  #waiting() {
    return this.films.find(({ state }) => state === 'waiting');
  }

  /** @param {Film} film @param {Classifier} classifier @param {AbortSignal} signal */
  async #readOne(film, classifier, signal) {
    film.state = 'working';
    this.#tell('change', film);
    try {
      const plane = await classifier.preview(film.file, { signal });
      film.thumbnail = thumbnail(plane, THUMBNAIL);
      this.#tell('plane', { film, plane });
      film.assessment = await classifier.classify(film.file, { saliency: true, signal });
      film.state = 'done';
    } catch (error) {
      if (signal.aborted) return;
      film.error = described(error);
      film.state = 'failed';
    }
    film.time = new Date().toISOString();
    this.#read++;
    this.#tell('change', film);
  }

  /** @param {string} type @param {unknown} [detail] */
  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
