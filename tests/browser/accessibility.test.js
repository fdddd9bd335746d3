// For everyone: axe finds nothing in any state, keys are enough, screen readers are told, small screens and strong
// contrast work.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { answered, drawn, give, NO_DATA, openApp, openFake, text } from './app.js';
import { application, becomes, DIST, launch, missing, png, ROOT, serve, SOURCES } from './site.js';

const AXE = readFileSync(path.join(ROOT, 'node_modules/axe-core/axe.min.js'), 'utf8');
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

/** @type {Awaited<ReturnType<typeof serve>>} */
let site;
/** @type {Awaited<ReturnType<typeof serve>>} */
let sources;
/** @type {import('playwright-core').Browser} */
let browser;
/** @type {import('playwright-core').Page} */
let page;

before(async () => {
  [site, sources, browser] = [await serve(), await serve({ folder: SOURCES }), await launch()];
});
after(async () => {
  await browser?.close();
  site?.close();
  sources?.close();
});
afterEach(() => page?.close());

const notes = { name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('no image') };

/**
 * What axe finds in a document.
 * @param {import('playwright-core').Frame} frame
 * @returns {Promise<string[]>}
 */
async function violations(frame) {
  await frame.evaluate(AXE);
  const found = await frame.evaluate(async (rules) => {
    const { axe } = /** @type {any} */ (globalThis);
    const { violations } = await axe.run(document, { runOnly: rules, resultTypes: ['violations'] });
    return violations.map((/** @type {any} */ { id, nodes }) => `${id}: ${nodes.map((/** @type {any} */ { html, any }) => `${html} (${any[0]?.message})`).join('; ')}`);
  }, RULES);
  return found;
}

/** @param {import('playwright-core').Frame} frame @param {string} state */
async function assertClean(frame, state) {
  assert.deepEqual(await violations(frame), [], state);
}

test('axe is there and would find something', async () => {
  page = await browser.newPage();
  await page.goto(`${site.url}blank.html`);
  await page.setContent('<html lang="en"><title>x</title><main><h1>x</h1><img src="x.png"><button></button></main>');
  const found = await violations(page.mainFrame());
  assert.ok(found.some((one) => one.startsWith('image-alt')) && found.some((one) => one.startsWith('button-name')), String(found));
});

for (const [theme, width] of /** @type {['dark' | 'light', number][]} */ ([['dark', 1440], ['light', 1440], ['dark', 360], ['light', 360]])) {
  test(`axe finds nothing: ${theme}, ${width} px`, async (context) => {
    page = await browser.newPage({ viewport: { width, height: 860 }, colorScheme: theme, reducedMotion: 'reduce' });
    const app = await openApp(page, site.url);
    await assertClean(app, 'empty');
    await assertClean(page.mainFrame(), 'the page around');
    await page.locator('#network summary').click();
    await assertClean(page.mainFrame(), 'with the network panel open');
    await page.locator('#network summary').click();
    const film = answered('film.jpg');
    await give(app, film ?? drawn());
    await assertClean(app, 'answer');
    if (film) {
      await app.locator('#saliency-findings label').nth(1).click();
      await assertClean(app, 'answer with overlay');
    } else {
      context.diagnostic(missing(NO_DATA).replace('skipped', 'without an overlay'));
    }
    await app.locator('#tab-lab').click();
    await app.locator('#lab-own tr').first().waitFor();
    await app.locator('#lab-parts label:has([value=lungs])').click();
    await becomes(() => text(app, '#lab-verdict'), /is covered/);
    await assertClean(app, 'shortcut lab');
    await app.locator('#tab-answer').click();
    if (width > 700) {
      await app.locator('#keys').click();
      await assertClean(app, 'with the keys shown');
      await page.keyboard.press('Escape');
    }
    await give(app, notes);
    await assertClean(app, 'error, in a list');
    await app.locator('#filter').fill('nothing');
    await app.locator('#no-rows').waitFor();
    await assertClean(app, 'a list without a row');
    await app.locator('#filter').fill('');
    await app.locator('#file').setInputFiles(Array.from({ length: 90 }, (_, index) => ({ ...drawn(`${index}.png`), buffer: png(40, 40, () => index) })));
    await app.locator('#cancel').click();
    await app.locator('#resume').waitFor();
    await assertClean(app, 'a stopped list');
  });
}

