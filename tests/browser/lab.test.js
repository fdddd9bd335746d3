// The shortcut lab: what is painted is what is covered, both networks are asked, and the numbers are honest about it.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { bare, covered, paper, SIDE, stroke } from '../../www/app/cover.js';
import { answered, drawn, give, NO_DATA, openApp, openFake, text } from './app.js';
import { becomes, launch, missing, ready, serve, SOURCES } from './site.js';

/** @typedef {import('playwright-core').Frame} Frame */

describe('the brush', () => {
  test('covers a disc, a line without gaps, and uncovers', () => {
    const cover = bare();
    const radius = { x: 0.1, y: 0.05 };
    stroke(cover, { x: 0.5, y: 0.5 }, { x: 0.5, y: 0.5 }, radius, 1);
    assert.ok(Math.abs(covered(cover) - Math.PI * radius.x * radius.y) < 2e-3, 'the area of an ellipse');
    stroke(cover, { x: 0.5, y: 0.5 }, { x: 0.9, y: 0.5 }, radius, 1);
    const row = cover.subarray(112 * SIDE, 113 * SIDE);
    assert.ok(row.subarray(100, 215).every((cell) => cell === 1), 'no gap from one end to the other');
    assert.equal(row[60], 0);
    stroke(cover, { x: 0.5, y: 0.5 }, { x: 0.9, y: 0.5 }, { x: 1, y: 1 }, 0);
    assert.equal(covered(cover), 0);
  });

  test('beyond the film it is cut off', () => {
    const cover = bare();
    stroke(cover, { x: -0.2, y: -0.2 }, { x: 1.2, y: -0.2 }, { x: 0.1, y: 0.1 }, 1);
    assert.equal(covered(cover), 0);
    stroke(cover, { x: 0, y: 0 }, { x: 0, y: 0 }, { x: 0.1, y: 0.1 }, 1);
    assert.ok(Math.abs(covered(cover) - Math.PI * 0.01 / 4) < 2e-3);
  });

  test('what is covered is opaque, the rest is not there', () => {
    const cover = bare();
    cover[7] = 1;
    const pixels = paper(cover);
    assert.equal(pixels[4 * 7 + 3], 255);
    assert.equal(pixels.reduce((sum, value, index) => sum + (index % 4 === 3 ? value : 0), 0), 255);
  });
});

/** @type {Awaited<ReturnType<typeof serve>>} */
let site;
/** @type {Awaited<ReturnType<typeof serve>>} The sources, for made-up classifiers. */
let sources;
/** @type {import('playwright-core').Browser} */
let browser;
/** @type {import('playwright-core').Page} */
let page;

before(async () => {
  [site, sources, browser] = [await serve({ change: withTutorial }), await serve({ folder: SOURCES }), await launch()];
});
after(async () => {
  await browser?.close();
  site?.close();
  sources?.close();
});
afterEach(() => page?.close());

/** The released weights under the second name too. @param {string} name @param {Buffer} bytes */
function withTutorial(name, bytes) {
  if (name !== 'assets.json') return bytes;
  const manifest = JSON.parse(bytes.toString());
  const { path, ...asset } = manifest.files['generated/weights/deepbreath.safetensors'];
  manifest.files['generated/weights/tutorial.safetensors'] = { ...asset, path: `${path}?tutorial` };
  return Buffer.from(JSON.stringify(manifest));
}

/** The rows of one network, as shown. @param {Frame} app @param {'own' | 'other'} which */
const rows = (app, which) => app.locator(`#lab-${which} tr[data-label]`).evaluateAll((all) => all.map((row) => {
  const { label = '', before, after } = /** @type {HTMLElement} */ (row).dataset;
  return { label, before: Number(before), after: Number(after), change: row.querySelector('.change')?.textContent ?? '' };
}));

/** @param {Frame} app @param {string} part */
const cover = (app, part) => app.locator(`#lab-parts label:has([value=${part}])`).click();

/** A film that is covered by as much as it says: the share of the covered cells is the first probability. */
const FAKE = `Object.assign(new EventTarget(), {
  backend: 'cpu', weights: { classes: ['covid', 'normal'], gate: {} },
  async preview() { return { width: 300, height: 150, grey: new Uint8Array(45000).fill(99) }; },
  async classify(file) { return { file: file.name, findings: [{ label: 'covid', probability: 0 }, { label: 'normal', probability: 1 }], call: 'normal',
    refused: false, reasons: [], provenance: { format: 'png', notes: [] }, saliency: [], backend: 'cpu', timings: { total: 1, forward: 1 }, weights: 'x' }; },
  async reduce() {
    const half = new Uint8Array(224 * 224).fill(1, 0, 224 * 112);
    return { plane: new Float32Array(224 * 224), parts: { lungs: half, outside: half.map((cell) => 1 - cell) } };
  },
  async judge(film, cover) {
    globalThis.asked = (globalThis.asked ?? 0) + 1;
    const copy = cover.slice();
    await new Promise((resolve) => setTimeout(resolve, globalThis.slow ?? 20));
    const share = globalThis.sure ?? copy.reduce((sum, cell) => sum + cell) / copy.length;
    return { findings: [{ label: 'covid', probability: share }, { label: 'normal', probability: 1 - share }], call: null, refused: share > 0.6 };
  },
})`;

