// The answer: probabilities, call or none, measured rates, refusals and errors, each in words a person can read.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { crc32 } from 'node:zlib';
import { ratesOf } from '../../www/app/measured.js';
import { people, predictive } from '../../www/app/prevalence.js';
import { report } from '../../www/app/report.js';
import { dicom, drawn, films, give, NO_DATA, openApp, openFake, text, weightsMetadata } from './app.js';
import { becomes, launch, missing, phantom, png, ROOT, serve, SOURCES } from './site.js';

const DISCLAIMER = 'For education and research. Not a diagnosis.';

/** @type {Awaited<ReturnType<typeof serve>>} */
let site;
/** @type {Awaited<ReturnType<typeof serve>>} The sources, for made-up classifiers. */
let sources;
/** @type {import('playwright-core').Browser} */
let browser;
/** @type {import('playwright-core').Page} */
let page;
/** @type {import('playwright-core').Frame} */
let app;

before(async () => {
  [site, sources, browser] = [await serve(), await serve({ folder: SOURCES }), await launch()];
  page = await browser.newPage();
  app = await openApp(page, site.url);
});
after(async () => {
  await browser?.close();
  site?.close();
  sources?.close();
});

/** The findings as shown, each with its label, probability, bar and threshold. @param {import('playwright-core').Frame} app */
const findings = (app) => app.locator('#findings li').evaluateAll((rows) => rows.map((row) => {
  const inside = (/** @type {string} */ selector) => row.querySelector(selector);
  return {
    label: /** @type {HTMLElement} */ (row).dataset.label ?? '',
    probability: Number(/** @type {HTMLElement} */ (row).dataset.probability),
    shown: inside('.probability')?.textContent ?? '',
    now: Number(inside('[role=meter]')?.getAttribute('aria-valuenow')),
    bar: (inside('.bar-fill')?.getBoundingClientRect().width ?? NaN) / (inside('.bar-track')?.getBoundingClientRect().width ?? NaN),
    threshold: ((inside('.bar-mark')?.getBoundingClientRect().left ?? NaN) - (inside('.bar-track')?.getBoundingClientRect().left ?? NaN))
      / (inside('.bar-track')?.getBoundingClientRect().width ?? NaN),
    rates: inside('.rates')?.textContent ?? '',
  };
}));

/** The facts as shown. @param {import('playwright-core').Frame} app @returns {Promise<Record<string, string>>} */
const facts = (app) => app.locator('#facts').evaluate((list) => Object.fromEntries(
  [...list.querySelectorAll('dt')].map((name) => [name.textContent ?? '', name.nextElementSibling?.textContent ?? ''])));

describe('the measured rates', () => {
  const json = JSON.parse(readFileSync(path.join(ROOT, 'weights/report/report.json'), 'utf8'));

  test('report.js says what report.json says', () => {
    assert.equal(report.weights, json.protocol.weights);
    assert.equal(report.points.length, json.operating_points.length);
    for (const [index, { chosen, sensitivity, specificity }] of json.operating_points.entries()) {
      const point = report.points[index];
      assert.deepEqual([point?.name, point?.finding], [chosen.name, chosen.finding]);
      for (const key of /** @type {const} */ (['value', 'low', 'high'])) {
        assert.ok(Math.abs((point?.sensitivity[key] ?? NaN) - sensitivity[key]) < 1e-4);
        assert.ok(Math.abs((point?.specificity[key] ?? NaN) - specificity[key]) < 1e-4);
      }
    }
    assert.ok(report.data.includes(String(json.n)) && report.data.includes(String(json.patients)));
  });

  test('a report about other weights or other thresholds is not used', () => {
    const [point] = report.points.filter(({ name }) => name === 'balanced');
    assert.ok(point);
    const own = { ...point, sensitivity: 0.5, specificity: 0.6, n: 7, data: 'seven films' };
    const metadata = { operating_points: [own] };
    assert.deepEqual(ratesOf(metadata, point.finding, report.weights)?.sensitivity, point.sensitivity);
    assert.deepEqual(ratesOf(metadata, point.finding, 'other')?.sensitivity, { value: 0.5 });
    const moved = { operating_points: [{ ...own, threshold: own.threshold + 0.01 }] };
    assert.deepEqual(ratesOf(moved, point.finding, report.weights)?.data, 'seven films');
    assert.equal(ratesOf({}, point.finding, report.weights), undefined, 'nothing measured, nothing shown');
    assert.equal(ratesOf(undefined, point.finding, ''), undefined);
  });
});

