// How often reaching a threshold is right: it depends on how common the finding is among those who are X-rayed, which no film
// tells. From the measured sensitivity and specificity and a prevalence that the visitor sets.

import { announce, breathe, element, input, make, unbroken } from './dom.js';
import { ENGLISH } from './language.js';
import { findingName, interval } from './words.js';

/** @typedef {import('./measured.js').Interval} Interval */
/** @typedef {import('./measured.js').Rates} Rates */

/** People in the picture and in the sentences. */
const PEOPLE = 1000;
/** People in a row of the picture. */
const ROW = 50;
/** Where the prevalence of the films is not known. */
const EXAMPLE = 0.1;
/** What can be set, as shares; the slider's steps are those of the logarithm of the odds, so that rare findings have room. */
const LEAST = 0.001;
const MOST = 0.95;

/** @param {number} share */
const logOdds = (share) => Math.log10(share / (1 - share));

/** @param {number} value */
const share = (value) => 1 / (1 + 10 ** -value);

/** @param {number} value */
const within = (value) => Math.min(MOST, Math.max(LEAST, value));

/**
 * Shares of the people by what they have and what the network says; their sum is 1.
 * @param {number} sensitivity
 * @param {number} specificity
 * @param {number} prevalence
 */
export function outcomes(sensitivity, specificity, prevalence) {
  return {
    found: sensitivity * prevalence,
    missed: (1 - sensitivity) * prevalence,
    alarms: (1 - specificity) * (1 - prevalence),
    spared: specificity * (1 - prevalence),
  };
}

/**
 * Predictive values (Bayes): `ppv` is the share of the films at or above the threshold that have the finding, `npv`
 * that of the films below it that do not. Both grow with sensitivity and specificity, so their ranges are those of both at their ends.
 * @param {Pick<Rates, 'sensitivity' | 'specificity'>} rates
 * @param {number} prevalence
 * @returns {{ ppv: Interval, npv: Interval }}
 */
export function predictive({ sensitivity, specificity }, prevalence) {
  const values = (/** @type {number} */ se, /** @type {number} */ sp) => {
    const { found, missed, alarms, spared } = outcomes(se, sp, prevalence);
    return { ppv: found / (found + alarms), npv: spared / (spared + missed) };
  };
  const value = values(sensitivity.value, specificity.value);
  if (sensitivity.low === undefined || sensitivity.high === undefined || specificity.low === undefined || specificity.high === undefined) {
    return { ppv: { value: value.ppv }, npv: { value: value.npv } };
  }
  const [low, high] = [values(sensitivity.low, specificity.low), values(sensitivity.high, specificity.high)];
  return {
    ppv: { value: value.ppv, low: low.ppv, high: high.ppv },
    npv: { value: value.npv, low: low.npv, high: high.npv },
  };
}

/**
 * Whole people, whose sum is `PEOPLE`: rounded within those with and those without the finding.
 * @param {number} sensitivity
 * @param {number} specificity
 * @param {number} prevalence
 */
export function people(sensitivity, specificity, prevalence) {
  const having = Math.round(PEOPLE * prevalence);
  const found = Math.round(having * sensitivity);
  const spared = Math.round((PEOPLE - having) * specificity);
  return { found, missed: having - found, alarms: PEOPLE - having - spared, spared };
}

/** The part of the answer with slider, number, sentences and picture. */
export class Prevalence {
  #root;
  #choices;
  #slider;
  #number;
  /** @type {Map<string, number>} What was set for a finding; it stays from film to film. */
  #set = new Map();
  /** @type {Map<string, Rates>} */
  #rates = new Map();
  #label = '';
  #words = ENGLISH;