/** The lab with the made-up classifier and a film. */
async function openLab() {
  page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  const app = await openFake(page, sources.url, FAKE);
  assert.equal(await app.locator('#views').isVisible(), false, 'without a film there is no lab');
  await give(app, drawn());
  await app.locator('#tab-lab').click();
  await app.locator('#lab-own tr').first().waitFor();
  return app;
}

describe('in the lab', () => {
  test('a part is covered at once, the numbers stand side by side, and a lesson is told', async () => {
    const app = await openLab();
    assert.match(await text(app, '#lab-verdict'), /Nothing is covered yet/);
    await cover(app, 'lungs');
    await becomes(() => rows(app, 'own'), [{ label: 'covid', before: 0, after: 0.5, change: '+50' }, { label: 'normal', before: 1, after: 0.5, change: '−50' }]);
    await becomes(() => text(app, '#lab-verdict'), /^50 % of the film is covered\. Largest change: .*, from .* to 50\.0 %\.$/);
    await becomes(() => text(app, '#lab-lesson'), /lungs are covered, as far as they were found/);
    await app.locator('#announcer', { hasText: '50 % of the film is covered' }).waitFor({ state: 'attached' });
    await cover(app, 'nothing');
    await becomes(() => text(app, '#lab-verdict'), /Nothing is covered yet/);
    assert.equal(await app.locator('#lab-lesson').isVisible(), false);
    assert.equal(await app.locator('#lab-absent').isVisible(), true, 'and that there is no second network is said');
  });

  test('a change is that of the probabilities, not of their rounded figures', async () => {
    const app = await openLab();
    await app.locator('#tab-answer').click();
    await app.evaluate('globalThis.sure = 0.021');
    await give(app, drawn('next.png'));
    await app.locator('#tab-lab').click();
    await becomes(() => rows(app, 'own'), (all) => all[0]?.before === 0.021);
    await app.evaluate('globalThis.sure = 0.025');
    await cover(app, 'lungs');
    await becomes(() => rows(app, 'own'), [{ label: 'covid', before: 0.021, after: 0.025, change: '0' }, { label: 'normal', before: 0.979, after: 0.975, change: '0' }]);
  });

  test('the brush paints where the pointer is, also on a zoomed film, and uncovers', async () => {
    const app = await openLab();
    const painted = () => app.locator('#cover').evaluate((canvas) => {
      const { data } = /** @type {HTMLCanvasElement} */ (canvas).getContext('2d')?.getImageData(0, 0, 224, 224) ?? { data: [] };
      const cells = [...data.filter((_, index) => index % 4 === 3)].flatMap((alpha, index) => (alpha ? [index] : []));
      const mean = (/** @type {(cell: number) => number} */ of) => cells.reduce((sum, cell) => sum + of(cell), 0) / cells.length;
      return { count: cells.length, x: mean((cell) => cell % 224), y: mean((cell) => Math.floor(cell / 224)) };
    });
    for (const zoom of [0, 3]) {
      for (let step = 0; step < zoom; step++) await app.locator('#zoom-in').click();
      const sheet = await app.locator('#sheet').boundingBox();
      const stage = await app.locator('#stage').boundingBox();
      assert.ok(sheet && stage);
      const at = { x: stage.x + stage.width / 2 + 40, y: stage.y + stage.height / 2 + 10 };
      await page.mouse.click(at.x, at.y);
      const expected = { x: (224 * (at.x - sheet.x)) / sheet.width, y: (224 * (at.y - sheet.y)) / sheet.height };
      await becomes(painted, ({ count, x, y }) => count > 0 && Math.abs(x - expected.x) < 2 && Math.abs(y - expected.y) < 2, `painted at ${JSON.stringify(expected)}`);
      await app.locator('#lab-parts [value=hand]:checked').waitFor();
      await cover(app, 'nothing');
      await becomes(painted, ({ count }) => count === 0, 'nothing is painted');
    }
    await cover(app, 'lungs');
    await becomes(painted, ({ count }) => count === 224 * 112, 'the upper half');
    await app.locator('label:has(#brush-uncover)').click();
    await app.locator('#reset').click();
    const stage = await app.locator('#stage').boundingBox();
    assert.ok(stage);
    await page.mouse.move(stage.x + stage.width / 2, stage.y + stage.height / 2);
    await page.mouse.down();
    for (let step = 1; step <= 6; step++) await page.mouse.move(stage.x + stage.width / 2, stage.y + stage.height / 2 - 12 * step);
    await page.mouse.up();
    await becomes(painted, ({ count }) => count < 224 * 112 - 200, 'a line is wiped away');
    await becomes(() => rows(app, 'own'), ([covid]) => covid !== undefined && covid.after < 0.5 && covid.after > 0.3, 'and the number follows');
  });

  test('one finger paints, two move the film', async () => {
    const app = await openLab();
    const client = await page.context().newCDPSession(page);
    const stage = await app.locator('#stage').boundingBox();
    assert.ok(stage);
    const middle = { x: stage.x + stage.width / 2, y: stage.y + stage.height / 2 };
    const touch = (/** @type {'touchStart' | 'touchMove' | 'touchEnd'} */ type, /** @type {{ x: number, y: number }[]} */ ...fingers) =>
      client.send('Input.dispatchTouchEvent', { type, touchPoints: fingers.map((finger, id) => ({ ...finger, id })) });
    await touch('touchStart', middle);
    for (let step = 1; step <= 6; step++) await touch('touchMove', { x: middle.x, y: middle.y - 12 * step });
    await touch('touchEnd');
    // The last of the strokes has been judged when nothing changes any more.
    const covered = async () => (await rows(app, 'own'))[0]?.after ?? 0;
    await becomes(async () => {
      const before = await covered();
      await new Promise((resolve) => setTimeout(resolve, 300));
      return before > 0.005 && before === await covered();
    }, true, 'a line is covered');
    const [line] = await rows(app, 'own');
    const film = await app.locator('#sheet').boundingBox();
    assert.ok(film);
    const apart = (/** @type {number} */ gap) => [{ x: middle.x - gap, y: middle.y }, { x: middle.x + gap, y: middle.y }];
    await touch('touchStart', ...apart(40));
    for (const gap of [50, 60, 70, 80]) await touch('touchMove', ...apart(gap));
    await touch('touchEnd');
    await becomes(async () => ((await app.locator('#sheet').boundingBox())?.width ?? 0) / film.width, (ratio) => Math.abs(ratio - 2) < 0.1, 'the film is twice as large');
    assert.deepEqual(await rows(app, 'own'), [line, ...(await rows(app, 'own')).slice(1)], 'and two fingers covered nothing');
  });

  test('keys are enough', async () => {
    const app = await openLab();
    await app.locator('#tab-lab').focus();
    await page.keyboard.press('ArrowLeft');
    await app.locator('#tab-answer[aria-selected=true]:focus').waitFor();
    await app.locator('#assessment').waitFor();
    await page.keyboard.press('ArrowRight');
    await app.locator('#lab').waitFor();
    await app.locator('#stage').focus();
    const film = await app.locator('#sheet').boundingBox();
    for (let step = 0; step < 4; step++) await page.keyboard.press('ArrowUp');
    await page.keyboard.press('Space');
    await becomes(() => rows(app, 'own'), ([covid]) => covid !== undefined && covid.after > 0.005, 'a spot is covered');
    assert.deepEqual(await app.locator('#sheet').boundingBox(), film, 'and the film did not move');
    const [spot] = await rows(app, 'own');
    for (let step = 0; step < 6; step++) await page.keyboard.press(']');
    await page.keyboard.press('Space');
    await becomes(() => rows(app, 'own'), ([covid]) => (covid?.after ?? 0) > 2 * (spot?.after ?? 1), 'a larger one');
    await page.keyboard.press('u');
    await app.locator('#brush-uncover:checked').waitFor();
    await page.keyboard.press('Space');
    await becomes(() => rows(app, 'own'), ([covid]) => covid?.after === 0, 'and away again');
  });

  test('only the newest of many strokes is asked, and the last one always', async () => {
    const app = await openLab();
    const before = Number(await app.evaluate('asked'));
    await app.evaluate(() => {
      for (const part of ['lungs', 'outside', 'lungs', 'nothing', 'outside', 'lungs', 'outside', 'nothing', 'lungs']) {
        const radio = document.querySelector(`#lab-parts [value=${part}]`);
        if (radio instanceof HTMLInputElement) radio.click();
      }
    });
    await becomes(() => rows(app, 'own'), ([covid]) => covid?.after === 0.5, 'the last one');
    await page.waitForTimeout(200);
    assert.ok(Number(await app.evaluate('asked')) - before <= 2, `asked ${await app.evaluate('asked')} times`);
  });

  test('a network that stays sure without the lungs is said to go by something else', async () => {
    const app = await openLab();
    await cover(app, 'lungs');
    await becomes(() => rows(app, 'own'), ([covid]) => covid?.after === 0.5, 'unsure');
    assert.equal(await app.locator('#lab-own-sure').isVisible(), false);
    await app.evaluate('sure = 0.05');
    await cover(app, 'outside');
    await becomes(() => rows(app, 'own'), ([covid]) => covid?.after === 0.05, 'sure, with the lungs in sight');
    assert.equal(await app.locator('#lab-own-sure').isVisible(), false);
    await cover(app, 'lungs');
    await app.locator('#lab-own-sure', { hasText: 'It stays sure of Normal with the lungs covered' }).waitFor();
    await cover(app, 'nothing');
    await app.locator('#lab-own-sure').waitFor({ state: 'hidden' });
  });

  test('a part that is chosen while the numbers of another come counts', async () => {
    const app = await openLab();
    await app.evaluate('slow = 300');
    await cover(app, 'outside');
    await cover(app, 'nothing');
    await cover(app, 'lungs');
    await becomes(() => text(app, '#lab-lesson'), /lungs are covered, as far as they were found/);
    await becomes(() => rows(app, 'own'), ([covid]) => covid?.after === 0.5, 'the lungs');
    assert.match(await text(app, '#lab-verdict'), /^50 %/);
  });

  test('what the page would refuse is judged, and said', async () => {
    const app = await openLab();
    assert.equal(await app.locator('#lab-gate').isVisible(), false);
    await cover(app, 'lungs');
    await app.locator('#brush-size').fill('40');
    const stage = await app.locator('#stage').boundingBox();
    assert.ok(stage);
    for (const x of [0.3, 0.4, 0.5, 0.6, 0.7]) await page.mouse.click(stage.x + x * stage.width, stage.y + 0.58 * stage.height);
    await app.locator('#lab-gate').waitFor();
    assert.match(await text(app, '#lab-gate'), /With these parts covered the page would refuse/);
    assert.equal((await rows(app, 'own')).length, 2);
  });

  test('another film begins bare, an unreadable one has no lab', async () => {
    const app = await openLab();
    await cover(app, 'lungs');
    await becomes(() => rows(app, 'own'), ([covid]) => covid?.after === 0.5, 'covered');
    await app.locator('#file').setInputFiles(drawn('second.png'));
    await app.locator('#progress-text', { hasText: /^2 read/ }).waitFor();
    await becomes(() => rows(app, 'own'), ([covid]) => covid?.after === 0, 'bare');
    await app.locator('#lab-parts [value=nothing]:checked').waitFor();
    assert.equal(await app.locator('#lab').isVisible(), true, 'the lab stays open from film to film');
    await app.locator('#clear').click();
    await app.locator('#lab').waitFor({ state: 'hidden' });
    await app.locator('#views').waitFor({ state: 'hidden' });
    await app.locator('#waiting').waitFor();
  });
});

