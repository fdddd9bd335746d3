// The shortcut lab: parts of the film are covered, and the probabilities before and after stand side by side, also those
// of a network that was trained the usual wrong way.

import { bare, covered, paper, SIDE, stroke } from './cover.js';
import { announce, button, element, input, make, unbroken } from './dom.js';
import { ENGLISH } from './language.js';
import { described, findingName, percent, wholePercent } from './words.js';

/** @typedef {import('../client.js').Classifier} Classifier */
/** @typedef {import('../client.js').Judged} Judged */
/** @typedef {import('../client.js').Reduced} Reduced */
/** @typedef {import('./cover.js').Point} Point */
/** @typedef {import('./queue.js').Film} Film */

/**
 * The second network: whether this visit has its weights, how to have them, and how to start it.
 * @typedef {object} Tutorial
 * @property {'here' | 'elsewhere' | 'absent'} state `elsewhere`: the page can be loaded anew with them.
 * @property {number} bytes
 * @property {() => Promise<Classifier>} open
 * @property {() => void} fetch
 */

/** From this probability on a network counts as sure. */
const SURE = 0.8;
/** Share of the brush's radius that an arrow key moves it. */
const KEY_STEP = 0.5;
/** Milliseconds without a new number before one is read out. */
const QUIET = 700;

/**
 * What a network is asked.
 * @typedef {object} Question
 * @property {Reduced} film
 * @property {Uint8Array<ArrayBuffer>} cover Read when the question is put.
 * @property {() => boolean} wanted Whether that film is still the one.
 * @property {() => void} tell Called with the answer.
 */

/** A network with its numbers for the film. */
class Subject {
  /** @type {Judged | undefined} */
  before;
  /** @type {Judged | undefined} */
  after;
  #busy = false;
  /** @type {Question | undefined} The newest that waits. */
  #next;

  /** @param {Classifier} classifier @param {HTMLElement} rows @param {import('./language.js').Words} words */
  constructor(classifier, rows, words) {
    this.classifier = classifier;
    this.rows = rows;
    this.words = words;
  }

  /** Asks; while one question is open, only the newest of the later ones is kept. @param {Question} question */
  async ask(question) {
    this.#next = question;
    if (this.#busy) return;
    this.#busy = true;
    try {
      for (let now = this.#take(); now; now = this.#take()) {
        const before = this.before ?? await this.classifier.judge(now.film, bare());
        const after = await this.classifier.judge(now.film, now.cover);
        if (!now.wanted()) continue;
        Object.assign(this, { before, after });
        this.#draw();
        now.tell();
      }
    } finally {
      this.#busy = false;
    }
  }

  /** The question that waits, if it still matters. */
  #take() {
    const question = this.#next;
    this.#next = undefined;
    return question?.wanted() ? question : undefined;
  }

  #draw() {
    const { before, after, words } = this;
    if (!before || !after) return;
    this.rows.replaceChildren(...after.findings.map(({ label, probability }, index) => {
      const was = before.findings[index]?.probability ?? NaN;
      const points = Math.round(100 * (probability - was));
      const bar = make('div', 'bar-track', make('div', 'bar-fill'), make('div', 'bar-mark'));
      bar.setAttribute('aria-hidden', 'true');
      bar.style.setProperty('--share', String(probability));
      bar.style.setProperty('--threshold', String(was));
      const name = make('th', '', findingName(label, words));
      name.scope = 'row';
      const row = make('tr', '', name, make('td', '', percent(was, words)), make('td', 'now', percent(probability, words)),
        make('td', 'change', points === 0 ? '0' : `${points > 0 ? '+' : '−'}${Math.abs(points)}`));
      row.dataset.label = label;
      row.dataset.before = String(was);
      row.dataset.after = String(probability);
      const line = make('td', 'lab-bar', bar);
      line.colSpan = 4;
      const bars = make('tr', 'bars', line);
      bars.setAttribute('role', 'presentation');
      return [row, bars];
    }).flat());
  }
}

export class Lab {
  #viewer;
  #canvas = element('cover', HTMLCanvasElement);
  #ring = element('brush', HTMLElement);
  #size = input('brush-size');
  /** @type {Subject | undefined} */
  #own;
  /** @type {Subject | undefined} */
  #other;
  /** @type {Tutorial | undefined} */
  #tutorial;
  /** @type {Film | undefined} */
  #film;
  /** @type {Reduced | undefined} */
  #reduced;
  #words = ENGLISH;
  #cover = bare();
  #active = false;
  /** @type {Point} */
  #at = { x: 0.5, y: 0.5 };
  #frame = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #quiet;

