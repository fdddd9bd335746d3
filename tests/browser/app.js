// The application in the browser: opening it, giving it films, reading what it shows.

import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { missing, phantom, ready, ROOT, settled } from './site.js';

/** @typedef {import('playwright-core').Frame} Frame */
/** @typedef {import('playwright-core').Page} Page */
/** @typedef {{ name: string, mimeType: string, buffer: Buffer }} Upload */

export const DATA = process.env.DEEPBREATH_DATA ?? path.resolve(ROOT, '../shared/data');
export const WEIGHTS = process.env.DEEPBREATH_WEIGHTS || path.join(ROOT, 'weights/deepbreath.safetensors');

/**
 * Opens the application as a visitor gets it, in its sealed frame, and waits until it can answer.
 * @param {Page} page
 * @param {string} url
 * @returns {Promise<Frame>}
 */
export async function openApp(page, url) {
  await page.goto(url);
  return ready(page);
}

/**
 * Opens the application alone, with a made-up classifier: for states that the released weights never reach.
 * @param {Page} page
 * @param {string} url Of a server for the sources.
 * @param {string} fake An expression: the classifier.
 * @param {{ wait?: boolean, lang?: string }} [options] Whether to wait until it is there, and the language of the page.
 * @returns {Promise<Frame>}
 */
export async function openFake(page, url, fake, { wait = true, lang = 'en' } = {}) {
  await page.goto(`${url}app.html`);
  await page.addScriptTag({ type: 'module', content: `
    import { start } from './app/main.js';
    import { ${lang} as texts } from './app/words/${lang}.js';
    const words = ${lang === 'en' ? 'undefined' : `{ lang: '${lang}', texts }`};
    void start(async () => (${fake}), { version: 'test', words });
  ` });
  const frame = page.mainFrame();
  await frame.locator('body:not([hidden])').waitFor();
  if (wait) await settled(frame);
  return frame;
}

/**
 * Gives films to the page and waits until all are read.
 * @param {Frame} app
 * @param {string | Upload | string[] | Upload[]} files
 */
export async function give(app, files) {
  await app.locator('#file').setInputFiles(files);
  await app.locator('#answer :is(#assessment, #error):not([hidden])').waitFor({ timeout: 60_000 });
  await settled(app);
}

/** @param {Frame} app */
export const text = (app, /** @type {string} */ selector) => app.locator(selector).innerText();

/** A film that shows nobody, as a file. @param {string} [name] @returns {Upload} */
export const drawn = (name = 'phantom.png') => ({ name, mimeType: 'image/png', buffer: phantom() });

/**
 * Test films of the manifest, one of each label and more of the same source; empty where the data are not there.
 * @returns {{ file: string, label: string }[]}
 */
export function films() {
  const manifest = path.join(DATA, 'cxr/manifest.csv');
  if (!existsSync(manifest)) {
    missing(NO_DATA);
    return [];
  }
  const rows = readFileSync(manifest, 'utf8').split('\n').filter((line) => line.endsWith(',test')).map((line) => line.split(','));
  return rows.map(([file = '', label = '']) => ({ file: path.join(DATA, 'cxr', file), label }));
}

/** A film that the released weights answer, under another name: they refuse what is only drawn. @param {string} name @returns {Upload | undefined} */
export function answered(name, number = 0) {
  const film = films()[number];
  return film && { name, mimeType: 'image/jpeg', buffer: readFileSync(film.file) };
}

/** @param {string} name */
export function dicom(name) {
  const file = path.join(DATA, 'dicom', name);
  if (existsSync(file)) return file;
  missing(NO_DATA);
  return undefined;
}

/** What a skipped test says. */
export const NO_DATA = `skipped: no films in ${DATA} (set DEEPBREATH_DATA)`;

/** The metadata of the weights file that the page was built with. */
export function weightsMetadata() {
  const bytes = readFileSync(WEIGHTS);
  const header = JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE(0))).toString());
  return JSON.parse(header.__metadata__.deepbreath);
}

/**
 * Grey of one pixel of the film as shown.
 * @param {Frame} app
 * @param {number} x
 * @param {number} y
 */
export function greyAt(app, x, y) {
  return app.locator('#image').evaluate((canvas, [x = 0, y = 0]) => {
    if (!(canvas instanceof HTMLCanvasElement)) throw new Error('no canvas');
    return new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() =>
      resolve(canvas.getContext('2d')?.getImageData(x, y, 1, 1).data[0]))));
  }, [x, y]);
}
