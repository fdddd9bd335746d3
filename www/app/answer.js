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

/** @param {string} part */
function show(part) {
  for (const id of PARTS) element(id, HTMLElement).hidden = id !== part;
}

export class Answer {
  /** @type {((label: string, weights: string) => Rates | undefined)} */
  #rates = () => undefined;
  #gated = false;
  /** @type {Known['conformal']} */
  #conformal;
  #prevalence = new Prevalence();

  /** Takes what the weights say about themselves. @param {Known} known */
  know({ rates, gated, classes, conformal }) {
    this.#rates = rates;
    this.#gated = gated;
    this.#conformal = conformal;
    const list = make('ul', 'findings ghost');
    list.append(...classes.map((label) => this.#row(label, undefined, '', false)));
    element('known', HTMLElement).replaceChildren(list);
  }

  /** Nothing was asked yet. */
  wait() {
    show('waiting');
  }

  /** @param {string} name */
  work(name) {
    element('working-name', HTMLElement).textContent = name;
    show('working');
  }

  /** @param {{ code: string, message: string }} error */
  fail({ code, message }) {
    element('error-title', HTMLElement).textContent = problem(code);
    element('error-message', HTMLElement).textContent = message;
    element('error-code', HTMLElement).textContent = code;
    show('error');
    announce(`No answer. ${message}`);
  }

  /** @param {Assessment} assessment */
  answer(assessment) {
    const { kind, eyebrow, headline, meaning } = verdict(assessment);
    const panel = element('assessment', HTMLElement);
    panel.dataset.kind = kind;
    element('call-eyebrow', HTMLElement).textContent = eyebrow;
    element('call', HTMLElement).textContent = headline;
    element('meaning', HTMLElement).textContent = meaning;
    const reached = assessment.findings.filter(({ label, probability }) =>
      probability >= (this.#rates(label, assessment.weights)?.threshold ?? Infinity)).map(({ label }) => label);
    element('reasons', HTMLElement).replaceChildren(
      ...assessment.reasons.map((reason) => make('li', '', reasonText(reason, reached))));
    // The probabilities of a refused image mean nothing, so they are not shown.
    const findings = assessment.refused ? [] : assessment.findings;
    element('findings', HTMLElement).replaceChildren(...findings.map(({ label, probability }) =>
      this.#row(label, probability, assessment.weights, label === assessment.call)));
    const rates = findings.map(({ label }) => this.#rates(label, assessment.weights));
    this.#explain(rates);
    this.#tellSet(assessment);
    this.#offerPrevalence(assessment.call, findings, rates);
    element('unchecked', HTMLElement).hidden = this.#gated || assessment.refused;
    element('notes', HTMLElement).replaceChildren(...assessment.provenance.notes.map((note) => make('li', '', note)));
    element('facts', HTMLElement).replaceChildren(
      ...facts(assessment).flatMap(([name, value]) => [make('dt', '', name), make('dd', '', value)]));
    show('assessment');
    const numbers = findings.map(({ label, probability }) => `${findingName(label)} ${percent(probability)}`);
    announce(`${assessment.file}. ${eyebrow}: ${headline}. ${numbers.join(', ')}. Not a diagnosis.`);
  }

  /** The findings that stay possible, if the weights have such sets. @param {Assessment} assessment */
  #tellSet({ predictionSet }) {
    const conformal = this.#conformal;
    element('set', HTMLElement).hidden = !predictionSet || !conformal;
    if (!predictionSet || !conformal) return;
    element('set-labels', HTMLElement).textContent = `Possible: ${oneOf(predictionSet)}`;
    element('set-meaning', HTMLElement).textContent = setMeaning(predictionSet.length, conformal);
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
    const note = element('measured', HTMLElement);
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