  /** @param {import('./viewer.js').Viewer} viewer */
  constructor(viewer) {
    this.#viewer = viewer;
    element('lab-parts', HTMLElement).addEventListener('change', ({ target }) => {
      if (target instanceof HTMLInputElement) this.#take(target.value);
    });
    this.#size.addEventListener('input', () => this.#ringAt(this.#at));
    const tabs = [button('tab-answer'), button('tab-lab')];
    for (const [index, tab] of tabs.entries()) {
      tab.addEventListener('click', () => (this.active = index === 1));
      tab.addEventListener('keydown', ({ key }) => {
        if (key !== 'ArrowLeft' && key !== 'ArrowRight') return;
        tabs[1 - index]?.focus();
        this.active = index === 0;
      });
    }
    button('lab-fetch').addEventListener('click', () => this.#tutorial?.fetch());
    const stage = element('stage', HTMLElement);
    stage.addEventListener('pointermove', (event) => this.#painting() && this.#ringAt(viewer.filmPoint(event)));
    // Before the viewer's own keys.
    stage.addEventListener('keydown', (event) => this.#key(event), { capture: true });
    viewer.onPaint = (from, to) => this.#paint(from, to);
  }

  /** Whether the lab is what stands beside the film. */
  get active() {
    return this.#active;
  }

  /** Says what comes from now on in other words. @param {import('./language.js').Words} words */
  speak(words) {
    this.#words = words;
  }

  /** @param {Classifier} classifier @param {Tutorial | undefined} tutorial */
  use(classifier, tutorial) {
    this.#own = new Subject(classifier, element('lab-own', HTMLElement), this.#words);
    this.#tutorial = tutorial;
    const state = tutorial?.state ?? 'absent';
    element('lab-other-table', HTMLElement).hidden = state !== 'here';
    element('lab-elsewhere', HTMLElement).hidden = state !== 'elsewhere';
    element('lab-absent', HTMLElement).hidden = state !== 'absent';
    const size = this.#words.say('number.megabytes', { number: this.#words.number((tutorial?.bytes ?? 0) / 1e6, 1) });
    element('lab-offer', HTMLElement).textContent = this.#words.say('lab.elsewhere', { size });
  }

  /** Another film, or none; what was covered is forgotten. @param {Film | undefined} film */
  film(film) {
    if (film) element('views', HTMLElement).hidden = false;
    if (film === this.#film) return;
    this.#film = film;
    this.#reduced = undefined;
    this.#cover = bare();
    for (const subject of [this.#own, this.#other]) if (subject) subject.before = subject.after = undefined;
    for (const id of ['lab-own', 'lab-other']) element(id, HTMLElement).replaceChildren();
    for (const id of ['lab-live', 'lab-lesson']) element(id, HTMLElement).textContent = '';
    element('lab-verdict', HTMLElement).textContent = this.#words.say('lab.reading');
    for (const id of ['lab-gate', 'lab-own-sure', 'lab-other-sure']) element(id, HTMLElement).hidden = true;
    this.#choose('nothing');
    this.#draw();
    if (this.#active) void this.#begin();
  }

  /** There is no film to experiment with. */
  close() {
    this.film(undefined);
    this.active = false;
    element('views', HTMLElement).hidden = true;
  }

  /** Shows the lab, or puts it away. @param {boolean} active */
  set active(active) {
    this.#active = active;
    for (const [id, view, shown] of /** @type {const} */ ([['tab-answer', 'answer-view', !active], ['tab-lab', 'lab', active]])) {
      button(id).setAttribute('aria-selected', String(shown));
      button(id).tabIndex = shown ? 0 : -1;
      element(view, HTMLElement).hidden = !shown;
    }
    this.#canvas.hidden = element('lab-live', HTMLElement).hidden = !active;
    element('room', HTMLElement).dataset.lab = String(active);
    this.#viewer.painting = active;
    this.#ringAt(this.#at);
    if (active) void this.#begin();
  }

  /** Reads the film for the lab, once. */
  async #begin() {
    const [film, own] = [this.#film, this.#own];
    if (!film || !own || this.#reduced) return;
    try {
      if (this.#tutorial?.state === 'here') {
        const classifier = await this.#tutorial.open();
        this.#other ??= new Subject(classifier, element('lab-other', HTMLElement), this.#words);
      }
      const reduced = await own.classifier.reduce(film.file);
      if (this.#film !== film) return;
      this.#reduced = reduced;
      // What was chosen while the film was read.
      this.#take(this.#part());
    } catch (error) {
      if (this.#film === film) this.#fail(error);
    }
  }

  /** Covers one of the ready-made parts instead of what is covered now. @param {string} part */
  #take(part) {
    const reduced = this.#reduced;
    if (!reduced) return;
    if (part !== 'hand') this.#cover = Uint8Array.from(reduced.parts[part] ?? bare());
    this.#update();
  }

  /** @param {Point} from @param {Point} to */
  #paint(from, to) {
    if (!this.#active || !this.#reduced) return;
    stroke(this.#cover, from, to, this.#radius(), this.#erasing() ? 0 : 1);
    this.#ringAt(to);
    this.#choose('hand');
    this.#update();
  }

  #erasing() {
    return input('brush-uncover').checked;
  }

  /** Whether the plain pointer and the arrow keys belong to the brush. */
  #painting() {
    return this.#active && this.#viewer.tool === 'paint';
  }

  /** The brush is round on the film, whatever its shape. */
  #radius() {
    const { width, height } = this.#viewer.size;
    const radius = (this.#size.valueAsNumber / 200) * Math.min(width, height);
    return { x: radius / width, y: radius / height };
  }

  /** The part that is chosen. */
  #part() {
    return [...element('lab-parts', HTMLElement).querySelectorAll('input')].find(({ checked }) => checked)?.value ?? 'nothing';
  }

  /** Marks the part that is covered. @param {string} part */
  #choose(part) {
    for (const radio of element('lab-parts', HTMLElement).querySelectorAll('input')) radio.checked = radio.value === part;
  }

  /** @param {Point} at */
  #ringAt(at) {
    this.#at = at;
    const { x, y } = this.#radius();
    this.#ring.hidden = !this.#painting();
    Object.assign(this.#ring.style, {
      left: `${100 * (at.x - x)}%`, top: `${100 * (at.y - y)}%`, width: `${200 * x}%`, height: `${200 * y}%`,
    });
  }

  /** Draws what is covered, and asks the networks. */
  #update() {
    this.#draw();
    const film = this.#reduced;
    if (!film) return;
    const wanted = () => this.#reduced === film;
    for (const subject of [this.#own, this.#other]) {
      subject?.ask({ film, cover: this.#cover, wanted, tell: () => this.#tell() }).catch((error) => {
        if (wanted()) this.#fail(error);
      });
    }
  }

  #draw() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#canvas.width = this.#canvas.height = SIDE;
      this.#canvas.getContext('2d')?.putImageData(new ImageData(paper(this.#cover), SIDE, SIDE), 0, 0);
    });
  }

  /** @param {unknown} error */
  #fail(error) {
    element('lab-verdict', HTMLElement).replaceChildren(this.#words.english(described(error).message));
  }

  /** What the numbers mean. */
  #tell() {
    const { before, after } = this.#own ?? {};
    if (!before || !after) return;
    const words = this.#words;
    const part = this.#part();
    const area = covered(this.#cover);
    const changes = after.findings.map(({ label, probability }, index) => ({ label, probability, was: before.findings[index]?.probability ?? 0 }));
    const largest = changes.toSorted((a, b) => Math.abs(b.probability - b.was) - Math.abs(a.probability - a.was))[0];
    const text = area === 0 || !largest
      ? words.say('lab.bare')
      : words.say('lab.changed', {
        area: wholePercent(area, words),
        finding: findingName(largest.label, words),
        before: percent(largest.was, words),
        after: percent(largest.probability, words),
      });
    const verdict = element('lab-verdict', HTMLElement);
    if (verdict.textContent !== text) {
      verdict.replaceChildren(...unbroken(text));
      clearTimeout(this.#quiet);
      this.#quiet = setTimeout(() => announce(text), QUIET);
    }
    element('lab-live', HTMLElement).textContent = area === 0 ? '' : changes
      .map(({ label, probability, was }) => `${findingName(label, words)} ${Math.round(100 * was)}\u00a0→\u00a0${Math.round(100 * probability)}`).join(' · ');
    element('lab-lesson', HTMLElement).textContent = (area > 0 && words.find(`lab.lesson-${part}`)) || '';
    this.#tellSure('own', this.#own, part);
    this.#tellSure('other', this.#other, part);
    element('lab-gate', HTMLElement).hidden = !after.refused;
    element('lab-gate', HTMLElement).textContent = before.refused
      ? words.say('lab.refused')
      : words.say('lab.refused-covered');
  }

  /** A network that stays sure of the same label without the lungs did not need them. @param {string} which @param {Subject | undefined} subject @param {string} part */
  #tellSure(which, subject, part) {
    const highest = (/** @type {Judged | undefined} */ judged) => judged?.findings.toSorted((a, b) => b.probability - a.probability)[0];
    const [before, after] = [highest(subject?.before), highest(subject?.after)];
    const sure = part === 'lungs' && before && after && before.label === after.label && Math.min(before.probability, after.probability) >= SURE;
    const line = element(`lab-${which}-sure`, HTMLElement);
    line.hidden = !sure;
    line.textContent = sure ? this.#words.say('lab.sure', { finding: findingName(after.label, this.#words) }) : '';
  }

  /** The brush by keys. @param {KeyboardEvent} event */
  #key(event) {
    if (!this.#painting() || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const { x, y } = this.#radius();
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const step = steps[/** @type {keyof typeof steps} */ (event.key)];
    if (step) {
      const clamp = (/** @type {number} */ value) => Math.min(1, Math.max(0, value));
      this.#ringAt({ x: clamp(this.#at.x + KEY_STEP * x * (step[0] ?? 0)), y: clamp(this.#at.y + KEY_STEP * y * (step[1] ?? 0)) });
    } else if (event.key === ' ' || event.key === 'Enter') {
      this.#paint(this.#at, this.#at);
    } else if (event.key.toLowerCase() === 'u') {
      input(this.#erasing() ? 'brush-cover' : 'brush-uncover').checked = true;
      announce(this.#words.say(this.#erasing() ? 'lab.uncovers' : 'lab.covers'));
    } else if (event.key === '[' || event.key === ']') {
      this.#size.valueAsNumber += event.key === ']' ? 2 : -2;
      this.#ringAt(this.#at);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }
}
