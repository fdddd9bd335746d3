// The page in each of its languages: what it shows and what it announces is in that language, or marked as English.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { drawn, openFake } from './app.js';
import { becomes, launch, serve, SOURCES } from './site.js';

/** The languages besides English. */
const OTHERS = readdirSync(path.join(SOURCES, 'app/words')).map((name) => path.basename(name, '.js')).filter((lang) => lang !== 'en');

/** What is the same in several languages: names, codes, file formats. */
const SAME = /^(COVID-19( \d.*)?|Normal|Format|Code|Zoom|Image|Orientation|PNG(, .*)?|CSV|JSON|Ctrl|4 ms|4 × 4 pixels|unknown-format|[a-e]\.(png|txt)|a{12})$/;

/** Answers by the first letter of a film's name; a film `e` is read until it is given up. */
const CLASSIFIER = `globalThis.fake = Object.assign(new EventTarget(), {
  backend: 'webgpu',
  weights: {
    id: 'aaaaaaaaaaaa', classes: ['covid', 'normal'], gate: {}, conformal: { coverage: 0.9, n: 9, data: 'nine films' }, origin: { offsets: [0.1, -0.1] },
    operating_points: ['covid', 'normal'].map((finding) => ({ name: 'balanced', finding, threshold: 0.6, sensitivity: 0.9, specificity: 0.8, n: 9, data: 'nine films' })),
  },
  async preview({ name }, { signal } = {}) {
    if (name.startsWith('d')) throw Object.assign(new Error(name + ': not an image'), { code: 'unknown-format' });
    if (name.startsWith('e')) await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    return { width: 4, height: 4, grey: Uint8Array.from({ length: 16 }, (_, at) => 16 * at) };
  },
  async classify({ name }) {
    const [covid, refused] = { a: [0.9, false], b: [0.5, false], c: [0.5, true] }[name[0]];
    const code = refused ? ['out-of-distribution', 'inverted'] : covid === 0.5 ? ['no-finding-reached'] : [];
    return {
      file: name, findings: [{ label: 'covid', probability: covid }, { label: 'normal', probability: 1 - covid }], call: code.length ? null : 'covid', refused,
      reasons: code.map((code) => ({ code, text: 'Said by the program.' })), predictionSet: refused ? null : ['covid', 'normal'],
      provenance: { format: 'png', bits: 8, chroma: 0, width: 4, height: 4, notes: ['Noted by the program.'] },
      saliency: refused ? [] : [{ label: 'covid', width: 1, height: 1, values: [1], peak: 2 }],
      backend: 'webgpu', timings: { total: 4, forward: 2 }, weights: 'aaaaaaaaaaaa',
    };
  },
  async reduce() { return { plane: new Uint8Array(1), parts: { lungs: new Uint8Array(224 * 224).fill(1) } }; },
  async judge(_, cover) {
    return { findings: [{ label: 'covid', probability: 0.9 }, { label: 'normal', probability: 0.1 }], refused: cover.includes(1) };
  },
})`;

/** @type {Awaited<ReturnType<typeof serve>>} */
let sources;
/** @type {import('playwright-core').Browser} */
let browser;
/** @type {{ shown: Set<string>, announced: Set<string> }} */
let english;

before(async () => {
  [sources, browser] = [await serve({ folder: SOURCES }), await launch()];
  english = await walk('en');
});
after(async () => {
  await browser?.close();
  sources?.close();
});

/**
 * Goes through the page in one language.
 * @param {string} lang
 * @returns {Promise<{ shown: Set<string>, announced: Set<string> }>} Every text that is not marked as English on a page that
 *   is in another language: in the document at some time, and in the log for screen readers.
 */
