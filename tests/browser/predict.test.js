// The processor's program in the browser answers as `trainer predict` does: probabilities, call, set, reasons, refusal.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { assertPredicted, comparable, NO_DATA, NO_TRAINER, predicted, TRAINER } from './modules.js';
import { launch, missing, serve, SOURCES } from './site.js';

/** @type {string} */
let folder;
/** @type {Awaited<ReturnType<typeof serve>>} */
let site;
/** @type {import('playwright-core').Browser} */
let browser;
/** @type {import('playwright-core').Page} */
let page;
/** @type {Awaited<ReturnType<typeof comparable>>} */
let images;
/** @type {ReturnType<typeof predicted>} */
let expected;

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'deepbreath-predict-'));
  [browser, site] = [await launch(), await serve({ folder: SOURCES })];
  page = await browser.newPage();
  await page.goto(`${site.url}blank.html`);
  await page.evaluate(async () => {
    const { Classifier } = await import(new URL('client.js', document.baseURI).href);
    const classifier = await Classifier.load({ weights: 'generated/weights/deepbreath.safetensors', backend: 'cpu' });
    Object.assign(globalThis, { classify: async (/** @type {string} */ text) =>
      classifier.classify(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))) });
  });
  images = await comparable(folder);
  if (existsSync(TRAINER)) expected = predicted([...images.films, ...images.dicom, ...images.others]);
});
after(async () => {
  await browser?.close();
  site?.close();
  rmSync(folder, { recursive: true });
});

// What is no frontal film may be refused to the last; of the DICOM files those that are no chest films are.
for (const [kind, of, least, plausible] of /** @type {[string, () => string[], number, (refused: number, of: number) => boolean][]} */ ([
  ['a JPEG of each label, and a PNG of 16 bits', () => images.films, 1, (refused, of) => refused < of],
  ['DICOM of every transfer syntax', () => images.dicom, 15, (refused, of) => refused < of],
  ['one of each kind of what is no frontal film', () => images.others, 5, (refused) => refused > 0],
])) {
  test(kind, async (context) => {
    if (!existsSync(TRAINER)) return context.skip(missing(NO_TRAINER));
    const files = of();
    if (files.length === 0) return context.skip(missing(NO_DATA));
    assert.ok(files.length >= least, `only ${files.length} files`);
    let refused = 0;
    for (const file of files) {
      const answer = await page.evaluate((text) => /** @type {any} */ (globalThis).classify(text), readFileSync(file).toString('base64'));
      assert.equal(answer.backend, 'cpu');
      assertPredicted(path.basename(file), answer, expected.get(file));
      refused += Number(answer.refused);
    }
    context.diagnostic(`${files.length} images, ${refused} refused`);
    assert.ok(plausible(refused, files.length), `${refused} of ${files.length} are refused`);
  });
}
