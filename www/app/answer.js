// The answer beside the film: what the network says, how far it was measured to be right, how the film was read.

import { announce, element, make } from './dom.js';
import { Prevalence } from './prevalence.js';
import { facts, findingName, oneOf, percent, problem, reasonText, setMeaning, verdict, wholePercent } from './words.js';

/** @typedef {import('../client.js').Assessment} Assessment */
/** @typedef {import('./measured.js').Interval} Interval */
/** @typedef {import('./measured.js').Rates} Rates */

/**
 * @typedef {object} Known
 * @property {(label: string, weights: string) => Rates | undefined} rates
 * @property {boolean} gated
 * @property {string[]} classes
 * @property {import('./measured.js').Metadata['conformal']} conformal
 */

const PARTS = ['waiting', 'working', 'error', 'assessment'];

export class Answer {
  /** @type {((label: string, weights: string) => Rates | undefined)} */
  #rates = () => undefined;
  #gated = false;
  /** @type {Known['conformal']} */
  #conformal;
  #prevalence;
  #root;

  /** @param {import('./dom.js').Root} [root] */
  constructor(root = document) {
    this.#root = root;
    this.#prevalence = new Prevalence(root);
  }

  /** Takes what the weights say about themselves. @param {Known} known */
  know({ rates, gated, classes, conformal }) {
    this.#rates = rates;
    this.#gated = gated;
    this.#conformal = conformal;
    const list = make('ul', 'findings ghost');
    list.append(...classes.map((label) => this.#row(label, undefined, '', false)));
    this.#element('known').replaceChildren(list);
  }

  /** @param {string} id */
  #element(id) {
    return element(id, HTMLElement, this.#root);
  }

  /** @param {string} part */
  #show(part) {
    for (const id of PARTS) this.#element(id).hidden = id !== part;
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
    this.#element('error-title').textContent = problem(code);
    this.#element('error-message').textContent = message;
    this.#element('error-code').textContent = code;
    this.#show('error');
    announce(`No answer. ${message}`, this.#root);
  }

  /** @param {Assessment} assessment */
  answer(assessment) {
    const { kind, eyebrow, headline, meaning } = verdict(assessment);
    const panel = this.#element('assessment');
    panel.dataset.kind = kind;
    this.#element('call-eyebrow').textContent = eyebrow;
    this.#element('call').textContent = headline;
    this.#element('meaning').textContent = meaning;
    const reached = assessment.findings.filter(({ label, probability }) =>
      probability >= (this.#rates(label, assessment.weights)?.threshold ?? Infinity)).map(({ label }) => label);
    this.#element('reasons').replaceChildren(
      ...assessment.reasons.map((reason) => make('li', '', reasonText(reason, reached))));
    // The probabilities of a refused image mean nothing, so they are not shown.
    const findings = assessment.refused ? [] : assessment.findings;
    this.#element('findings').replaceChildren(...findings.map(({ label, probability }) =>
      this.#row(label, probability, assessment.weights, label === assessment.call)));
    const rates = findings.map(({ label }) => this.#rates(label, assessment.weights));
    this.#explain(rates);
    this.#tellSet(assessment);
    this.#offerPrevalence(assessment.call, findings, rates);
    this.#element('unchecked').hidden = this.#gated || assessment.refused;
    this.#element('notes').replaceChildren(...assessment.provenance.notes.map((note) => make('li', '', note)));
    this.#element('facts').replaceChildren(
      ...facts(assessment).flatMap(([name, value]) => [make('dt', '', name), make('dd', '', value)]));
    this.#show('assessment');
    const numbers = findings.map(({ label, probability }) => `${findingName(label)} ${percent(probability)}`);
    announce(`${assessment.file}. ${eyebrow}: ${headline}. ${numbers.join(', ')}. Not a diagnosis.`, this.#root);
  }

  /** The findings that stay possible, if the weights have such sets. @param {Assessment} assessment */
  #tellSet({ predictionSet }) {
    const conformal = this.#conformal;
    this.#element('set').hidden = !predictionSet || !conformal;
    if (!predictionSet || !conformal) return;
    this.#element('set-labels').textContent = `Possible: ${oneOf(predictionSet)}`;
    this.#element('set-meaning').textContent = setMeaning(predictionSet.length, conformal);
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
    const name = findingName(label);
    const rates = this.#rates(label, weights);
    const bar = make('div', 'bar-track', make('div', 'bar-fill'));
    const row = make('li', '', make('span', 'label', name));
    row.part.add('finding');
    row.dataset.label = label;
    row.dataset.called = String(called);
    if (probability !== undefined) {
      row.dataset.probability = String(probability);
      row.append(make('span', 'probability', percent(probability)));
      row.dataset.reached = String(rates !== undefined && probability >= rates.threshold);
      bar.setAttribute('role', 'meter');
      bar.setAttribute('aria-label', `Probability of ${name}`);
      bar.setAttribute('aria-valuemin', '0');
      bar.setAttribute('aria-valuemax', '100');
      bar.setAttribute('aria-valuenow', (100 * probability).toFixed(1));
      bar.setAttribute('aria-valuetext', percent(probability));
    }
    bar.style.setProperty('--share', String(probability ?? 0));
    if (rates) {
      bar.style.setProperty('--threshold', String(rates.threshold));
      bar.append(make('div', 'bar-mark'));
    }
    row.append(bar, make('p', 'rates', ...ratesText(rates)));
    return row;
  }

  /** @param {(Rates | undefined)[]} all */
  #explain(all) {
    const rates = all.find((one) => one !== undefined);
    const note = this.#element('measured');
    note.hidden = all.length === 0;
    note.textContent = rates
      ? `Sensitivity: the share of films with the finding that reach the threshold. Specificity: the share of films without it that stay below. Measured on ${rates.data}${rates.sensitivity.low === undefined ? '' : '; in brackets 95 % intervals'}. On films from another hospital expect less.`
      : 'These weights come without measured rates, so nothing is known of how often they are right.';
  }
}

/**
 * @param {Rates | undefined} rates
 * @returns {(Node | string)[]}
 */
function ratesText(rates) {
  if (!rates) return ['No threshold was measured for this finding.'];
  return [
    `Called from ${wholePercent(rates.threshold)}. `,
    make('span', 'rate', `Sensitivity ${interval(rates.sensitivity)}`), ', ',
    make('span', 'rate', `specificity ${interval(rates.specificity)}`),
  ];
}

/** @param {Interval} interval */
function interval({ value, low, high }) {
  if (low === undefined || high === undefined) return wholePercent(value);
  return `${wholePercent(value)} (${Math.round(100 * low)} to ${Math.round(100 * high)})`;
}