test('axe finds nothing: refused image, another engine', async () => {
  page = await browser.newPage({ reducedMotion: 'reduce' });
  const refusal = JSON.stringify({ file: 'x', findings: [], call: null, refused: true, reasons: [{ code: 'x', text: 'Too strange.' }], provenance: { format: 'png', notes: ['A note.'] }, saliency: [], backend: 'cpu', timings: { total: 1, forward: 1 }, weights: 'x' });
  const app = await openFake(page, sources.url, `globalThis.fake = Object.assign(new EventTarget(), {
    async preview() { return { width: 1, height: 1, grey: Uint8Array.from([9]) }; },
    async classify() { return ${refusal}; },
  })`);
  await give(app, drawn());
  await app.evaluate(`fake.dispatchEvent(new CustomEvent('backendchange', { detail: { backend: 'cpu', reason: 'lost' } }))`);
  await app.locator('#engine-note').waitFor();
  assert.deepEqual(await violations(app), []);
});

test('axe finds nothing, and screen readers are told: weights that are not there', async () => {
  page = await browser.newPage({ reducedMotion: 'reduce' });
  await page.route('**/*.safetensors', (route) => route.fulfill({ status: 404 }));
  await page.goto(site.url);
  const app = await application(page);
  await app.locator('#status[data-state=failed]').waitFor({ timeout: 60_000 });
  assert.equal(await text(app, '#error-title'), 'A file did not arrive');
  await app.locator('#announcer').getByText(/^No answer\. .*404/).waitFor({ state: 'attached' });
  await assertClean(app, 'failed start');
  await assertClean(page.mainFrame(), 'the page around a failed start');
  await app.locator('#file').setInputFiles(drawn());
  await app.locator('#busy', { hasText: 'no picture' }).waitFor();
  await assertClean(app, 'a film after a failed start');
});

