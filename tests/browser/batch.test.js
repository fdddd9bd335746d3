// Many films: a list that fills as it goes, files to take away, and a page that stays quick.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { toCsv, toJson } from '../../www/app/export.js';
import { answered, drawn, films, give, NO_DATA, openApp, openFake, text } from './app.js';
import { becomes, launch, missing, png, serve, settled, SOURCES } from './site.js';

/** @typedef {import('../../www/app/queue.js').Film} Film */

/** Films of the long run, and what it may cost. */
const MANY = Number(process.env.DEEPBREATH_MANY_FILMS ?? 500);
const LARGEST_TASK = 50; // milliseconds of processor time on a main thread
const LARGEST_GROWTH = 24e6; // bytes of the page's heap, from the first tenth to the end
const LARGEST_RESIDENT_GROWTH = 128e6; // bytes of its processes, workers and buffers included, meanwhile

/** @type {Awaited<ReturnType<typeof serve>>} */
let site;
/** @type {Awaited<ReturnType<typeof serve>>} */
let sources;
/** @type {import('playwright-core').Browser} */
let browser;
/** @type {import('playwright-core').Page} */
let page;
/** @type {import('playwright-core').Frame} */
let app;

before(async () => {
  [site, sources, browser] = [await serve(), await serve({ folder: SOURCES }), await launch()];
});
after(async () => {
  await browser?.close();
  site?.close();
  sources?.close();
});

/** A picture of one grey. @param {string} name @param {number} grey */
const plain = (name, grey) => ({ name, mimeType: 'image/png', buffer: png(64, 64, () => grey) });

const waitRead = (/** @type {number} */ count) => app.locator('#progress-text', { hasText: new RegExp(`^${count} read`) }).waitFor({ timeout: 120_000 });
const names = () => app.locator('#table-body .opener').allInnerTexts();
/** The rows follow the count with the next frame. */
const rowsDrawn = () => app.locator('#table-body:not(:has([data-state=working], [data-state=waiting]))').waitFor();