describe('with the released weights', () => {
  test('uncovered it says what the answer says, the second network comes when the page is loaded anew, and parts count', { timeout: 240_000 }, async (context) => {
    const film = answered('film.jpg', 1);
    if (!film) return context.skip(missing(NO_DATA));
    page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    let app = await openApp(page, site.url);
    assert.ok(!site.asked.some((url) => url.endsWith('?tutorial')), 'nobody downloads it unasked');
    await give(app, film);
    const answer = await app.locator('#findings li').evaluateAll((all) => all.map((row) => Number(/** @type {HTMLElement} */ (row).dataset.probability)));
    await app.locator('#tab-lab').click();
    await becomes(() => rows(app, 'own'), (all) => all.length === answer.length && all.every(({ before, after }, index) =>
      Math.abs(before - (answer[index] ?? NaN)) < 1e-6 && before === after), `${answer}`);
    for (const part of ['lungs', 'outside', 'corners', 'border']) {
      await cover(app, part);
      await becomes(() => rows(app, 'own'), (all) => all.some(({ before, after }) => before !== after), part);
      await cover(app, 'nothing');
      await becomes(() => rows(app, 'own'), (all) => all.every(({ before, after }) => before === after), 'bare');
    }
    assert.equal(await app.locator('#lab-other-table').isVisible(), false);
    await Promise.all([page.waitForEvent('load'), app.locator('#lab-fetch').click()]);
    assert.equal(new URL(page.url()).search, '?lab=tutorial');
    app = await ready(page);
    // It is kept: the next visit has it without asking.
    for (const again of [false, true]) {
      if (again) app = await openApp(page, site.url);
      await give(app, film);
      await app.locator('#tab-lab').click();
      await cover(app, 'lungs');
      await becomes(async () => [await rows(app, 'own'), await rows(app, 'other')], ([own, other]) =>
        own?.length === answer.length && own.every(({ before, after }) => before !== after) && JSON.stringify(own) === JSON.stringify(other), 'both networks are the same here');
      await becomes(() => page.locator('#network-state').innerText(), /: sealed/);
    }
  });
});