test('the page about the page: the model card with its figures, readable for everyone', async () => {
  page = await browser.newPage({ viewport: { width: 360, height: 800 } });
  await openApp(page, site.url);
  await page.locator('header a.about').click();
  await page.locator('h1', { hasText: 'what it cannot do' }).waitFor();
  const { macro_auroc: auroc, n } = JSON.parse(readFileSync(path.join(ROOT, 'weights/report/report.json'), 'utf8'));
  const card = await page.locator('main').innerText();
  assert.ok(card.includes(auroc.value.toFixed(3)) && card.includes(String(n)), 'the measured figures are in it');
  assert.deepEqual(await violations(page.mainFrame()), []);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= 360);
  const links = await page.locator('main a').evaluateAll((links) => links.map((link) => link.getAttribute('href') ?? '').filter((href) => !/^(https:|#)/.test(href)));
  assert.deepEqual(links.filter((href) => !existsSync(path.join(DIST, href))), []);
});

describe('keys are enough', () => {
  /** Presses Tab until the focus is on what is asked for. @param {import('playwright-core').Frame} app @param {string} selector */
  const tabTo = async (app, selector) => {
    for (let presses = 0; presses < 60; presses++) {
      await page.keyboard.press('Tab');
      if (await app.evaluate((selector) => document.activeElement?.matches(selector) ?? false, selector)) return;
    }
    assert.fail(`${selector} cannot be reached with Tab`);
  };

  test('from nothing to an answer, its overlay, the list, and back', async () => {
    page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    const app = await openApp(page, site.url);
    await tabTo(app, '#try');
    await page.keyboard.press('Enter');
    await app.locator('#assessment:not([hidden])').waitFor();
    await app.locator('#status[data-state=ready]').waitFor();
    await app.locator('body').evaluate(() => document.querySelector('button')?.focus());
    await tabTo(app, '#open-example');
    await page.keyboard.press('Enter');
    await app.locator('#progress-text', { hasText: /^2 read/ }).waitFor();
    await tabTo(app, '#stage');
    await page.keyboard.press('+');
    await becomes(() => text(app, '#readout'), /1\.4 ×/);
    await tabTo(app, '#brightness');
    await page.keyboard.press('ArrowRight');
    await becomes(() => app.locator('#brightness').inputValue(), '1');
    await tabTo(app, '[name=saliency-finding]');
    await page.keyboard.press('ArrowRight');
    await app.locator('#overlay').waitFor();
    await tabTo(app, '#saliency-opacity');
    await tabTo(app, '#filter');
    await tabTo(app, '#export-csv');
    await tabTo(app, '.sorter');
    await tabTo(app, '.opener');
    await page.keyboard.press('ArrowUp');
    await page.keyboard.press('Enter');
    await app.locator('tr[aria-current][aria-rowindex="2"]').waitFor();
  });

  test('every control shows that it has the focus', async () => {
    page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    const app = await openApp(page, site.url);
    await give(app, [drawn('a.png'), drawn('b.png')]);
    await app.locator('#progress-text', { hasText: /^2 read/ }).waitFor();
    await app.locator('#open').focus();
    const seen = new Set();
    for (let presses = 0; presses < 40; presses++) {
      const focused = await app.evaluate(() => {
        const active = document.activeElement;
        if (!active || active === document.body) return undefined;
        // A radio button is drawn by the text after it.
        const drawn = active.matches('.chip input') ? active.nextElementSibling ?? active : active;
        const { outlineStyle, outlineWidth } = getComputedStyle(drawn);
        return { name: active.id || active.className, ring: outlineStyle !== 'none' && Number.parseFloat(outlineWidth) >= 2 };
      });
      if (focused) {
        assert.ok(presses === 0 || focused.ring, `${focused.name} shows no focus`);
        seen.add(focused.name);
      }
      await page.keyboard.press('Tab');
    }
    for (const name of ['open-folder', 'stage', 'tool-move', 'zoom-in', 'contrast', 'filter', 'export-json', 'opener']) assert.ok(seen.has(name), `${name} was not reached`);
  });
});

test('screen readers are told what happens', async (context) => {
  const [film, a] = [answered('film.jpg'), answered('a.jpg', 1)];
  if (!film || !a) return context.skip(missing(NO_DATA));
  page = await browser.newPage();
  const app = await openApp(page, site.url);
  const log = app.locator('#announcer');
  assert.equal(await log.getAttribute('role'), 'log');
  await give(app, film);
  await log.getByText(/film\.jpg\. .*: .*COVID-19 \d+\.\d %, Normal \d+\.\d %, Other pneumonia \d+\.\d %\. Not a diagnosis\./).waitFor({ state: 'attached' });
  await give(app, notes);
  await log.getByText(/No answer\. notes\.txt/).waitFor({ state: 'attached' });
  await give(app, [a, drawn('b.png')]);
  await log.getByText('All 4 films are read.').waitFor({ state: 'attached' });
  assert.ok(await log.locator('p').count() <= 5, 'old messages go');
  await becomes(() => app.locator('#image').getAttribute('aria-label'), /^The film a\.jpg/);
  const meter = app.getByRole('meter', { name: 'Probability of COVID-19' });
  await becomes(() => meter.getAttribute('aria-valuetext'), /^\d+\.\d %$/);
});

for (const width of [320, 360, 768, 1024, 1440]) {
  test(`at ${width} px nothing is cut off or needs sideways scrolling`, async () => {
    page = await browser.newPage({ viewport: { width, height: 740 }, hasTouch: width < 700 });
    const app = await openApp(page, site.url);
    const parts = await app.locator('#invitation > *').evaluateAll((all) => all.map((one) => one.getBoundingClientRect().toJSON()));
    for (const [index, { bottom }] of parts.entries()) assert.ok(bottom <= (parts[index + 1]?.top ?? Infinity), 'parts of the invitation lie on each other');
    for (const files of [undefined, [drawn()], [drawn('a-very-long-name-of-a-film-from-some-archive-2026-11-23-0001.png'), notes]]) {
      if (files) await give(app, files);
      const [inner, around] = await Promise.all([app, page.mainFrame()].map((frame) => frame.evaluate(() => document.documentElement.scrollWidth)));
      assert.ok((inner ?? Infinity) <= width && (around ?? Infinity) <= width, `${inner} and ${around} pixels wide`);
    }
    const [list, names] = [app.locator('#rows'), app.locator('.opener')];
    assert.ok(await list.evaluate(({ scrollWidth, clientWidth }) => scrollWidth <= clientWidth), 'the list is wider than its place');
    for (const box of await names.evaluateAll((all) => all.map((one) => one.getBoundingClientRect().width))) assert.ok(box > 60, `a name has ${box} pixels`);
    await names.first().click();
    const [film, answer] = await Promise.all(['.viewer', '#answer'].map((part) => app.locator(part).boundingBox()));
    assert.equal((answer?.y ?? 0) < (film?.y ?? 0) + (film?.height ?? 0), width > 700, 'from a tablet on the answer stands beside the film');
    await app.locator('#tab-lab').click();
    await app.locator('#lab-own tr').first().waitFor();
    assert.ok(await app.evaluate(() => document.documentElement.scrollWidth) <= width, 'the lab is too wide');
    const small = await app.locator('button:visible, select:visible, input:visible:not([type=radio]):not([type=range])').evaluateAll((all) => all
      .map((one) => ({ name: one.id || one.className, ...one.getBoundingClientRect().toJSON() }))
      .filter(({ width, height }) => width < 24 || height < 24));
    assert.deepEqual(small.filter(({ name }) => name !== 'try'), [], 'every target is 24 by 24 pixels or more');
  });
}

test('themes: the system decides, the visitor overrides, the choice stays', async () => {
  const context = await browser.newContext({ colorScheme: 'light' });
  page = await context.newPage();
  const ground = (/** @type {import('playwright-core').Frame} */ frame) => frame.evaluate(() => getComputedStyle(document.body).backgroundColor);
  let app = await openApp(page, site.url);
  const light = await ground(app);
  assert.equal(await ground(page.mainFrame()), light);
  await page.locator('#theme').selectOption('dark');
  await app.locator(':root[data-theme=dark]').waitFor();
  const dark = await ground(app);
  assert.notEqual(dark, light);
  await becomes(() => ground(page.mainFrame()), dark);
  app = await openApp(page, site.url);
  await becomes(async () => [await ground(app), await ground(page.mainFrame())], [dark, dark], 'after a reload');
  await page.locator('#theme').selectOption('system');
  await app.locator(':root[data-theme=system]').waitFor();
  await becomes(() => ground(app), light);
  await page.emulateMedia({ colorScheme: 'dark' });
  await becomes(() => ground(app), dark);
  await context.close();
});

test('more contrast, forced colours and reduced motion are followed', async (context) => {
  const film = answered('film.jpg');
  if (!film) return context.skip(missing(NO_DATA));
  page = await browser.newPage({ colorScheme: 'dark' });
  const app = await openApp(page, site.url);
  await give(app, film);
  const soft = () => app.locator('#measured').evaluate((one) => getComputedStyle(one).color);
  const before = await soft();
  await page.emulateMedia({ contrast: 'more' });
  await becomes(soft, (colour) => colour !== before, 'more contrast changes the soft colour');
  assert.deepEqual(await violations(app), [], 'more contrast');
  await page.emulateMedia({ contrast: null, forcedColors: 'active' });
  assert.deepEqual(await violations(app), [], 'forced colours');
  const fills = () => app.locator('#findings li').evaluateAll((rows) => rows.map((row) => {
    const colour = (/** @type {string} */ part) => getComputedStyle(row.querySelector(part) ?? row).backgroundColor;
    return [colour('.bar-fill'), colour('.bar-track'), colour('.bar-mark')];
  }));
  await becomes(fills, (all) => all.length === 3 && all.every(([fill, track, mark]) => fill !== track && mark !== track), 'bars and thresholds are still seen');
  await page.emulateMedia({ forcedColors: null, reducedMotion: 'reduce' });
  const moving = () => app.evaluate(() => [...document.querySelectorAll('*')].filter((one) => {
    const { animationName, transitionDuration } = getComputedStyle(one);
    return animationName !== 'none' || Number.parseFloat(transitionDuration) > 0;
  }).length);
  await becomes(moving, 0);
});
