// The languages of <deep-breath>: complete catalogues, the choice of one, and the element in German, in a browser.

import assert from 'node:assert/strict';
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ENGLISH } from '../../www/app/language.js';
import { en } from '../../www/app/words/en.js';
import { define, wordsFor } from '../../www/languages.js';
import { launch, ROOT, serve } from '../browser/site.js';
import { project } from './installed.js';

/** @typedef {import('../../www/element.js').DeepBreathElement} DeepBreathElement */

const FOLDER = path.join(ROOT, 'www/app/words');
/** The languages besides English. */
const OTHERS = readdirSync(FOLDER).map((name) => path.basename(name, '.js')).filter((name) => name !== 'en');
const AXE = readFileSync(path.join(ROOT, 'node_modules/axe-core/axe.min.js'), 'utf8');

/** @param {string} text */
const places = (text) => [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).toSorted();

describe('the catalogues', () => {
  for (const lang of OTHERS) {
    test(`${lang}: every key of the English one and no other, with the same places`, async () => {
      /** @type {Record<string, string>} */
      const texts = (await import(path.join(FOLDER, `${lang}.js`)))[lang];
      assert.deepEqual(Object.keys(texts).toSorted(), Object.keys(en).toSorted());
      for (const [key, text] of Object.entries(en)) {
        assert.deepEqual(places(texts[key] ?? ''), places(text), key);
        assert.equal(texts[key], texts[key]?.trim(), key);
        assert.notEqual(texts[key], '', key);
      }
    });
  }

  test('are set as each language is: no-break spaces before units and French punctuation', async () => {
    const cases = [
      ['de', / (%|ms|MB)|[”"]/], ['es', / (%|ms|MB)|^[^¿]*\?/], ['fr', / (%|ms|Mo|[:;?!»])|\u00a0[;?!]|[^\u202f][;?!]|[^\u00a0]:|'/],
    ];
    for (const [lang, wrong] of /** @type {[string, RegExp][]} */ (cases)) {
      /** @type {Record<string, string>} */
      const texts = (await import(path.join(FOLDER, `${lang}.js`)))[lang];
      for (const [key, text] of Object.entries(texts)) assert.doesNotMatch(text, wrong, key);
    }
  });

  test('of a film the wrong way round it is the file that has to change, whatever the viewer shows', async () => {
    const file = { en: /the file itself/, de: /die Datei selbst/, es: /el propio archivo/, fr: /le fichier lui-même/ };
    for (const [lang, named] of Object.entries(file)) {
      /** @type {Record<string, string>} */
      const texts = (await import(path.join(FOLDER, `${lang}.js`)))[lang];
      for (const key of ['reason.turned', 'reason.inverted']) assert.match(texts[key] ?? '', named, `${lang} ${key}`);
    }
  });

  test('are chosen by tag: the language of a region, else English', async () => {
    define('it-CH', { 'status.ready': 'Pronto' });
    assert.throws(() => define('no tag', {}), RangeError);
    const cases = [
      ['de', 'de', '12,5\u00a0%'], ['de-CH', 'de', '12.5\u00a0%'], ['DE-at', 'de', '12,5\u00a0%'], ['fr-CA', 'fr', '12,5\u00a0%'],
      ['es', 'es', '12,5\u00a0%'], ['en', 'en', '12.5 %'], ['en-US', 'en', '12.5 %'], ['it-CH', 'it-CH', '12.5 %'],
      ['it', 'en', '12.5 %'], ['', 'en', '12.5 %'], ['no tag', 'en', '12.5 %'], ['toString', 'en', '12.5 %'],
    ];
    for (const [tag = '', lang, share] of cases) {
      const words = await wordsFor(tag);
      assert.deepEqual([words.lang, words.percent(0.125, 1)], [lang, share], tag);
    }
    const italian = await wordsFor('it-CH');
    assert.deepEqual([italian.say('status.ready'), italian.langOf('status.ready')], ['Pronto', 'it-CH']);
    assert.deepEqual([italian.say('status.failed'), italian.langOf('status.failed')], ['Not ready', 'en']);
  });

  test('a list is written as the language does', async () => {
    assert.equal(ENGLISH.list(['a', 'b', 'c'], 'or'), 'a, b or c');
    assert.equal((await wordsFor('de')).list(['a', 'b'], 'or'), 'a oder b');
    assert.equal((await wordsFor('es')).list(['a', 'b'], 'and'), 'a y b');
  });

  test('what is put in is not taken for a place', () => {
    assert.equal(ENGLISH.say('status.reading', { file: '{file}.{name}' }), 'Reading {file}.{name}');
  });
});

const HOST = `<!doctype html>
<html lang="de-AT"><head><meta charset="utf-8"><title>Gastgeber</title><link rel="icon" href="data:,">
<script type="module" src="deepbreath/element.js"></script></head>
<body><main><h1>Zwei Leser</h1>
<deep-breath id="german" weights="deepbreath.safetensors" backend="cpu"></deep-breath>
<deep-breath id="english" weights="deepbreath.safetensors" backend="cpu" lang="en"></deep-breath>
</main></body></html>`;

/** @type {ReturnType<typeof project>} */
let made;
/** @type {import('playwright-core').Browser} */
let browser;
/** @type {import('playwright-core').Page} */
let page;
/** @type {Awaited<ReturnType<typeof serve>>} */
let server;

before(async () => {
  made = project();
  cpSync(path.join(made.folder, 'node_modules/deepbreath'), path.join(made.folder, 'deepbreath'), { recursive: true });
  writeFileSync(path.join(made.folder, 'index.html'), HOST);
  server = await serve({ folder: made.folder });
  browser = await launch();
  page = await browser.newPage();
  await page.goto(server.url);
});
after(async () => {
  await browser?.close();
  server?.close();
  made?.remove();
});

/** @param {string} id @param {string} selector */
const inside = (id, selector) => page.locator(`#${id} ${selector}`);

/** What an element says: its texts, labels and titles, without those marked as English ones. @param {string} id */
const said = (id) => page.locator(`#${id}`).evaluate((host) => {
  const root = /** @type {ShadowRoot} */ (host.shadowRoot);
  /** @type {string[]} */
  const found = [];
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node instanceof Element ? node : node.parentElement;
    const marked = element?.closest('[lang=en]');
    if (marked && marked.parentElement?.closest('[lang]')) continue;
    const texts = node instanceof Element ? [node.ariaLabel, node.getAttribute('title'), node.getAttribute('aria-valuetext')] : [node.nodeValue];
    found.push(...texts.flatMap((text) => text?.replace(/\s+/g, ' ').trim() || []).filter((text) => /[a-z]{2}/i.test(text)));
  }
  return [...new Set(found)];
});

describe('<deep-breath> in German', () => {
  test('takes the language of the page, says so to screen readers, and fetches the catalogue of no other', async () => {
    await inside('german', '#status[data-state=ready]').waitFor({ timeout: 60_000 });
    await inside('german', '#status-text').getByText('Bereit').waitFor();
    await inside('english', '#status-text').getByText('Ready').waitFor();
    const langs = await page.locator('deep-breath').evaluateAll((hosts) => hosts.map(({ shadowRoot }) => [shadowRoot?.querySelector('.room'), shadowRoot?.querySelector('#announcer')].map((part) => part instanceof HTMLElement && part.lang)));
    assert.deepEqual(langs, [['de', 'de'], ['en', 'en']]);
    assert.deepEqual(server.served.map((name) => path.basename(name)).filter((name) => /^(de|es|fr)\.js$/.test(name)), ['de.js']);
    assert.equal(await inside('german', '#disclaimer').innerText(), 'Für Lehre und Forschung. Keine Diagnose.');
    assert.equal(await inside('english', '#disclaimer').innerText(), en.disclaimer);
  });

  test('says nothing in English but what is marked as English', async () => {
    for (const id of ['german', 'english']) {
      await inside(id, '#file').setInputFiles(made.images.map((name) => path.join(made.folder, name)).at(-1) ?? '');
      await inside(id, '#assessment').waitFor({ timeout: 60_000 });
      await inside(id, '#announcer').getByText(/Keine Diagnose\.|Not a diagnosis\./).waitFor({ state: 'attached' });
    }
    const english = new Set(await said('english'));
    assert.ok(english.size > 60, 'there is much to compare');
    // Names, and words that are the same in both.
    const same = /^(COVID-19|Normal|Format|Code|PNG, |PNG$|DICOM|(drawn\.png|film\.dcm)|DX|MONOCHROME|JPEG|[0-9a-f]{12}$|unknown-format)/;
    assert.deepEqual((await said('german')).filter((text) => english.has(text) && !same.test(text)), []);
    assert.match(await inside('german', '#findings').innerText(), /\d,\d\s%/);
    assert.match(await inside('german', '#facts').innerText(), /Prozessor \(cpu\)/);
  });

  test('marks what the program says in English, and nothing bothers axe', async () => {
    assert.match(await inside('german', '#measured [lang=en]').innerText(), /films/);
    const notes = await inside('german', '#notes li').evaluateAll((items) => items.map((item) => item.querySelector('[lang=en]')?.textContent === item.textContent));
    assert.ok(notes.every(Boolean));
    await inside('german', '#file').setInputFiles({ name: 'note.txt', mimeType: 'text/plain', buffer: Buffer.from('no image') });
    await inside('german', '#error-title').getByText('Das ist kein Bild, das hier gelesen werden kann').waitFor();
    assert.match(await inside('german', '#error-message > [lang=en]').innerText(), /note\.txt/);
    await page.evaluate(AXE);
    const found = await page.evaluate(() => /** @type {any} */ (globalThis).axe.run(document, { resultTypes: ['violations'] }));
    assert.deepEqual(found.violations.map((/** @type {any} */ { id }) => id), []);
  });

  test('another lang says the same answer in other words, at once, and asks nobody again', async () => {
    const bars = await inside('english', '#findings').locator('[role=meter]').count();
    const steps = [['fr', 'Ceci n’est pas un diagnostic', 'Où le réseau a regardé'], ['es-MX', 'No es un diagnóstico', 'Dónde miró la red'], ['tlh', 'Not a diagnosis', 'Where the network looked']];
    for (const [lang = '', disclaimer = '', saliency = ''] of steps) {
      await page.locator('#english').evaluate((element, lang) => element.setAttribute('lang', lang), lang);
      await inside('english', '#disclaimer [data-word]').getByText(disclaimer).waitFor();
      assert.equal(await inside('english', '#saliency legend').innerText(), saliency);
      assert.equal(await inside('english', '#findings').locator('[role=meter]').count(), bars);
    }
    await page.locator('#english').evaluate((element) => element.removeAttribute('lang'));
    await inside('english', '#disclaimer [data-word]').getByText('Keine Diagnose').waitFor();
    await page.evaluate(() => (document.documentElement.lang = 'fr-BE'));
    for (const id of ['german', 'english']) await inside(id, '#disclaimer [data-word]').getByText('Ceci n’est pas un diagnostic').waitFor();
    assert.equal(server.served.filter((name) => name.endsWith('.safetensors')).length, 1);
  });

  test('a page brings a language of its own; what it lacks is English and marked, and the disclaimer stays', async () => {
    await page.evaluate(() => {
      const element = /** @type {DeepBreathElement} */ (document.querySelector('#english'));
      const { define } = /** @type {typeof import('../../www/element.js').DeepBreathElement} */ (element.constructor);
      element.lang = 'it-IT';
      define('it', { 'bar.open': 'Apri una radiografia', 'disclaimer': 'Non è una diagnosi.', 'finding.normal': 'Normale' });
      define('de', { 'bar.open': 'Öffnen', 'disclaimer': 'Eine Diagnose.' });
      document.documentElement.lang = 'de';
    });
    await inside('english', '#open').getByText('Apri una radiografia').waitFor();
    assert.equal(await inside('english', '#disclaimer').innerText(), `Non è una diagnosi. ${en.disclaimer}`);
    assert.equal(await inside('english', '#disclaimer-english').getAttribute('lang'), 'en');
    assert.equal(await inside('english', '#answer [data-word="answer.how"]').getAttribute('lang'), 'en');
    assert.match(await inside('english', '#findings').innerText(), /Normale/);
    await inside('german', '#open').getByText('Öffnen').waitFor();
    assert.equal(await inside('german', '#disclaimer').innerText(), 'Für Lehre und Forschung. Keine Diagnose.');
  });

  test('a catalogue that does not arrive leaves the English words, and says so', async () => {
    const tab = await browser.newPage();
    try {
      const warned = tab.waitForEvent('console', { predicate: (message) => message.type() === 'warning' });
      await tab.route('**/words/de.js', (route) => route.abort());
      await tab.goto(server.url);
      assert.match((await warned).text(), /goes on in English: the words for de-AT did not arrive/);
      await tab.locator('#german #disclaimer [data-word]').getByText(en.disclaimer).waitFor();
    } finally {
      await tab.close();
    }
  });

  test('a bundler brings the catalogues along, each for itself', async () => {
    const { build } = await import('vite');
    writeFileSync(path.join(made.folder, 'main.js'), "import 'deepbreath/element';");
    writeFileSync(path.join(made.folder, 'index.html'), HOST.replace('deepbreath/element.js', './main.js'));
    const folder = path.join(made.folder, 'built');
    await build({ root: made.folder, base: './', configFile: false, publicDir: false, logLevel: 'error', build: { outDir: folder } });
    const site = await serve({ folder });
    const tab = await browser.newPage();
    try {
      await tab.goto(site.url);
      await tab.locator('#german #disclaimer').getByText('Keine Diagnose').waitFor();
      assert.equal(site.served.filter((name) => /\/(de|es|fr)-[\w-]+\.js$/.test(name)).length, 1);
    } finally {
      await tab.close();
      site.close();
    }
  });
});

test('the page says what the English catalogue says', async () => {
  const html = readFileSync(path.join(ROOT, 'www/app.html'), 'utf8');
  const tab = await browser.newPage();
  const found = await tab.evaluate((html) => {
    const page = new DOMParser().parseFromString(html, 'text/html');
    return [...page.querySelectorAll('[data-word], [data-word-label], [data-word-title]')].flatMap((node) => {
      const { word, wordLabel, wordTitle } = /** @type {HTMLElement} */ (node).dataset;
      return [[word, node.textContent], [wordLabel, node.ariaLabel], [wordTitle, node.getAttribute('title')]].filter(([key]) => key);
    });
  }, html);
  await tab.close();
  assert.ok(found.length > 50);
  for (const [key, text] of found) assert.equal(text?.replace(/[ \n]+/g, ' ').trim(), /** @type {Record<string, string>} */ (en)[key ?? ''], key ?? '');
});