async function walk(lang) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  try {
    const app = await openFake(page, sources.url, CLASSIFIER, { lang });
    assert.equal(await app.evaluate(() => document.documentElement.lang), lang);
    await app.evaluate(() => {
      const scope = /** @type {any} */ (globalThis);
      scope.texts = { shown: new Set(), announced: new Set() };
      const own = (/** @type {Node} */ node) => {
        const element = node instanceof Element ? node : node.parentElement;
        return document.documentElement.lang === 'en' || !element?.closest('[lang=en]');
      };
      scope.look = () => {
        const walker = document.createTreeWalker(document, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
        for (let node = walker.nextNode(); node; node = walker.nextNode()) {
          if (!own(node) || (node instanceof Element ? node : node.parentElement)?.closest('script')) continue;
          const attributes = ['aria-label', 'title', 'aria-valuetext', 'placeholder', 'alt'];
          const texts = node instanceof Element ? attributes.map((name) => /** @type {Element} */ (node).getAttribute(name)) : [node.nodeValue];
          for (const text of texts) {
            const line = text?.replace(/\s+/g, ' ').trim() ?? '';
            if (/\p{L}{2}/u.test(line)) scope.texts.shown.add(line);
          }
        }
      };
      const log = document.querySelector('#announcer');
      new MutationObserver((changes) => {
        for (const line of changes.flatMap(({ addedNodes }) => [...addedNodes])) {
          const parts = [...line.childNodes].filter(own).map(({ textContent }) => textContent);
          scope.texts.announced.add(parts.join('').trim());
        }
      }).observe(log ?? document, { childList: true });
    });
    const look = () => app.evaluate('look()');
    const settledList = () => app.locator('#progress-bar').waitFor({ state: 'hidden' });
    /** @param {string} name */
    const open = async (name) => {
      await app.locator('.opener', { hasText: name }).click();
      await look();
    };
    await look();
    const text = (/** @type {string} */ name) => ({ name, mimeType: 'text/plain', buffer: Buffer.from('no image') });
    await app.locator('#file').setInputFiles([drawn('a.png'), drawn('b.png'), drawn('c.png'), text('d.txt'), text('.DS_Store'), text('Thumbs.db')]);
    await settledList();
    for (const name of ['d.txt', 'c.png', 'b.png', 'a.png']) await open(name);
    // The film: its overlay and its keys.
    for (const index of [1, 0]) await app.locator('#saliency-findings label').nth(index).click();
    for (const key of ['+', 'm', 'm', '0']) await app.locator('#stage').press(key);
    // The prevalence.
    await app.locator('#prevalence-findings label').nth(1).click();
    await app.locator('#prevalence-number').fill('2');
    await app.locator('#prevalence-number').press('Tab');
    // The engine.
    for (const type of ['restart', 'backendchange']) {
      await app.evaluate(`fake.dispatchEvent(new CustomEvent('${type}', { detail: { backend: 'cpu', reason: 'said by the program' } }))`);
      await look();
    }
    // The list.
    await app.locator('#filter').fill('a.');
    for (let click = 0; click < 3; click++) await app.locator('.sorter').first().click();
    await app.locator('#export-csv').click();
    await app.locator('#filter').fill('');
    // The lab.
    await app.locator('#tab-lab').click();
    await app.locator('#lab-own tr').first().waitFor();
    await look();
    for (const part of ['lungs', 'corners']) {
      await app.locator(`#lab-parts label:has([value=${part}])`).click();
      await becomes(() => app.locator('#announcer').getByText('%').count(), (count) => count > 0);
      await look();
    }
    for (const key of ['u', 'u']) await app.locator('#stage').press(key);
    await app.locator('#tab-answer').click();
    await app.locator('#keys').click();
    await look();
    await page.keyboard.press('Escape');
    // Stopped, more than one of the litter or one, and emptied.
    await app.locator('#file').setInputFiles([drawn('e.png'), drawn('a.png'), text('.DS_Store')]);
    await app.locator('#cancel').waitFor();
    await look();
    await app.locator('#cancel').click();
    await app.locator('#resume').waitFor();
    await look();
    await app.locator('#clear').click();
    await app.evaluate(() => {
      const files = new DataTransfer();
      files.items.add(new File(['x'], 'x.png'));
      const drop = new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer: files });
      // What a dropped folder is to the page, beside a file.
      DataTransferItem.prototype.webkitGetAsEntry = () => /** @type {any} */ ({ isDirectory: true });
      document.body.dispatchEvent(drop);
    });
    await app.locator('#notice').waitFor();
    await look();
    // A line in the lab is announced only when it has stood for a while.
    await new Promise((resolve) => setTimeout(resolve, 800));
    const { shown, announced } = await app.evaluate('({ shown: [...texts.shown], announced: [...texts.announced] })');
    return { shown: new Set(shown), announced: new Set(announced) };
  } finally {
    await page.close();
  }
}

test('the way through the page meets what there is to say', () => {
  const announced = [...english.announced].join('\n');
  for (const said of [/3 films|4 films opened/, /All 4 films are read/, /No answer/, /Refused/, /No call/, /evidence for COVID-19/, /overlay is off/, /as it was read/,
    /Dragging moves/, /Of 1000 people/, /started anew/, /The processor answers/, /1 of 4 films match/, /ascending/, /descending/, /order of reading/, /Saved as/,
    /film is covered/, /brush uncovers/, /brush covers/, /Stopped\./, /list is empty/]) assert.match(announced, said);
  for (const said of ['Where the network looked', 'File name', 'Keys and gestures', 'Waiting', 'Refused', 'This is no image that can be read here']) {
    assert.ok(english.shown.has(said), said);
  }
  const shown = [...english.shown].join('\n');
  for (const said of [/2 files of the operating system/, /1 file of the operating system/, /one folder at a time/, /List of/, /equal mixture/]) assert.match(shown, said);
});

for (const lang of OTHERS) {
  test(`${lang}: nothing is shown or announced in English without being marked`, async () => {
    const { shown, announced } = await walk(lang);
    const left = (/** @type {Set<string>} */ one, /** @type {Set<string>} */ other) => [...one].filter((text) => other.has(text) && !SAME.test(text));
    assert.deepEqual(left(announced, english.announced), [], 'announced');
    assert.deepEqual(left(shown, english.shown), [], 'shown');
    assert.ok(announced.size > english.announced.size - 3, 'as much is announced as in English');
  });
}