describe('files to take away', () => {
  /** @param {Partial<Film> & { name: string }} film @returns {Film} */
  const film = (film) => ({ id: 0, file: new File([], film.name), state: 'done', time: '2026-11-23T05:00:00.000Z', ...film });
  /** @type {import('../../www/client.js').Assessment} */
  const assessment = {
    file: 'a', findings: [{ label: 'covid', probability: 0.25 }, { label: '=normal', probability: 0.75 }], predictionSet: ['covid', '=normal'],
    call: 'covid', refused: false, reasons: [],
    provenance: {
      format: 'png', width: 640, height: 480, bits: 16, channels: 1, chroma: 0, orientation: 1, frames: 1, transferSyntax: null, photometric: null,
      modality: null, view: null, window: null, polarityCorrected: false, notes: [],
    },
    saliency: [], backend: 'cpu', timings: { decode: 1, preprocess: 1, forward: 1, explain: 1, total: 12.4 }, weights: '0123456789ab',
  };
  const origin = { version: '0.1.0', weights: '0123456789ab', backend: 'cpu', date: '2026-11-23', settings: { operatingPoint: 'balanced' } };

  test('a name that a spreadsheet would run stays a text', () => {
    for (const name of ['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', '\r=1', '＝1+1', '＋1']) {
      const csv = toCsv([film({ name, assessment })], origin);
      const [, row = ''] = csv.split(/\r\n(?=['"]|a)/);
      assert.ok(row.startsWith(`'${name}`) || row.startsWith(`"'${name}`), JSON.stringify(row));
    }
    assert.ok(toCsv([film({ name: 'a', assessment })], origin).startsWith("file,state,call,probability_covid,probability_=normal,prediction_set,"));
  });

  test('the set of possible findings and the size of the film are in both files', () => {
    const one = film({ name: 'a', assessment });
    const [head = '', row = ''] = toCsv([one], origin).split('\r\n');
    const cells = Object.fromEntries(head.split(',').map((name, index) => [name, row.split(',')[index]]));
    assert.deepEqual([cells['prediction_set'], cells['width'], cells['height'], cells['bits']], ['covid; =normal', '640', '480', '16']);
    const [result] = JSON.parse(toJson([one], origin)).results;
    assert.deepEqual([result.predictionSet, result.provenance.width], [['covid', '=normal'], 640]);
  });

  test('commas, quotes and line ends do not break a row', () => {
    const csv = toCsv([film({ name: 'a, "b"\nc.png', state: 'failed', error: { code: 'corrupt', message: 'x' } })], origin);
    assert.ok(csv.includes('"a, ""b""\nc.png",failed,'), csv);
    assert.ok(csv.endsWith('\r\n'));
  });

  test('numbers of a refused image are in neither file', () => {
    const refused = film({ name: 'a', assessment: { ...assessment, refused: true, call: null } });
    assert.ok(!toCsv([refused], origin).includes('0.25'));
    assert.deepEqual(JSON.parse(toJson([refused], origin)).results[0].findings, []);
    assert.equal(JSON.parse(toJson([refused], origin)).results[0].state, 'refused');
  });
});

describe('the list', () => {
  beforeEach(async () => {
    page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    app = await openApp(page, site.url);
  });
  afterEach(() => page.close());

  test('fills with every film, the unreadable ones with their reason, and opens them', async (context) => {
    const some = films().slice(0, 4).map(({ file }) => ({ name: path.basename(file), mimeType: 'image/jpeg', buffer: readFileSync(file) }));
    if (some.length === 0) context.diagnostic(missing(NO_DATA).replace('skipped', 'drawn films only'));
    const files = [...some, drawn('drawn.png'), { name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('no image') }];
    await give(app, files);
    await waitRead(files.length);
    await rowsDrawn();
    assert.deepEqual(await names(), files.map(({ name }) => name));
    const rows = await app.locator('#table-body tr[data-film]').evaluateAll((all) => all.map((row) => ({
      numbers: [...row.querySelectorAll('td.number')].map((cell) => cell.textContent ?? ''),
      answer: row.querySelector('.badge')?.textContent ?? '',
      thumbnail: row.querySelector('canvas')?.width ?? 0,
    })));
    for (const { numbers, thumbnail, answer } of rows.slice(0, -1)) {
      assert.ok(thumbnail > 0 && thumbnail <= 88 && answer !== '');
      // A refused image has no numbers: the drawn one, and rarely a film.
      if (numbers.every((number) => Number.isNaN(Number.parseFloat(number)))) continue;
      const sum = numbers.reduce((total, number) => total + Number.parseFloat(number), 0);
      assert.ok(Math.abs(sum - 100) < 0.2, `${numbers}`);
    }
    if (some.length) assert.ok(rows.some(({ numbers }) => Number.parseFloat(numbers[0] ?? '') >= 0), 'no film was answered');
    assert.deepEqual(rows.at(-1), { numbers: ['', '', ''], answer: 'This is no image that can be read here', thumbnail: 0 });

    await app.locator('.opener', { hasText: 'drawn.png' }).click();
    await app.locator('#facts dd', { hasText: 'drawn.png' }).waitFor();
    await app.locator('#image').waitFor();
    await becomes(() => app.locator('#image').evaluate((canvas) => /** @type {HTMLCanvasElement} */ (canvas).width), 320);
    await app.locator('tr[aria-current=true] .opener', { hasText: 'drawn.png' }).waitFor();
    await app.locator('.opener', { hasText: 'notes.txt' }).click();
    await app.locator('#error-code', { hasText: 'unknown-format' }).waitFor();
    await app.locator('#stage').waitFor({ state: 'hidden' }); // No film of another row stays in sight.
  });

  test('sorts, filters, and walks by keys', async (context) => {
    const files = [1, 2, 3, 4, 5].map((number) => answered(`film-${number}.png`, 20 * number)).filter((film) => film !== undefined);
    const other = answered('other.png', 120);
    if (!other) return context.skip(missing(NO_DATA));
    await give(app, [...files, other]);
    await waitRead(6);
    const column = app.locator('#table-head button', { hasText: 'COVID-19' });
    const numbers = () => app.locator('#table-body tr[data-film] td.number:nth-child(4)').allInnerTexts().then((all) => all.map(Number.parseFloat));
    await rowsDrawn();
    const unsorted = await numbers();
    await column.click();
    await app.locator('th[aria-sort=descending]:has(button:text("COVID-19"))').waitFor();
    await becomes(numbers, unsorted.toSorted((a, b) => b - a));
    await column.click();
    await becomes(numbers, unsorted.toSorted((a, b) => a - b));
    await column.click();
    await becomes(numbers, unsorted, 'a third time brings the order of reading back');
    await app.locator('#table-head button', { hasText: 'Film' }).click();
    await becomes(names, ['film-1.png', 'film-2.png', 'film-3.png', 'film-4.png', 'film-5.png', 'other.png']);

    await app.locator('#filter').fill('FILM-');
    await app.locator('#announcer', { hasText: '5 of 6 films match.' }).waitFor({ state: 'attached' });
    await becomes(names, (all) => all.length === 5, 'five names match');
    await app.locator('#filter-answer').selectOption('failed');
    await app.locator('#no-rows').waitFor();
    await app.locator('#filter-answer').selectOption('');
    await app.locator('#filter').fill('');
    await becomes(names, (all) => all.length === 6, 'all are there again');

    await app.locator('.opener').first().focus();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await app.locator('#facts dd', { hasText: 'film-3.png' }).waitFor();
    await page.keyboard.press('End');
    await becomes(() => app.evaluate(() => document.activeElement?.textContent), 'other.png');
  });

  test('stops, keeps what is read, and goes on', async () => {
    await app.locator('#file').setInputFiles(Array.from({ length: 30 }, (_, index) => plain(`${index}.png`, index)));
    await app.locator('#progress-text', { hasText: /^[3-9] of 30/ }).waitFor();
    await app.locator('#cancel').click();
    await app.locator('#resume').waitFor();
    const stopped = await text(app, '#progress-text');
    await page.waitForTimeout(700);
    assert.equal(await text(app, '#progress-text'), stopped, 'nothing is read after a stop');
    assert.ok(Number.parseInt(stopped) < 30);
    await settled(app);
    await app.locator('#resume').click();
    await waitRead(30);
    await becomes(() => app.locator('#table-body [data-state=done]').count(), (count) => count > 5, 'rows that are read');
  });

  test('CSV and JSON are saved with where the numbers come from', async (context) => {
    const film = answered('=a.png');
    if (!film) return context.skip(missing(NO_DATA));
    await give(app, [film, plain('b.png', 40), { name: 'c.txt', mimeType: 'text/plain', buffer: Buffer.from('no') }]);
    await waitRead(3);
    /** @param {string} id */
    const saved = async (id) => {
      const [download] = await Promise.all([page.waitForEvent('download'), app.locator(id).click()]);
      return { name: download.suggestedFilename(), text: readFileSync(await download.path(), 'utf8') };
    };
    const csv = await saved('#export-csv');
    assert.match(csv.name, /^deepbreath-.*\.csv$/);
    const [head = '', ...rows] = csv.text.trim().split('\r\n');
    assert.ok(head.startsWith('file,state,call,probability_covid,probability_normal,probability_pneumonia,prediction_set,reasons,'), head);
    assert.equal(rows.length, 3);
    const weights = await app.locator('#facts').evaluate((facts) => [...facts.querySelectorAll('dt')].find((name) => name.textContent === 'Weights')?.nextElementSibling?.textContent ?? '');
    for (const row of rows.slice(0, 2)) assert.ok(row.includes(`,${weights},cpu,`), `${weights}: ${row}`);
    assert.ok(rows[0]?.startsWith("'=a.png,"), rows[0]);
    assert.match(rows[2] ?? '', /c\.txt,failed,.*unknown-format/);

    const json = await saved('#export-json');
    const { program, disclaimer, version, date, settings, results } = JSON.parse(json.text);
    assert.deepEqual([program, disclaimer], ['deepbreath', 'For education and research. Not a diagnosis.']);
    assert.match(version, /^\d+\.\d+\.\d+/);
    assert.ok(Math.abs(Date.parse(date) - Date.now()) < 600_000);
    assert.equal(settings.operatingPoint, 'balanced');
    assert.deepEqual(results.map((/** @type {any} */ { file, state }) => [file, state]), [['=a.png', 'done'], ['b.png', 'refused'], ['c.txt', 'failed']]);
    assert.equal(results[0].weights, weights);
    assert.ok(Math.abs(results[0].findings.reduce((/** @type {number} */ sum, /** @type {any} */ { probability }) => sum + probability, 0) - 1) < 1e-4);
    assert.equal(results[2].error.code, 'unknown-format');
  });

  test('clearing takes everything away, and the page begins anew', async () => {
    await give(app, [drawn('a.png'), drawn('b.png')]);
    await waitRead(2);
    await app.locator('#clear').click();
    await app.locator('#invitation').waitFor();
    await app.locator('#worklist').waitFor({ state: 'hidden' });
    await app.locator('#image').waitFor({ state: 'hidden' });
    await give(app, drawn('c.png'));
    assert.equal(await app.locator('#worklist').isVisible(), false, 'one film needs no list');
  });
});

describe('where the classifier does not load', () => {
  const FAILS = "await new Promise((_, reject) => { globalThis.go = () => reject(Object.assign(new Error('the weights: their checksum is another one'), { code: 'damaged' })); })";

  /** What is said of the failure. */
  const said = () => app.evaluate(() => ['status-text', 'error-title', 'error-code', 'error-message'].map((id) => document.getElementById(id)?.textContent));
  /** Which part of the answer is on show, and what stands in the lightbox. */
  const shown = () => app.evaluate(() => [['waiting', 'working', 'error', 'assessment'].find((id) => !document.getElementById(id)?.hidden),
    document.getElementById('busy')?.textContent]);
  const SAID = ['Not ready', 'A file arrived damaged', 'damaged', 'the weights: their checksum is another one'];

  beforeEach(async () => {
    page = await browser.newPage();
    app = await openFake(page, sources.url, FAILS, { wait: false });
  });
  afterEach(() => page.close());

  test('that is said, and no film takes it away', async () => {
    await app.evaluate('go()');
    await app.locator('#status[data-state=failed]').waitFor();
    assert.deepEqual([await said(), await shown()], [SAID, ['error', '']]);
    await app.locator('#file').setInputFiles([drawn('a.png'), drawn('b.png')]);
    await app.locator('#caption', { hasText: 'a.png' }).waitFor();
    assert.deepEqual([await said(), await shown()], [SAID, ['error', 'There is no picture to show.']]);
    await app.locator('.opener', { hasText: 'b.png' }).click();
    await app.locator('#caption', { hasText: 'b.png' }).waitFor();
    assert.deepEqual([await said(), await shown()], [SAID, ['error', 'There is no picture to show.']]);
    await app.locator('#clear').click();
    assert.deepEqual([await said(), await shown()], [SAID, ['error', '']]);
  });

  test('a film that came before is no longer said to be read', async () => {
    await app.locator('#file').setInputFiles(drawn('early.png'));
    await app.locator('#working:not([hidden])').waitFor();
    await app.evaluate('go()');
    await app.locator('#status[data-state=failed]').waitFor();
    assert.deepEqual([await said(), await shown()], [SAID, ['error', 'There is no picture to show.']]);
  });
});

test('a film that is opened while it is being read is shown when its answer comes', async () => {
  page = await browser.newPage();
  try {
    app = await openFake(page, sources.url, `Object.assign(new EventTarget(), {
      async preview() { return { width: 2, height: 2, grey: Uint8Array.from([0, 80, 160, 255]) }; },
      classify: ({ name: file }) => new Promise((resolve) => { globalThis.answer = () => resolve({
        file, findings: [{ label: 'normal', probability: 1 }], call: 'normal', refused: false, reasons: [], provenance: { format: 'png', notes: [] },
        saliency: [], backend: 'cpu', timings: { decode: 1, preprocess: 1, forward: 1, explain: 1, total: 4 }, weights: '0123456789ab',
      }); }),
    })`);
    await app.locator('#file').setInputFiles([drawn('a.png'), drawn('b.png')]);
    await app.locator('#image').waitFor();
    await app.locator('.opener', { hasText: 'b.png' }).click();
    await app.locator('.opener', { hasText: 'a.png' }).click();
    await app.locator('#busy', { hasText: 'Reading the film' }).waitFor();
    await app.evaluate('answer()');
    await app.locator('#facts dd', { hasText: 'a.png' }).waitFor();
    await app.locator('#image').waitFor();
    assert.equal(await app.locator('#busy').isVisible(), false);
    assert.equal(await app.locator('#announcer p', { hasText: 'a.png' }).count(), 1, 'told once');
  } finally {
    await page.close();
  }
});

test(`${MANY} films: bounded memory, bounded rows, no long task`, async (context) => {
  page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  app = await openApp(page, site.url);
  const pool = films().slice(0, 100).map(({ file }) => readFileSync(file));
  if (pool.length === 0) context.diagnostic(missing(NO_DATA).replace('skipped', 'drawn films only'));
  // Every other one as large as films are: a file of 1 MB, and as much again as a picture.
  const greys = randomBytes(1024 * 1024); // Noise, which nothing makes smaller.
  const noise = png(1024, 1024, (x, y) => greys[1024 * y + x] ?? 0);
  const folder = mkdtempSync(path.join(tmpdir(), 'deepbreath-many-'));
  // Without an origin, the frame has a process of its own; a browser that does otherwise counts it with the page.
  const machine = await browser.newBrowserCDPSession();
  const client = await page.context().newCDPSession(app).catch(() => page.context().newCDPSession(page));
  try {
    const files = Array.from({ length: MANY }, (_, index) => {
      const file = path.join(folder, `film-${String(index).padStart(4, '0')}`);
      writeFileSync(file, (index % 2 && pool[index % pool.length]) || noise);
      return file;
    });
    const heap = async () => {
      await client.send('HeapProfiler.collectGarbage');
      const { metrics } = await client.send('Performance.getMetrics');
      return metrics.find(({ name }) => name === 'JSHeapUsedSize')?.value ?? NaN;
    };
    /** What the heap leaves out: buffers, and the memory of the workers. */
    const resident = async () => {
      const { processInfo } = await machine.send('SystemInfo.getProcessInfo');
      return processInfo.filter(({ type }) => type === 'renderer').reduce((sum, { id }) => sum + residentBytes(id), 0);
    };
    await client.send('Performance.enable');
    await browser.startTracing(page, { categories: ['toplevel'] });
    await app.locator('#file').setInputFiles(files);
    const tenth = Math.floor(MANY / 10);
    await app.waitForFunction((count) => Number.parseInt(document.getElementById('progress-text')?.textContent ?? '0') >= count, tenth, { timeout: 600_000 });
    const [early, earlyResident] = [await heap(), await resident()];
    const rows = [];
    while (!await app.locator('#progress-bar').evaluate((bar) => /** @type {HTMLElement} */ (bar).hidden)) {
      rows.push(await app.locator('#table-body tr').count());
      await app.locator('#rows').evaluate((scroller) => (scroller.scrollTop = (scroller.scrollTop + 900) % scroller.scrollHeight));
      await page.waitForTimeout(500);
    }
    const [late, lateResident] = [await heap(), await resident()];
    assert.equal(await text(app, '#progress-text'), `${MANY} read`);
    assert.ok(Math.max(...rows) < 60, `${Math.max(...rows)} rows in the document`);
    assert.ok(late - early < LARGEST_GROWTH, `the heap grew from ${early} to ${late} bytes`);
    assert.ok(lateResident - earlyResident < LARGEST_RESIDENT_GROWTH, `the processes grew from ${earlyResident} to ${lateResident} bytes`);
    const longest = Math.max(...mainThreadTasks(await browser.stopTracing()));
    context.diagnostic(`heap ${(early / 1e6).toFixed(1)} MB at ${tenth}, ${(late / 1e6).toFixed(1)} MB at ${MANY}; resident ${(earlyResident / 1e6).toFixed(1)} MB, then ${(lateResident / 1e6).toFixed(1)} MB; longest task ${longest.toFixed(1)} ms`);
    assert.ok(longest > 0.1 && longest <= LARGEST_TASK, `the longest task took ${longest} ms`);
  } finally {
    rmSync(folder, { recursive: true });
    await page.close();
  }
});

/** Memory of a process that is its own, in bytes (Linux only; nothing elsewhere). @param {number} id */
function residentBytes(id) {
  const status = process.platform === 'linux' ? readFileSync(`/proc/${id}/status`, 'utf8') : '';
  return 1024 * Number(/^RssAnon:\s+(\d+)/m.exec(status)?.[1] ?? 0);
}

/**
 * Processor time of each task of the pages' main threads, in milliseconds: unlike its duration, it does not depend on what
 * else the machine does.
 * @param {Buffer} trace
 * @returns {number[]}
 */
function mainThreadTasks(trace) {
  /** @type {{ traceEvents: { name: string, ph: string, pid: number, tid: number, tdur?: number, args: { name?: string } }[] }} */
  const { traceEvents } = JSON.parse(trace.toString());
  const main = new Set(traceEvents.filter(({ name, args }) => name === 'thread_name' && args.name === 'CrRendererMain').map(({ pid, tid }) => `${pid} ${tid}`));
  return traceEvents
    .filter(({ name, ph, pid, tid }) => ph === 'X' && name === 'ThreadControllerImpl::RunTask' && main.has(`${pid} ${tid}`))
    .map(({ tdur = 0 }) => tdur / 1000);
}
