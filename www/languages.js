// The languages of <deep-breath>: English at once, others when an element asks for them, and those that a host page brings.

import { BRITISH, ENGLISH, Words } from './app/language.js';

/** @typedef {import('./app/words/en.js').OwnWords} OwnWords */
/** @typedef {Record<string, string>} Texts */

/** Catalogues that come along with the package, each a module of its own: only who asks for one fetches it. */
const CATALOGUES = /** @type {Record<string, () => Promise<Texts>>} */ ({
  de: async () => (await import('./app/words/de.js')).de,
  es: async () => (await import('./app/words/es.js')).es,
  fr: async () => (await import('./app/words/fr.js')).fr,
});

/** What no page may replace in a language that is ours. */
const KEPT = ['disclaimer', 'disclaimer.short'];

/** @type {Map<string, Texts>} Catalogues of ours that are here. */
const here = new Map([['en', {}]]);

/** @type {Map<string, Texts>} Texts of the host page's own. */
const own = new Map();

/** The tag as the standard writes it (BCP 47), or undefined where it is none. @param {string} tag */
function canonical(tag) {
  try {
    return Intl.getCanonicalLocales(tag)[0];
  } catch {
    return undefined;
  }
}

/**
 * Adds texts of a host page's own, to a language of ours or to another one.
 * @param {string} lang
 * @param {OwnWords} texts
 * @throws {RangeError} Where `lang` is no language tag.
 */
export function define(lang, texts) {
  const tag = canonical(lang);
  if (!tag) throw new RangeError(`${lang} is no language tag: say for example it or pt-BR.`);
  own.set(tag, { ...own.get(tag), .../** @type {Texts} */ (texts) });
}

/** The tag and what it is a kind of: `de-CH`, `de` (RFC 4647, 3.4). @param {string} tag */
function* kinds(tag) {
  const parts = tag.split('-');
  for (let length = parts.length; length > 0; length--) yield parts.slice(0, length).join('-');
}

/**
 * The words for a language tag; English where there are none for it.
 * @param {string} tag
 * @returns {Words | Promise<Words>} A promise where a catalogue has to be fetched first.
 */
export function wordsFor(tag) {
  const locale = canonical(tag);
  const known = locale ? [...kinds(locale)].filter((kind) => own.has(kind) || here.has(kind) || Object.hasOwn(CATALOGUES, kind)) : [];
  const [lang] = known;
  if (!lang || !locale) return ENGLISH;
  const ours = known.find((kind) => here.has(kind) || Object.hasOwn(CATALOGUES, kind));
  const merge = () => {
    const texts = known.toReversed().map((kind) => own.get(kind) ?? {});
    const added = Object.entries(Object.assign({}, ...texts)).filter(([key]) => !ours || !KEPT.includes(key));
    return new Words(lang, { ...(ours && here.get(ours)), ...Object.fromEntries(added) }, locale === 'en' ? BRITISH : locale, ours !== undefined);
  };
  if (!ours || here.has(ours)) return merge();
  return fetched(ours).then(merge);
}

/** Gets a catalogue of ours. @param {string} lang */
async function fetched(lang) {
  const texts = await CATALOGUES[lang]?.();
  if (texts) here.set(lang, texts);
}