  /** @param {import('./dom.js').Root} [root] */
  constructor(root = document) {
    this.#root = root;
    this.#choices = this.#element('prevalence-findings');
    this.#slider = input('prevalence-slider', root);
    this.#number = input('prevalence-number', root);
    this.#slider.min = String(logOdds(LEAST));
    this.#slider.max = String(logOdds(MOST));
    this.#slider.addEventListener('input', () => this.#take(share(this.#slider.valueAsNumber), this.#slider));
    this.#number.addEventListener('input', () => {
      if (Number.isFinite(this.#number.valueAsNumber)) this.#take(this.#number.valueAsNumber / 100, this.#number);
    });
    // What was typed beyond the limits is shown as it counts.
    this.#number.addEventListener('change', () => this.#show());
    for (const control of [this.#slider, this.#number]) {
      control.addEventListener('change', () => void breathe().then(() => this.#announce()));
    }
    this.#choices.addEventListener('change', ({ target }) => {
      if (!(target instanceof HTMLInputElement)) return;
      this.#label = target.value;
      this.#show();
      this.#announce();
    });
  }

  /**
   * Offers the findings with measured rates; none hides all of it.
   * @param {Map<string, Rates>} rates
   * @param {string | undefined} label The finding to begin with.
   */
  offer(rates, label) {
    this.#rates = rates;
    this.#element('prevalence').hidden = rates.size === 0;
    if (rates.size === 0) return;
    this.#label = label !== undefined && rates.has(label) ? label : [...rates.keys()][0] ?? '';
    this.#choices.replaceChildren(...[...rates.keys()].map((one) => {
      const radio = make('input', '');
      radio.type = 'radio';
      radio.name = 'prevalence-finding';
      radio.value = one;
      radio.checked = one === this.#label;
      return make('label', 'chip', radio, make('span', '', findingName(one, this.#words)));
    }));
    this.#show();
  }

  /** Says everything in other words. @param {import('./language.js').Words} words */
  speak(words) {
    this.#words = words;
    if (this.#rates.size > 0) this.offer(this.#rates, this.#label);
  }

  /** @param {number} prevalence @param {HTMLInputElement} from What the visitor moves stays as it is. */
  #take(prevalence, from) {
    this.#set.set(this.#label, within(prevalence));
    this.#show(from);
  }

  /** @param {HTMLInputElement} [from] */
  #show(from) {
    const rates = this.#rates.get(this.#label);
    if (!rates) return;
    const words = this.#words;
    const finding = findingName(this.#label, words);
    const shownPercent = (/** @type {number} */ value) => words.percent(value, value < 0.1 ? 1 : 0, 0);
    const known = rates.prevalence;
    const prevalence = this.#set.get(this.#label) ?? within(known ?? EXAMPLE);
    const shown = shownPercent(prevalence);
    if (from !== this.#slider) this.#slider.value = String(logOdds(prevalence));
    if (from !== this.#number) this.#number.value = String(Number((100 * prevalence).toFixed(prevalence < 0.1 ? 1 : 0)));
    this.#slider.setAttribute('aria-valuetext', shown);
    this.#element('prevalence-known').textContent = known === undefined
      ? words.say('prevalence.unknown', { example: words.percent(EXAMPLE) })
      : words.say('prevalence.known', { known: shownPercent(known) });
    const { ppv, npv } = predictive(rates, prevalence);
    const { found, missed, alarms, spared } = people(rates.sensitivity.value, rates.specificity.value, prevalence);
    const reaching = found + alarms;
    const rightly = { reaching, found, interval: interval(ppv, words) };
    this.#element('prevalence-ppv').replaceChildren(
      ...unbroken(`${words.say('prevalence.people', { people: PEOPLE, having: found + missed, finding, found, alarms, others: alarms + spared })} `),
      make('strong', '', reaching === 0 ? words.say('prevalence.nobody') : words.say('prevalence.ppv', rightly)),
    );
    this.#element('prevalence-npv').textContent = words.say('prevalence.npv', { below: missed + spared, spared, interval: interval(npv, words) });
    this.#element('prevalence-range').hidden = ppv.low === undefined;
    this.#draw({ found, missed, alarms, spared });
  }

  /** A square a person, in the order of the legend. @param {Record<'found' | 'alarms' | 'missed' | 'spared', number>} counts */
  #draw(counts) {
    let next = 0;
    for (const kind of /** @type {const} */ (['found', 'alarms', 'missed', 'spared'])) {
      let path = '';
      for (let index = 0; index < counts[kind]; index++, next++) path += `M${(next % ROW) + 0.1} ${Math.floor(next / ROW) + 0.1}h.8v.8h-.8z`;
      element(`people-${kind}`, SVGPathElement, this.#root).setAttribute('d', path);
      this.#element(`count-${kind}`).textContent = String(counts[kind]);
    }
  }

  #announce() {
    announce(this.#element('prevalence-ppv').textContent ?? '', this.#root);
  }

  /** @param {string} id */
  #element(id) {
    return element(id, HTMLElement, this.#root);
  }
}
