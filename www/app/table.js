// The list of films: sorted, filtered, and only the rows in sight in the document, so that thousands cost nothing.

import { announce, button, element, input, make } from './dom.js';
import { ENGLISH } from './language.js';
import { AS_READ, greyTable, paint } from './picture.js';
import { findingName, oneOf, percent, problem, verdict, wholePercent } from './words.js';

/** @typedef {import('./queue.js').Film} Film */
/** @typedef {{ key: string, descending: boolean }} Order */

/** Pixels of a row; the style sheet's --row says the same. */
const ROW = 60;
/** Rows kept ready above and below the ones in sight. */
const SPARE = 8;

export class FilmTable {
  #scroller = element('rows', HTMLElement);
  #body = element('table-body', HTMLTableSectionElement);
  #head = element('table-head', HTMLTableSectionElement);
  #filter = input('filter');
  #filterAnswer = element('filter-answer', HTMLSelectElement);
  #words = ENGLISH;
  #open;
  #films;
  /** @type {Film[]} The films that match, in order. */
  #shown = [];
  /** @type {Map<number, HTMLTableRowElement>} */
  #rows = new Map();
  /** @type {string[]} */
  #classes = [];
  /** @type {Order} */
  #order = { key: 'id', descending: false };
  /** @type {number | undefined} */
  #selected;
  #frame = 0;

