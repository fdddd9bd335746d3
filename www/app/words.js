// Names and numbers as people read them. No wording here says more than the network was measured to do.

import { ENGLISH } from './language.js';

/** @typedef {import('../client.js').Assessment} Assessment */

/**
 * The name of one of the released labels; any other label is shown as it is.
 * @param {string} label
 */
export const findingName = (label, words = ENGLISH) => words.find(`finding.${label}`) ?? label.charAt(0).toUpperCase() + label.slice(1);

/** @param {number} share 0 to 1 */
export const percent = (share, words = ENGLISH) => words.percent(share, 1);

/** @param {number} share 0 to 1 */
export const wholePercent = (share, words = ENGLISH) => words.percent(share);

/** A measured share, with its 95 % interval where one is known. @param {import('./measured.js').Interval} interval */
export function interval({ value, low, high }, words = ENGLISH) {
  if (low === undefined || high === undefined) return wholePercent(value, words);
  return words.say('number.interval', { value: wholePercent(value, words), low: words.number(100 * low), high: words.number(100 * high) });
}

/** Names with "or" between the last two. @param {string[]} labels */
export const oneOf = (labels, words = ENGLISH) => words.list(labels.map((label) => findingName(label, words)), 'or');

/**
 * What a set of possible findings promises, and where the promise ends.
 * @param {number} size
 * @param {{ coverage: number, data: string }} conformal
 * @returns {(string | Node)[]}
 */
export function setMeaning(size, { coverage, data }, words = ENGLISH) {
  const promise = words.parts('answer.set', { data: words.english(data), times: words.number(100 * coverage) });
  return size > 1 ? [...promise, ` ${words.say('answer.set-wide')}`] : promise;
}

/**
 * Headline, and what it means, of an answer.
 * @param {Assessment} assessment
 * @returns {{ kind: 'call' | 'none' | 'refused', eyebrow: string, headline: string, meaning: string }}
 */
export function verdict({ refused, call, reasons }, words = ENGLISH) {
  if (refused) {
    return {
      kind: 'refused',
      eyebrow: words.say('verdict.refused'),
      headline: words.say(reasons.some(({ code }) => code === 'blank') ? 'verdict.blank' : 'verdict.other'),
      meaning: words.say('verdict.meaningless'),
    };
  }
  if (call === null) {
    return {
      kind: 'none',
      eyebrow: words.say('verdict.answer'),
      headline: words.say('verdict.none'),
      meaning: reasons.length ? '' : words.say('verdict.uncommitted'),
    };
  }
  return {
    kind: 'call',
    eyebrow: words.say('verdict.call'),
    headline: findingName(call, words),
    meaning: words.find(`caveat.${call}`) ?? '',
  };
}

/**
 * Why there is no call, with the names that the page shows. In English the program's own sentence may say more.
 * @param {Assessment['reasons'][number]} reason
 * @param {string[]} reached The findings that reach their thresholds.
 * @returns {string | Node}
 */
export function reasonText({ code, text }, reached, words = ENGLISH) {
  if (code === 'several-findings-reached') {
    const findings = words.list(reached.map((label) => findingName(label, words)), 'and');
    return reached.length > 1 ? words.say('reason.several-findings-reached', { findings }) : words.english(text);
  }
  if (code === 'no-finding-reached') return words.say('reason.no-finding-reached');
  if (words.isEnglish) return text;
  return words.find(`reason.${code}`) ?? words.english(text);
}

/** Headline of an error. @param {string} code */
export const problem = (code, words = ENGLISH) => words.find(`problem.${code}`) ?? words.say('problem.unknown');

/**
 * Stable code and text of anything that was thrown.
 * @param {unknown} error
 * @returns {{ code: string, message: string }}
 */
export function described(error) {
  const { code, message } = /** @type {{ code?: unknown, message?: unknown }} */ (error ?? {});
  return {
    code: typeof code === 'string' ? code : 'internal',
    message: typeof message === 'string' && message ? message : String(error),
  };
}

