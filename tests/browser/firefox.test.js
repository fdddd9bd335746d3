// The built page in Firefox, on the processor: the probabilities that Chromium gets.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Firefox, FIREFOX } from './firefox.js';
import { films } from './modules.js';
import { ask, becomes, launch, phantom, ready, serve } from './site.js';

const TOLERANCE = 1e-3;
const skip = FIREFOX ? false : 'skipped: no Firefox (install firefox-esr, or set DEEPBREATH_FIREFOX)';

/** @type {Awaited<ReturnType<typeof serve>>} */
let site;
/** @type {string} */
let folder;
/** @type {Firefox} */
let firefox;

before(async () => {
  if (skip) return;
  folder = mkdtempSync(path.join(tmpdir(), 'deepbreath-films-'));
  writeFileSync(path.join(folder, 'drawn.png'), phantom());
  site = await serve();
  firefox = new Firefox();
  await firefox.start();
});
after(async () => {
  await firefox?.close();
  site?.close();
  if (folder) rmSync(folder, { recursive: true });
});

/** The answer that a context shows, undefined until there is one. */
function shown() {
  const text = (/** @type {string} */ id) => document.getElementById(id)?.textContent ?? '';
  const hidden = (/** @type {string} */ id) => document.getElementById(id)?.hidden !== false;
  if (hidden('assessment') && hidden('error')) return undefined;
  const rows = /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('#findings li'));
  return {
    error: hidden('error') ? '' : text('error-message'),
    facts: text('facts'),
    call: text('call'),
    probabilities: Object.fromEntries([...rows].map(({ dataset }) => [dataset.label ?? '', Number(dataset.probability)])),
  };
}

test('Firefox answers as Chromium does, sealed as there', { skip, timeout: 300_000 }, async (context) => {
  const files = [path.join(folder, 'drawn.png'), ...Object.values(films()).filter((file) => file !== undefined)];
  const chromium = await launch();
  /** @type {{ call: string, probabilities: Record<string, number> }[]} */
  const expected = [];
  try {
    const page = await chromium.newPage();
    await page.goto(`${site.url}?backend=cpu`);
    const app = await ready(page);
    for (const file of files) expected.push(await ask(app, file));
  } finally {
    await chromium.close();
  }

  const page = await firefox.open(`${site.url}?backend=cpu`);
  await becomes(async () => (await firefox.frames(page)).length, 1);
  const [app = ''] = await firefox.frames(page);
  await becomes(() => firefox.evaluate(app, () => document.getElementById('status')?.dataset.state ?? ''), 'ready');
  for (const [index, file] of files.entries()) {
    await firefox.choose(app, '#file', file);
    await becomes(async () => (await firefox.evaluate(app, shown))?.facts.includes(path.basename(file)) ?? false, true, file);
    const answer = await firefox.evaluate(app, shown);
    assert.deepEqual([answer?.error, answer?.call], ['', expected[index]?.call]);
    assert.match(answer?.facts ?? '', /processor \(cpu\)/);
    const wanted = Object.entries(expected[index]?.probabilities ?? {});
    assert.equal(Object.keys(answer?.probabilities ?? {}).length, wanted.length);
    for (const [label, probability] of wanted) {
      const far = Math.abs((answer?.probabilities[label] ?? NaN) - probability);
      assert.ok(far < TOLERANCE, `${path.basename(file)}: ${label} differs by ${far}`);
    }
  }
  context.diagnostic(`${files.length} images, ${await firefox.evaluate(page, () => navigator.userAgent)}`);
  await becomes(() => firefox.evaluate(page, () => document.getElementById('network-state')?.textContent ?? ''), /: sealed/);
});