test('before any film the page says what it was measured to do', async () => {
  const known = await text(app, '#known');
  for (const { name, threshold } of report.points.filter(({ name }) => name === 'balanced')) {
    assert.ok(known.includes(`Called from ${Math.round(100 * threshold)} %`), `${name} ${threshold} in ${known}`);
  }
  assert.equal(await text(app, '#disclaimer'), DISCLAIMER);
});

describe('a film of each label is answered', () => {
  for (const label of weightsMetadata().classes) {
    test(label, async (context) => {
      const film = films().find((one) => one.label === label);
      if (!film) return context.skip(missing(NO_DATA));
      await give(app, film.file);
      const shown = await findings(app);
      const metadata = weightsMetadata();
      assert.deepEqual(shown.map((finding) => finding.label), metadata.classes);
      assert.ok(Math.abs(shown.reduce((sum, { probability }) => sum + probability, 0) - 1) < 1e-4);
      await becomes(() => findings(app), (all) => all.every(({ bar, probability }) => Math.abs(bar - probability) < 0.02), 'the bars grow to their probabilities');
      const reached = [];
      for (const finding of await findings(app)) {
        assert.equal(finding.shown, `${(100 * finding.probability).toFixed(1)} %`);
        assert.ok(Math.abs(finding.now - 100 * finding.probability) < 0.051);
        const point = metadata.operating_points.find((/** @type {any} */ one) => one.name === 'balanced' && one.finding === finding.label);
        assert.ok(Math.abs(finding.threshold - point.threshold) < 0.01, `its mark at ${finding.threshold}, not ${point.threshold}`);
        assert.match(finding.rates, /^Called from \d+ %\. Sensitivity \d+ %( \(\d+ to \d+\))?, specificity \d+ %( \(\d+ to \d+\))?$/);
        if (finding.probability >= point.threshold) reached.push(finding.label);
      }
      const call = await text(app, '#call');
      if (reached.length === 1) assert.match(call, { covid: /^COVID-19$/, normal: /^Normal$/, pneumonia: /^Other pneumonia$/ }[reached[0] ?? ''] ?? /./);
      else assert.equal(call, 'No call');
      assert.equal(await text(app, '#reasons') === '', reached.length === 1, 'a reason stands where there is no call');
      assert.equal(await text(app, '#disclaimer'), DISCLAIMER);
      assert.match(await text(app, '#measured'), /95\u00a0% intervals.*another hospital/);
      const { Engine, Time, Weights } = await facts(app);
      assert.match(Engine ?? '', /cpu/);
      assert.match(Time ?? '', /^\d+ ms, of which the network \d+ ms$/);
      assert.match(Weights ?? '', /^[0-9a-f]{12}$/);
    });
  }
});

test('DICOM: how it was stored is shown, and nothing of the patient', async (context) => {
  const file = dicom('chest-rsna-mono2-jpeg-baseline.dcm');
  if (!file) return context.skip(missing(NO_DATA));
  await give(app, file);
  const shown = await facts(app);
  assert.equal(shown['Format'], 'DICOM, 8 bit grey');
  assert.equal(shown['Size'], '1024 × 1024 pixels');
  assert.equal(shown['Transfer syntax'], 'JPEG Baseline');
  assert.equal(shown['Modality'], 'CR, computed radiography');
  assert.equal(shown['Patient data'], 'not read');
  assert.ok(['front to back (AP)', 'back to front (PA)'].includes(shown['View'] ?? ''), shown['View']);
  // PatientID (0010,0020) of this public file, were it shown.
  const id = /\x10\x00\x20\x00LO..([0-9a-f-]{36})/s.exec(readFileSync(file).toString('latin1'))?.[1];
  assert.ok(id, 'the file has a patient id to hide');
  assert.ok(!(await app.content()).includes(id));
});

