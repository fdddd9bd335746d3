// The answer beside the film: what the network says, how far it was measured to be right, how the film was read.

import { announce, element, make, unbroken } from './dom.js';
import { ENGLISH } from './language.js';
import { ratesOf } from './measured.js';
import { Prevalence } from './prevalence.js';
import { facts, findingName, interval, oneOf, percent, problem, reasonText, setMeaning, verdict, wholePercent } from './words.js';

/** @typedef {import('../client.js').Assessment} Assessment */
/** @typedef {import('./measured.js').Rates} Rates */

/**
 * @typedef {object} Known
 * @property {(label: string, weights: string) => Rates | undefined} rates
 * @property {boolean} gated
 * @property {boolean} balanced Whether the probabilities are those of an equal mixture of the findings.
 * @property {string[]} classes
 * @property {import('./measured.js').Metadata['conformal']} conformal
 */

/** What the weights say about themselves, for {@link Answer}. @param {import('./measured.js').Metadata | undefined} metadata @returns {Known} */
export const knownOf = (metadata) => ({
  rates: (label, weights) => ratesOf(metadata, label, weights),
  gated: Boolean(metadata?.gate),
  balanced: Boolean(metadata?.origin?.offsets?.length),
  classes: metadata?.classes ?? [],
  conformal: metadata?.conformal,
});

const PARTS = ['waiting', 'working', 'error', 'assessment'];

export class Answer {
  /** @type {((label: string, weights: string) => Rates | undefined)} */
  #rates = () => undefined;
  #gated = false;
  #balanced = false;
  /** @type {Known['conformal']} */
  #conformal;
  /** @type {string[]} */
  #classes = [];
  #prevalence;
  #root;
  #words = ENGLISH;
  /** Draws what is shown, once more. */
  #draw = () => {};
  /** Draws what is said of the engine, once more. */
  #drawEngine = () => {};

  /** @param {import('./dom.js').Root} [root] */
  constructor(root = document) {
    this.#root = root;
    this.#prevalence = new Prevalence(root);
  }

  /** Takes what the weights say about themselves. @param {Known} known */
  know({ rates, gated, balanced, classes, conformal }) {
    this.#rates = rates;
    this.#gated = gated;
    this.#balanced = balanced;
    this.#conformal = conformal;
    this.#classes = classes;
    this.#listClasses();
  }

  #listClasses() {
    const list = make('ul', 'findings ghost');
    list.append(...this.#classes.map((label) => this.#row(label, undefined, '', false)));
    this.#element('known').replaceChildren(list);
  }

  /** Says everything in other words. @param {import('./language.js').Words} words */
  speak(words) {
    this.#words = words;
    this.#prevalence.speak(words);
    this.#listClasses();
    this.#draw();
    this.#drawEngine();
  }

  /** @param {string} id */
  #element(id) {
    return element(id, HTMLElement, this.#root);
  }

