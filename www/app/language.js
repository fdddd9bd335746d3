// The words of one language: texts by key, and numbers and lists as that language writes them.

import { make } from './dom.js';
import { en } from './words/en.js';

/** @typedef {import('./words/en.js').WordKey} WordKey */

/** How English is written here, where nobody asks for another kind. */
export const BRITISH = 'en-GB';

export class Words {
  #texts;
  #locale;
  /** @type {Map<string, Intl.NumberFormat | Intl.ListFormat>} Making one takes longer than using it a hundred times. */
  #formats = new Map();

  /**
   * @param {string} lang Of the texts: `de`.
   * @param {Record<string, string>} texts By {@link WordKey}; what is missing is said in English.
   * @param {string} [locale] How numbers are written: `de-CH`.
   * @param {boolean} [ours] Whether this package brings the language, and so its disclaimer.
   */
  constructor(lang, texts, locale = lang, ours = true) {
    this.lang = lang;
    this.#texts = texts;
    this.#locale = locale;
    this.ours = ours;
  }

  get isEnglish() {
    return this.lang.split('-')[0] === 'en';
  }

  /** The text of a key, in English where this language has none. @param {WordKey} key @param {Record<string, string | number>} [values] */
  say(key, values = {}) {
    return (this.#texts[key] ?? en[key]).replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
  }

  /**
   * The same with elements among its values.
   * @param {WordKey} key
   * @param {Record<string, string | Node>} values
   * @returns {(string | Node)[]}
   */
  parts(key, values) {
    // Splitting by a group keeps the names, at the odd places.
    return this.say(key).split(/\{(\w+)\}/).map((part, index) => (index % 2 ? values[part] ?? '' : part)).filter((part) => part !== '');
  }

  /** The text of a key that may be none. @param {string} key @returns {string | undefined} */
  find(key) {
    return this.#texts[key] ?? /** @type {Record<string, string>} */ (en)[key];
  }

  /** The language of a key's text. @param {WordKey} key */
  langOf(key) {
    return this.#texts[key] === undefined ? 'en' : this.lang;
  }

  /** What is only said in English (of the program's own sentences): marked, where these words are not. @param {string} text */
  english(text) {
    if (this.isEnglish) return text;
    const marked = make('span', '', text);
    marked.lang = 'en';
    return marked;
  }

  /** @param {number} value @param {number} [most] Digits after the point. @param {number} [least] Of these, shown even if 0. */
  number(value, most = 0, least = most) {
    const digits = { minimumFractionDigits: least, maximumFractionDigits: most, useGrouping: false };
    return this.#format(`${least} ${most}`, () => new Intl.NumberFormat(this.#locale, digits)).format(value);
  }

  /** @param {number} share 0 to 1 @param {number} [most] As for `number`. @param {number} [least] */
  percent(share, most = 0, least = most) {
    return this.say('number.percent', { number: this.number(100 * share, most, least) });
  }

  /** "a, b or c", "a, b and c". @param {string[]} names @param {'or' | 'and'} word */
  list(names, word) {
    const type = word === 'or' ? 'disjunction' : 'conjunction';
    return this.#format(word, () => new Intl.ListFormat(this.#locale, { type })).format(names);
  }

  /**
   * A format that is made once.
   * @template {Intl.NumberFormat | Intl.ListFormat} Format
   * @param {string} key
   * @param {() => Format} made
   * @returns {Format}
   */
  #format(key, made) {
    const format = this.#formats.get(key) ?? made();
    this.#formats.set(key, format);
    return /** @type {Format} */ (format);
  }
}

/**
 * Says the texts of a document or a shadow tree in other words: those of the keys in `data-word`, `data-word-label` and
 * `data-word-title`.
 * @param {import('./dom.js').Root} root
 * @param {Words} words
 */
export function fill(root, words) {
  for (const node of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll('[data-word], [data-word-label], [data-word-title]'))) {
    const { word, wordLabel, wordTitle } = /** @type {Record<string, WordKey | undefined>} */ (node.dataset);
    if (wordLabel) node.ariaLabel = words.say(wordLabel);
    if (wordTitle) node.title = words.say(wordTitle);
    if (!word) continue;
    node.textContent = words.say(word);
    const lang = words.langOf(word);
    if (node.parentElement?.closest('[lang]')?.getAttribute('lang') === lang) node.removeAttribute('lang');
    else node.lang = lang;
  }
}

/** English, as the application speaks it. */
export const ENGLISH = new Words('en', en, BRITISH);