describe('how often a call would be right', () => {
  test('predictive values follow from the rates and the prevalence', () => {
    const rates = { sensitivity: { value: 0.9, low: 0.8, high: 1 }, specificity: { value: 0.9, low: 0.8, high: 1 } };
    const close = (/** @type {number | undefined} */ value, /** @type {number} */ expected) => assert.ok(Math.abs((value ?? NaN) - expected) < 1e-12, `${value}, not ${expected}`);
    const half = predictive(rates, 0.5);
    for (const { value, low, high } of [half.ppv, half.npv]) {
      close(value, 0.9);
      close(low, 0.8);
      close(high, 1);
    }
    const rare = predictive(rates, 0.1);
    close(rare.ppv.value, 0.5); // 90 right of 180 calls.
    close(rare.npv.value, 810 / 820);
    close(rare.ppv.low, 80 / 260);
    assert.deepEqual(Object.keys(predictive({ sensitivity: { value: 0.9 }, specificity: { value: 0.9 } }, 0.5).ppv), ['value'], 'no interval is made up');
  });

  test('the people in the picture are always a thousand', () => {
    for (let prevalence = 0.001; prevalence <= 0.95; prevalence += 0.0073) {
      for (const rate of [0, 0.333, 0.8614, 1]) {
        const counts = Object.values(people(rate, 1 - rate / 3, prevalence));
        assert.equal(counts.reduce((sum, count) => sum + count), 1000);
        assert.ok(counts.every((count) => count >= 0));
      }
    }
    assert.deepEqual(people(0.9, 0.9, 0.1), { found: 90, missed: 10, alarms: 90, spared: 810 });
  });

  test('it begins with the films of the test, and follows the slider, the number and the finding', async (context) => {
    const [film] = films();
    if (!film) return context.skip(missing(NO_DATA));
    await give(app, film.file);
    const chosen = await app.locator('[name=prevalence-finding]:checked').inputValue();
    // The number is rounded; what the page reckons with is not, unless it was typed.
    const shown = async (/** @type {string} */ label, /** @type {number | undefined} */ exact = undefined) => {
      const point = report.points.find(({ name, finding }) => name === 'balanced' && finding === label);
      assert.ok(point);
      const prevalence = Number(await app.locator('#prevalence-number').inputValue()) / 100;
      const { ppv } = predictive(point, exact ?? prevalence);
      await becomes(() => text(app, '#prevalence-ppv'), (words) => words.includes(`: ${Math.round(100 * ppv.value)} % (`), `right in ${ppv.value}`);
      return prevalence;
    };
    const known = report.prevalence[/** @type {'covid'} */ (chosen)];
    assert.ok(Math.abs(await shown(chosen, known) - known) < 0.006, 'it begins with the films of the test');
    await app.locator('#prevalence-number').fill('2');
    assert.equal(await shown(chosen), 0.02);
    await becomes(() => app.locator('#prevalence-slider').getAttribute('aria-valuetext'), '2 %');
    await becomes(() => text(app, '#prevalence-ppv'), /^Of 1000 people who are X-rayed, suppose that 20 are labelled/);
    const squares = (/** @type {string} */ kind) => app.locator(`#people-${kind}`).evaluate((path) => (path.getAttribute('d')?.match(/M/g) ?? []).length);
    await becomes(async () => await squares('found') + await squares('missed'), 20);
    await becomes(async () => await squares('alarms') + await squares('spared'), 980);
    await app.locator('#prevalence-slider').focus();
    await page.keyboard.press('ArrowRight');
    await becomes(() => app.locator('#prevalence-number').inputValue(), (value) => Number(value) > 2 && Number(value) < 3, 'a step up');
    await app.locator('#prevalence-number').fill('400');
    await app.locator('#prevalence-number').press('Tab');
    await becomes(() => app.locator('#prevalence-number').inputValue(), '95');
    const [other] = weightsMetadata().classes.filter((/** @type {string} */ label) => label !== chosen);
    await app.locator(`#prevalence-findings label:has([value="${other}"])`).click();
    await shown(other);
  });
});

test('the synthetic example needs no X-ray, and says what it is', async () => {
  await app.locator('#open-example').click();
  await app.locator('#caption', { hasText: 'synthetic' }).waitFor();
  await app.locator('#assessment:not([hidden])').waitFor();
  assert.equal((await facts(app))['File'], 'synthetic-example.bmp');
  // A refusal would show a visitor without an X-ray very little; weights that refuse it want another drawing.
  assert.ok((await findings(app)).length > 0, 'the example is refused');
});

describe('a file that cannot be read is refused in words, with a code, and the next one is answered', () => {
  /** @type {Record<string, { name: string, bytes: Buffer, code: string, title: RegExp }>} */
  const cases = {
    empty: { name: 'empty.png', bytes: Buffer.alloc(0), code: 'empty', title: /empty/ },
    text: { name: 'notes.txt', bytes: Buffer.from('not an image at all'), code: 'unknown-format', title: /no image/ },
    mislabelled: { name: 'film.dcm', bytes: Buffer.from('not an image at all'), code: 'unknown-format', title: /no image/ },
    truncated: { name: 'cut.png', bytes: phantom().subarray(0, 200), code: 'truncated', title: /missing/ },
    huge: { name: 'huge.png', bytes: headerOf(9000, 9000), code: 'too-many-pixels', title: /too large/ },
  };
  for (const [kind, { name, bytes, code, title }] of Object.entries(cases)) {
    test(kind, async () => {
      await give(app, { name, mimeType: 'image/png', buffer: bytes });
      assert.equal(await text(app, '#error-code'), code);
      assert.match(await text(app, '#error-title'), title);
      assert.ok((await text(app, '#error-message')).startsWith(`${name}: `), 'the message names the file');
      assert.equal(await app.locator('#assessment').isVisible(), false);
      assert.equal(await text(app, '#disclaimer'), DISCLAIMER);
      await becomes(() => app.locator('#announcer').innerText(), new RegExp(`No answer. ${name}: `));
      await give(app, drawn());
      assert.equal(await app.locator('#error').isVisible(), false);
    });
  }
});