  /** @param {string} part */
  #show(part) {
    for (const id of PARTS) this.#element(id).hidden = id !== part;
  }

  /**
   * Says beside the answers, and stays there, that the processor had to take over or that the graphics processor was lost and
   * started anew.
   * @param {'fallback' | 'restart'} event
   * @param {string} reason
   */
  tellEngine(event, reason) {
    const told = () => this.#words.parts(`status.${event}`, { reason: this.#words.english(reason) });
    const note = this.#element('engine-note');
    this.#drawEngine = () => note.replaceChildren(...told());
    this.#drawEngine();
    note.hidden = false;
    announce(told(), this.#root);
  }

  /** Nothing was asked yet. */
  wait() {
    this.#show('waiting');
  }

  /** @param {string} name */
  work(name) {
    this.#element('working-name').textContent = name;
    this.#show('working');
  }

  /** @param {{ code: string, message: string }} error */
  fail({ code, message }) {
    this.#draw = () => {
      this.#element('error-title').textContent = problem(code, this.#words);
      this.#element('error-message').replaceChildren(this.#words.english(message));
    };
    this.#draw();
    this.#element('error-code').textContent = code;
    this.#show('error');
    announce([`${this.#words.say('error.eyebrow')}. `, this.#words.english(message)], this.#root);
  }

  /** @param {Assessment} assessment */
  answer(assessment) {
    this.#draw = () => this.#assess(assessment);
    this.#draw();
    this.#show('assessment');
    const words = this.#words;
    const { eyebrow, headline } = verdict(assessment, words);
    const findings = assessment.refused ? [] : assessment.findings;
    const numbers = findings.map(({ label, probability }) => `${findingName(label, words)} ${percent(probability, words)}`);
    const told = [assessment.file, `${eyebrow}: ${headline}`, numbers.join(', ')].filter(Boolean);
    announce(`${told.join('. ')}. ${words.say('disclaimer.short')}`, this.#root);
  }

  /** @param {Assessment} assessment */
  #assess(assessment) {
    const words = this.#words;
    const { kind, eyebrow, headline, meaning } = verdict(assessment, words);
    const panel = this.#element('assessment');
    panel.dataset.kind = kind;
    this.#element('call-eyebrow').textContent = eyebrow;
    this.#element('call').textContent = headline;
    this.#element('meaning').textContent = meaning;
    const reached = assessment.findings.filter(({ label, probability }) =>
      probability >= (this.#rates(label, assessment.weights)?.threshold ?? Infinity)).map(({ label }) => label);
    this.#element('reasons').replaceChildren(
      ...assessment.reasons.map((reason) => {
        const text = reasonText(reason, reached, words);
        return make('li', '', ...(typeof text === 'string' ? unbroken(text) : [text]));
      }));
    // The probabilities of a refused image mean nothing, so they are not shown.
    const findings = assessment.refused ? [] : assessment.findings;
    this.#element('findings').replaceChildren(...findings.map(({ label, probability }) =>
      this.#row(label, probability, assessment.weights, label === assessment.call)));
    const rates = findings.map(({ label }) => this.#rates(label, assessment.weights));
    this.#explain(rates);
    this.#element('mixture').hidden = findings.length === 0 || !this.#balanced;
    this.#element('mixture').textContent = words.say('answer.mixture', { count: findings.length });
    this.#tellSet(assessment);
    this.#offerPrevalence(assessment.call, findings, rates);
    this.#element('unchecked').hidden = this.#gated || assessment.refused;
    this.#element('notes').replaceChildren(...assessment.provenance.notes.map((note) => make('li', '', words.english(note))));
    this.#element('facts').replaceChildren(
      ...facts(assessment, words).flatMap(([name, value]) => [make('dt', '', name), make('dd', '', value)]));
  }

  /** The findings that stay possible, if the weights have such sets. @param {Assessment} assessment */
  #tellSet({ predictionSet }) {
    const conformal = this.#conformal;
    this.#element('set').hidden = !predictionSet || !conformal;
    if (!predictionSet || !conformal) return;
    this.#element('set-labels').replaceChildren(...unbroken(this.#words.say('answer.possible', { findings: oneOf(predictionSet, this.#words) })));
    this.#element('set-meaning').replaceChildren(...setMeaning(predictionSet.length, conformal, this.#words));
  }

  /** @param {string | null} call @param {Assessment['findings']} findings @param {(Rates | undefined)[]} rates */
  #offerPrevalence(call, findings, rates) {
    /** @type {Map<string, Rates>} */
    const measured = new Map();
    for (const [index, { label }] of findings.entries()) {
      const one = rates[index];
      if (one) measured.set(label, one);
    }
    const likeliest = findings.toSorted((a, b) => b.probability - a.probability)[0]?.label;
    this.#prevalence.offer(measured, call ?? likeliest);
  }

  /**
   * One finding: name, probability, bar with the threshold's mark, measured rates.
   * @param {string} label
   * @param {number | undefined} probability
   * @param {string} weights
   * @param {boolean} called
   */
  #row(label, probability, weights, called) {
    const words = this.#words;
    const name = findingName(label, words);
    const rates = this.#rates(label, weights);
    const bar = make('div', 'bar-track', make('div', 'bar-fill'));
    const row = make('li', '', make('span', 'label', name));
    row.part.add('finding');
    row.dataset.label = label;
    row.dataset.called = String(called);
    if (probability !== undefined) {
      row.dataset.probability = String(probability);
      row.append(make('span', 'probability', percent(probability, words)));
      row.dataset.reached = String(rates !== undefined && probability >= rates.threshold);
      bar.setAttribute('role', 'meter');
      bar.setAttribute('aria-label', words.say('answer.probability', { finding: name }));
      bar.setAttribute('aria-valuemin', '0');
      bar.setAttribute('aria-valuemax', '100');
      bar.setAttribute('aria-valuenow', (100 * probability).toFixed(1));
      bar.setAttribute('aria-valuetext', percent(probability, words));
    }
    bar.style.setProperty('--share', String(probability ?? 0));
    if (rates) {
      bar.style.setProperty('--threshold', String(rates.threshold));
      bar.append(make('div', 'bar-mark'));
    }
    row.append(bar, make('p', 'rates', ...ratesText(rates, words)));
    return row;
  }

  /** @param {(Rates | undefined)[]} all */
  #explain(all) {
    const rates = all.find((one) => one !== undefined);
    const note = this.#element('measured');
    note.hidden = all.length === 0;
    const key = rates?.sensitivity.low === undefined ? 'rates.meaning' : 'rates.meaning-intervals';
    note.replaceChildren(...(rates
      ? this.#words.parts(key, { data: this.#words.english(rates.data) })
      : [this.#words.say('rates.unknown')]));
  }
}

/**
 * @param {Rates | undefined} rates
 * @param {import('./language.js').Words} words
 * @returns {(Node | string)[]}
 */
function ratesText(rates, words) {
  if (!rates) return [words.say('rates.none')];
  return [
    `${words.say('rates.called', { threshold: wholePercent(rates.threshold, words) })} `,
    make('span', 'rate', words.say('rates.sensitivity', { interval: interval(rates.sensitivity, words) })), ', ',
    make('span', 'rate', words.say('rates.specificity', { interval: interval(rates.specificity, words) })),
  ];
}