  /**
   * @param {() => Film[]} films
   * @param {(film: Film) => void} open
   */
  constructor(films, open) {
    this.#films = films;
    this.#open = open;
    this.#scroller.addEventListener('scroll', () => this.refresh(), { passive: true });
    this.#scroller.addEventListener('keydown', (event) => this.#key(event));
    new ResizeObserver(() => this.refresh()).observe(this.#scroller);
    this.#filter.addEventListener('input', () => this.#filtered());
    this.#filterAnswer.addEventListener('change', () => this.#filtered());
    this.classes = [];
  }

  /** The columns of probabilities. @param {string[]} classes */
  set classes(classes) {
    this.#classes = classes;
    const words = this.#words;
    const answers = [['', words.say('list.every')], ...classes.map((label) => [`call ${label}`, findingName(label, words)]),
      ['none', words.say('verdict.none')], ['refused', words.say('verdict.refused')], ['failed', words.say('list.unread')],
      ['waiting', words.say('list.waiting')]];
    this.#filterAnswer.replaceChildren(...answers.map(([value = '', name = '']) => new Option(name, value)));
    this.#drawHead();
    this.#rows.clear();
    this.refresh();
  }

  /** Says everything in other words. @param {import('./language.js').Words} words */
  speak(words) {
    this.#words = words;
    element('filter', HTMLInputElement).placeholder = words.say('list.name');
    this.classes = this.#classes;
  }

  /** @param {number | undefined} id */
  set selected(id) {
    this.#selected = id;
    this.refresh();
  }

  /** The films that match the filter, in the order shown. */
  get shown() {
    return this.#shown;
  }

  /** One film has changed, or all have. @param {Film} [film] */
  changed(film) {
    if (film) this.#rows.delete(film.id);
    else this.#rows.clear();
    this.refresh();
  }

  /** Draws what is in sight, at most once a frame. */
  refresh() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  #filtered() {
    this.#scroller.scrollTop = 0;
    this.#draw();
    announce(this.#words.say('list.matching', { shown: this.#shown.length, all: this.#films().length }));
  }

  /** Chooses and orders the films. */
  #select() {
    const sought = this.#filter.value.trim().toLowerCase();
    const answer = this.#filterAnswer.value;
    const { key, descending } = this.#order;
    const shown = this.#films().filter((film) => film.name.toLowerCase().includes(sought) && (!answer || kind(film) === answer));
    const values = new Map(shown.map((film) => [film, sortValue(film, key, this.#words)]));
    const [before, after] = descending ? [1, -1] : [-1, 1];
    this.#shown = shown.sort((a, b) => {
      const [left, right] = [values.get(a), values.get(b)];
      // A film without a value stands at the end, whatever the direction.
      if (left === undefined || right === undefined) return Number(left === undefined) - Number(right === undefined) || a.id - b.id;
      return left < right ? before : left > right ? after : a.id - b.id;
    });
  }

  #draw() {
    this.#select();
    const shown = this.#shown;
    const first = Math.max(0, Math.floor(this.#scroller.scrollTop / ROW) - SPARE);
    const last = Math.min(shown.length, Math.ceil((this.#scroller.scrollTop + this.#scroller.clientHeight) / ROW) + SPARE);
    const focused = this.#focusedId();
    const visible = shown.slice(first, last);
    /** @type {Map<number, HTMLTableRowElement>} */
    const rows = new Map(visible.map((film) => [film.id, this.#rows.get(film.id) ?? this.#row(film)]));
    this.#rows = rows;
    const roving = visible.find(({ id }) => id === focused) ?? visible.find(({ id }) => id === this.#selected) ?? visible[0];
    visible.forEach((film, index) => {
      const row = rows.get(film.id);
      if (!row) return;
      row.setAttribute('aria-rowindex', String(first + index + 2));
      if (film.id === this.#selected) row.setAttribute('aria-current', 'true');
      else row.removeAttribute('aria-current');
      const opener = row.querySelector('button');
      if (opener) opener.tabIndex = film === roving ? 0 : -1;
    });
    const next = [gap(first), ...rows.values(), gap(shown.length - last)];
    // Rows that stay are not moved: a moved row would lose the focus.
    if (!sameNodes(this.#body, next)) this.#replace(next);
    element('table', HTMLTableElement).setAttribute('aria-rowcount', String(shown.length + 1));
    element('no-rows', HTMLElement).hidden = shown.length > 0;
    if (focused === undefined || document.activeElement !== document.body) return;
    (rows.get(focused)?.querySelector('button') ?? this.#scroller).focus({ preventScroll: true });
  }

  /** @param {HTMLTableRowElement[]} next */
  #replace(next) {
    this.#body.replaceChildren(...next);
  }

  /** The film whose button has the focus. @returns {number | undefined} */
  #focusedId() {
    const row = document.activeElement?.closest('tr[data-film]');
    return row instanceof HTMLElement && this.#body.contains(row) ? Number(row.dataset.film) : undefined;
  }

  #drawHead() {
    const words = this.#words;
    const columns = [['', ''], ['name', words.say('viewer.heading')], ['verdict', words.say('answer.heading')],
      ...this.#classes.map((label) => [`p ${label}`, findingName(label, words)]), ['milliseconds', words.say('facts.time')]];
    const cells = columns.map(([key = '', name = '']) => {
      const cell = make('th', key.startsWith('p ') ? 'number' : key || 'picture');
      cell.scope = 'col';
      if (!key) {
        cell.append(make('span', 'sr', words.say('list.picture')));
        return cell;
      }
      const active = this.#order.key === key;
      if (active) cell.setAttribute('aria-sort', this.#order.descending ? 'descending' : 'ascending');
      const sorter = make('button', 'sorter', name);
      sorter.type = 'button';
      sorter.addEventListener('click', () => this.#sort(key, name));
      cell.append(sorter);
      return cell;
    });
    const row = make('tr', '', ...cells);
    row.setAttribute('aria-rowindex', '1');
    this.#head.replaceChildren(row);
  }

  /** Probabilities begin with the highest; a third click brings back the order of reading. @param {string} key @param {string} name */
  #sort(key, name) {
    const first = key.startsWith('p ') || key === 'milliseconds';
    if (this.#order.key !== key) this.#order = { key, descending: first };
    else if (this.#order.descending === first) this.#order = { key, descending: !first };
    else this.#order = { key: 'id', descending: false };
    const index = [...this.#head.querySelectorAll('button')].findIndex(({ textContent }) => textContent === name);
    this.#drawHead();
    this.#head.querySelectorAll('button')[index]?.focus();
    this.#scroller.scrollTop = 0;
    this.#draw();
    const told = this.#order.key === 'id' ? 'list.unsorted' : this.#order.descending ? 'list.descending' : 'list.ascending';
    announce(this.#words.say(told, { column: name }));
  }

  /** @param {Film} film */
  #row(film) {
    const { id, name, state, assessment, thumbnail } = film;
    const words = this.#words;
    const opener = make('button', 'opener', make('span', '', name));
    opener.type = 'button';
    opener.addEventListener('click', () => this.#open(film));
    const file = make('th', 'name', opener);
    file.scope = 'row';
    const findings = assessment && !assessment.refused ? assessment.findings : [];
    const numbers = this.#classes.map((label) => {
      const finding = findings.find((one) => one.label === label);
      const cell = make('td', 'number', finding ? percent(finding.probability, words) : '');
      cell.dataset.name = findingName(label, words);
      if (finding) cell.style.setProperty('--share', String(finding.probability));
      return cell;
    });
    const possible = assessment?.predictionSet;
    const highest = findings.toSorted((a, b) => b.probability - a.probability)[0];
    const answer = make('td', 'verdict', make('span', 'badge', answerText(film, words)));
    // One that is called alone needs no second line.
    if (possible && possible.join() !== assessment?.call) answer.append(make('span', 'possible', oneOf(possible, words)));
    if (highest) {
      const named = highest.label === assessment?.call ? '' : `${findingName(highest.label, words)} `;
      answer.append(make('span', 'top', `${named}${wholePercent(highest.probability, words)}`));
    }
    const time = make('td', 'milliseconds', assessment ? words.say('list.milliseconds', { number: words.number(assessment.timings.total) }) : '');
    const row = make('tr', '', make('td', 'picture', thumbnail ? drawn(thumbnail) : make('span', 'blank')), file, answer, ...numbers, time);
    row.dataset.film = String(id);
    row.dataset.state = state;
    row.dataset.kind = kind(film).split(' ')[0];
    row.addEventListener('click', ({ target }) => opener.contains(/** @type {Node} */ (target)) || this.#open(film));
    return row;
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8, Home: -Infinity, End: Infinity }[event.key];
    const focused = this.#focusedId() ?? (document.activeElement === this.#scroller ? this.#selected : undefined);
    if (step === undefined || focused === undefined) return;
    event.preventDefault();
    const from = this.#shown.findIndex(({ id }) => id === focused);
    const to = Math.min(this.#shown.length - 1, Math.max(0, from + step));
    const film = this.#shown[to];
    if (!film) return;
    const headHeight = this.#head.offsetHeight;
    const { scrollTop, clientHeight } = this.#scroller;
    if (to * ROW < scrollTop) this.#scroller.scrollTop = to * ROW;
    else if ((to + 1) * ROW > scrollTop + clientHeight - headHeight) this.#scroller.scrollTop = (to + 1) * ROW - clientHeight + headHeight;
    this.#draw();
    this.#rows.get(film.id)?.querySelector('button')?.focus({ preventScroll: true });
    this.#draw();
  }
}

/** Space for the rows out of sight. @param {number} count */
function gap(count) {
  const row = make('tr', 'gap');
  row.setAttribute('aria-hidden', 'true');
  row.style.height = `${count * ROW}px`;
  row.hidden = count === 0;
  return row;
}

/** Updates the gaps in place if nothing else differs. @param {HTMLElement} body @param {HTMLTableRowElement[]} next */
function sameNodes(body, next) {
  const now = [...body.children];
  if (now.length !== next.length) return false;
  if (!next.every((row, index) => row === now[index] || (row.className === 'gap' && now[index]?.className === 'gap'))) return false;
  next.forEach((row, index) => {
    const old = now[index];
    if (old !== row && old instanceof HTMLElement) {
      old.style.height = row.style.height;
      old.hidden = row.hidden;
    }
  });
  return true;
}

/** @param {import('./picture.js').Thumbnail} thumbnail */
function drawn({ width, height, grey }) {
  const canvas = make('canvas', 'thumbnail');
  canvas.width = width;
  canvas.height = height;
  const picture = new ImageData(width, height);
  paint(grey, greyTable(AS_READ), picture.data);
  canvas.getContext('2d')?.putImageData(picture, 0, 0);
  canvas.setAttribute('aria-hidden', 'true');
  return canvas;
}

/** What a film's answer is, for the filter. @param {Film} film */
export function kind({ state, assessment }) {
  if (state === 'failed') return 'failed';
  if (!assessment) return 'waiting';
  const { kind } = verdict(assessment);
  return kind === 'call' ? `call ${assessment.call}` : kind;
}

/** @param {Film} film @param {import('./language.js').Words} words */
function answerText({ state, assessment, error }, words) {
  if (error) return problem(error.code, words);
  if (!assessment) return words.say(state === 'working' ? 'working.eyebrow' : 'list.waiting');
  if (assessment.refused) return words.say('verdict.refused');
  return assessment.call === null ? words.say('verdict.none') : findingName(assessment.call, words);
}

/** @param {Film} film @param {string} key @param {import('./language.js').Words} words @returns {string | number | undefined} */
function sortValue(film, key, words) {
  const { id, name, assessment } = film;
  if (key === 'id') return id;
  if (key === 'name') return name.toLowerCase();
  if (key === 'verdict') return answerText(film, words);
  if (key === 'milliseconds') return assessment?.timings.total;
  if (assessment?.refused) return undefined;
  return assessment?.findings.find(({ label }) => `p ${label}` === key)?.probability;
}