describe('what the released weights never do', () => {
  const ANSWER = {
    file: 'photo.png', findings: [{ label: 'covid', probability: 0.9 }, { label: 'other', probability: 0.1 }], call: null, refused: true,
    reasons: [{ code: 'out-of-distribution', text: 'The image does not look like the frontal chest X-rays the model knows (distance 2.00, limit 1.00).' }],
    provenance: { format: 'png', notes: ['The file holds three frames; the first was read.'] },
    saliency: [{ label: 'covid', width: 1, height: 1, values: [1], peak: 2 }],
    backend: 'webgpu', timings: { decode: 1, preprocess: 1, forward: 1, explain: 1, total: 4 }, weights: '0123456789ab',
  };
  const fake = (/** @type {object} */ answer, extra = '') => `Object.assign(new EventTarget(), {
    backend: 'webgpu', ${extra}
    async preview() { return { width: 2, height: 2, grey: Uint8Array.from([0, 80, 160, 255]) }; },
    async classify() { return ${JSON.stringify(answer)}; },
  })`;

  /** @param {string} classifier @param {(app: import('playwright-core').Frame) => Promise<void>} check */
  const withFake = async (classifier, check) => {
    const other = await browser.newPage();
    try {
      const fakeApp = await openFake(other, sources.url, classifier);
      await check(fakeApp);
    } finally {
      await other.close();
    }
  };

  test('a refused image gets a whole answer: the reason, no number, no overlay', () => withFake(fake(ANSWER), async (app) => {
    await give(app, drawn('photo.png'));
    assert.match(await text(app, '#call'), /does not look like a frontal chest X-ray/);
    assert.match(await text(app, '#reasons'), /distance 2\.00/);
    assert.deepEqual(await findings(app), []);
    assert.equal(await app.locator('#saliency').isVisible(), false);
    await app.locator('#image').waitFor(); // The picture is shown all the same.
    assert.equal(await text(app, '#disclaimer'), DISCLAIMER);
    assert.match(await text(app, '#notes'), /three frames/);
    assert.equal(await app.locator('#unchecked').isVisible(), false);
  }));

  test('weights without measured rates are said to be so', () => withFake(fake({ ...ANSWER, refused: false, reasons: [], call: 'other' }), async (app) => {
    await give(app, drawn('photo.png'));
    assert.equal(await text(app, '#call'), 'Other');
    assert.match(await text(app, '#measured'), /without measured rates/);
    assert.ok((await findings(app)).every(({ rates, threshold }) => /No threshold was measured/.test(rates) && Number.isNaN(threshold)));
  }));

  test('the set of possible findings is shown with what it promises', () => {
    const open = { ...ANSWER, refused: false, reasons: [], predictionSet: ['covid', 'other'] };
    return withFake(fake(open, "weights: { conformal: { coverage: 0.9, n: 30, data: 'thirty films' } },"), async (app) => {
      await give(app, drawn('photo.png'));
      assert.equal(await text(app, '#set-labels'), 'Possible: COVID-19 or Other');
      assert.match(await text(app, '#set-meaning'), /thirty films.*90 times in 100.*another hospital nothing is promised.*cannot tell them apart/);
    });
  });

  test('without measured rates no call is valued, and without a set none is shown', () => withFake(fake({ ...ANSWER, refused: false }), async (app) => {
    await give(app, drawn('photo.png'));
    assert.equal(await app.locator('#set').isVisible(), false);
    assert.equal(await app.locator('#prevalence').isVisible(), false);
  }));

  test('an engine that was lost, and another one, are told beside the answer and to screen readers, with the reason', () => withFake(`globalThis.fake = ${fake(ANSWER)}`, async (app) => {
    const [note, log] = [app.locator('#answer #engine-note'), app.locator('#announcer')];
    assert.equal(await note.isVisible(), false);
    await give(app, drawn('photo.png'));
    for (const [type, backend, reason, told = ''] of [
      ['restart', 'webgpu', 'the device is gone', 'The graphics card answers again: it was lost and started anew (the device is gone).'],
      ['backendchange', 'cpu', 'the graphics processor failed: gone again', 'The processor answers, with the same network: the graphics processor failed: gone again.'],
    ]) {
      await app.evaluate(`fake.dispatchEvent(new CustomEvent('${type}', { detail: { backend: '${backend}', reason: '${reason}' } }))`);
      await becomes(() => note.innerText(), told);
      await log.getByText(told).waitFor({ state: 'attached' });
    }
    await give(app, drawn('next.png'));
    assert.equal(await note.isVisible(), true, 'it is so for every film from then on');
  }));

  test('a graphics processor that failed while loading is told beside the answer', () => withFake(fake(ANSWER, "fallback: true, reason: 'the graphics processor failed: it did not start',"), async (app) => {
    await becomes(() => text(app, '#answer #engine-note'), /^The processor answers.*it did not start\.$/);
    await app.locator('#announcer').getByText(/it did not start/).waitFor({ state: 'attached' });
  }));

  test('which mixture the percentages are for is said where the weights were balanced, and only beside percentages', async () => {
    const open = { ...ANSWER, refused: false, reasons: [], call: 'covid' };
    for (const [answer, offsets, said] of /** @type {[object, string, boolean][]} */ ([[open, '[0.1, -0.1]', true], [open, '[]', false], [ANSWER, '[0.1, -0.1]', false]])) {
      await withFake(fake(answer, `weights: { origin: { offsets: ${offsets} } },`), async (app) => {
        await give(app, drawn('photo.png'));
        assert.equal(await app.locator('#mixture').isVisible(), said);
        if (said) assert.match(await text(app, '#mixture'), /equal mixture of these 2 findings/);
      });
    }
  });

  test('where no finding, or more than one, reaches its threshold there is no call, and the reason says so', async () => {
    const point = (/** @type {string} */ finding, /** @type {number} */ threshold) => ({ name: 'balanced', finding, threshold, sensitivity: 0.9, specificity: 0.9, n: 9, data: 'nine films' });
    const weights = JSON.stringify({ classes: ['covid', 'normal'], operating_points: [point('covid', 0.3), point('normal', 0.6)] });
    const cases = [
      { code: 'no-finding-reached', covid: 0.25, normal: 0.55, said: 'No finding reaches its threshold.', reached: [] },
      { code: 'several-findings-reached', covid: 0.38, normal: 0.62, said: 'More than one finding reaches its threshold: COVID-19 and Normal.', reached: ['covid', 'normal'] },
    ];
    for (const { code, covid, normal, said, reached } of cases) {
      const findings = [{ label: 'covid', probability: covid }, { label: 'normal', probability: normal }];
      const answer = { ...ANSWER, findings, refused: false, call: null, reasons: [{ code, text: 'The program says it otherwise.' }] };
      await withFake(fake(answer, `weights: ${weights},`), async (app) => {
        await give(app, drawn('photo.png'));
        assert.deepEqual([await text(app, '#call-eyebrow'), await text(app, '#call'), await text(app, '#reasons')], ['Answer', 'No call', said]);
        const marked = await app.locator('#findings [data-reached=true]').evaluateAll((rows) => rows.map((row) => row instanceof HTMLElement && row.dataset.label));
        assert.deepEqual(marked, reached);
        assert.equal(await app.locator('#findings [data-called=true]').count(), 0);
        await app.locator('#announcer').getByText(/photo\.png\. Answer: No call\. COVID-19 \d+\.\d %/).waitFor({ state: 'attached' });
      });
    }
  });

  test('without a gate the page says that nothing was checked; with one it does not', async () => {
    const open = { ...ANSWER, refused: false, reasons: [], call: 'covid' };
    for (const [weights, visible] of /** @type {[string, boolean][]} */ ([['{}', true], ['{ gate: {} }', false]])) {
      await withFake(fake(open, `weights: ${weights},`), async (app) => {
        await give(app, drawn('photo.png'));
        assert.equal(await app.locator('#unchecked').isVisible(), visible);
      });
    }
  });
});

/** The start of a PNG of this size, without its pixels. @param {number} width @param {number} height */
function headerOf(width, height) {
  const bytes = Buffer.from(png(1, 1, () => 0));
  bytes.writeUInt32BE(width, 16);
  bytes.writeUInt32BE(height, 20);
  bytes.writeUInt32BE(crc32(bytes.subarray(12, 29)), 29);
  return bytes;
}