/** Names of DICOM transfer syntaxes (PS3.6, Annex A). @type {Record<string, string>} */
const SYNTAXES = {
  '1.2.840.10008.1.2': 'Implicit VR Little Endian',
  '1.2.840.10008.1.2.1': 'Explicit VR Little Endian',
  '1.2.840.10008.1.2.1.99': 'Deflated Explicit VR Little Endian',
  '1.2.840.10008.1.2.2': 'Explicit VR Big Endian',
  '1.2.840.10008.1.2.4.50': 'JPEG Baseline',
  '1.2.840.10008.1.2.4.51': 'JPEG Extended',
  '1.2.840.10008.1.2.4.57': 'JPEG Lossless',
  '1.2.840.10008.1.2.4.70': 'JPEG Lossless SV1',
  '1.2.840.10008.1.2.4.80': 'JPEG-LS Lossless',
  '1.2.840.10008.1.2.4.81': 'JPEG-LS Near-Lossless',
  '1.2.840.10008.1.2.4.90': 'JPEG 2000 Lossless',
  '1.2.840.10008.1.2.4.91': 'JPEG 2000',
  '1.2.840.10008.1.2.5': 'RLE Lossless',
};

/** Mean difference of the colours from which a picture counts as coloured; a scanned film has a tint. */
const COLOURED = 0.02;

/**
 * How a film was read, for the eye: name and value. Absent values are left out, patient data are never read.
 * @param {Assessment} assessment
 * @returns {[string, string][]}
 */
export function facts({ file, provenance, backend, timings, weights }, words = ENGLISH) {
  const { format, bits, chroma, width, height, modality, view, transferSyntax, photometric, orientation, frames } =
    /** @type {Record<string, any>} */ (provenance);
  const depth = bits ? words.say(chroma > COLOURED ? 'facts.colour' : 'facts.grey', { bits }) : '';
  const kind = modality && words.find(`modality.${modality}`);
  /** @type {[import('./language.js').WordKey, string | undefined][]} */
  const all = [
    ['facts.file', file],
    ['facts.format', [String(format).toUpperCase(), depth].filter(Boolean).join(', ')],
    ['facts.size', width && height ? words.say('facts.pixels', { width, height }) : undefined],
    ['facts.modality', kind && modality !== 'other' ? `${modality}, ${kind}` : kind ?? modality],
    ['facts.view', view && (words.find(`view.${view}`) ?? view)],
    ['facts.syntax', transferSyntax && (SYNTAXES[transferSyntax] ?? transferSyntax)],
    ['facts.scale', photometric && String(photometric).toUpperCase()],
    ['facts.orientation', orientation > 1 ? words.say('facts.turned') : undefined],
    ['facts.frames', frames > 1 ? words.say('facts.first', { frames }) : undefined],
    ['facts.patient', format === 'dicom' ? words.say('facts.unread') : undefined],
    ['facts.engine', engineName(backend, words)],
    ['facts.time', words.say('facts.milliseconds', { total: words.number(timings.total), forward: words.number(timings.forward) })],
    ['facts.weights', weights],
  ];
  return all.flatMap(([key, value]) => (value ? [/** @type {[string, string]} */ ([words.say(key), value])] : []));
}

/** How far loading is. @param {import('../client.js').Progress} progress */
export function loadingText({ loaded, total, stage = 'weights' }, words = ENGLISH) {
  if (stage === 'engine') return words.say('status.engine');
  const done = total
    ? words.percent(Math.floor((100 * Math.min(loaded, total)) / total) / 100)
    : words.say('number.megabytes', { number: words.number(loaded / 1e6, 1) });
  return words.say('status.weights', { done });
}

/** @param {string} backend */
export const engineName = (backend, words = ENGLISH) => words.find(`engine.${backend}`) ?? backend;
