// The film on the lightbox: what is shown is what was decoded, and every way to look at it works.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { evidenceColour, evidencePixels, greyTable, thumbnail } from '../../www/app/picture.js';
import { drawn, films, give, greyAt, NO_DATA, openApp, text } from './app.js';
import { becomes, launch, missing, serve } from './site.js';

/** Greys of the drawn film: a place in a lung and one in the body. */
const LUNG = { x: 95, y: 144, grey: 50 };
const BODY = { x: 160, y: 150, grey: 190 };

describe('pictures without a browser', () => {
  test('window and level map greys linearly around the centre', () => {
    const as = (/** @type {Partial<import('../../www/app/picture.js').Window>} */ change) =>
      [0, 100, 255].map((grey) => greyTable({ brightness: 0, contrast: 0, invert: false, ...change })[grey]);
    assert.deepEqual(as({}), [0, 100, 255]);
    assert.deepEqual(as({ invert: true }), [255, 155, 0]);
    assert.deepEqual(as({ brightness: 40 }), [51, 151, 255]);
    assert.deepEqual(as({ contrast: 100 / 3 }), [0, 72, 255]); // Half the width: twice the slope about 127.5.
  });

  test('a thumbnail averages blocks and keeps the shape', () => {
    const grey = Uint8Array.from({ length: 8 * 4 }, (_, index) => (index % 8 < 4 ? 10 : 250));
    assert.deepEqual(thumbnail({ width: 8, height: 4, grey }, 4), { width: 4, height: 2, grey: Uint8Array.from([10, 10, 250, 250, 10, 10, 250, 250]) });
    assert.deepEqual(thumbnail({ width: 8, height: 4, grey }, 99).grey, grey, 'never enlarged');
  });

  test('the scale gets lighter throughout and nothing is see-through', () => {
    let before = -1;
    for (let step = 0; step <= 100; step++) {
      const [red, green, blue] = evidenceColour(step / 100);
      const light = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
      assert.ok(light > before, `step ${step}: ${light} after ${before}`);
      before = light;
    }
    assert.equal(evidenceColour(0)[3], 0);
    assert.equal(evidenceColour(1)[3], 255);
  });

  test('a map is enlarged so that cell centres keep their values', () => {
    const pixels = evidencePixels({ width: 2, height: 2, values: [1, 0, 0, 0] }, 4);
    const alpha = (/** @type {number} */ x, /** @type {number} */ y) => pixels[4 * (4 * y + x) + 3] ?? NaN;
    assert.equal(alpha(0, 0), 255);
    assert.ok(alpha(1, 0) > alpha(2, 0) && alpha(2, 0) > alpha(3, 0));
    assert.equal(alpha(3, 3), 0);
  });
});

describe('the lightbox', () => {
  /** @type {Awaited<ReturnType<typeof serve>>} */
  let site;
  /** @type {import('playwright-core').Browser} */
  let browser;
  /** @type {import('playwright-core').Page} */
  let page;
  /** @type {import('playwright-core').Frame} */
  let app;

  before(async () => {
    site = await serve();
    browser = await launch();
    page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    app = await openApp(page, site.url);
    await give(app, drawn());
  });
  after(async () => {
    await browser?.close();
    site?.close();
  });
  beforeEach(async () => {
    await app.locator('#tool-window').click();
    await app.locator('#reset').click();
  });

  const stage = async () => {
    const box = await app.locator('#stage').boundingBox();
    assert.ok(box);
    return { ...box, middle: { x: box.x + box.width / 2, y: box.y + box.height / 2 } };
  };
  const sheet = async () => {
    const box = await app.locator('#sheet').boundingBox();
    assert.ok(box);
    return box;
  };
  /** @param {{ x: number, y: number }} by */
  const drag = async (by, /** @type {{ button?: 'left' | 'right' }} */ options = {}) => {
    const { middle } = await stage();
    await page.mouse.move(middle.x, middle.y);
    await page.mouse.down(options);
    await page.mouse.move(middle.x + by.x / 2, middle.y + by.y / 2);
    await page.mouse.move(middle.x + by.x, middle.y + by.y);
    await page.mouse.up(options);
  };

  test('shows the greys that Rust decoded, whole and in shape', async () => {
    await becomes(() => greyAt(app, LUNG.x, LUNG.y), LUNG.grey);
    await becomes(() => greyAt(app, BODY.x, BODY.y), BODY.grey);
    const [film, box] = [await sheet(), await stage()];
    assert.ok(film.width <= box.width + 1 && film.height <= box.height + 1, 'the whole film is in sight');
    assert.ok(Math.abs(film.width / film.height - 320 / 300) < 0.01, 'its shape is kept');
  });

  test('no words lie on the film, whose corners may hold a side marker', async () => {
    for (const width of [360, 1280]) {
      await page.setViewportSize({ width, height: 900 });
      for (const id of ['#caption', '#readout']) {
        await becomes(async () => {
          const [film, words] = [await sheet(), await app.locator(id).boundingBox()];
          return !!words && words.y + words.height <= film.y + 1;
        }, true, `${id} at ${width} pixels`);
      }
    }
  });

  test('dragging changes window and level, and reset brings the film back', async () => {
    await drag({ x: 0, y: -80 });
    await becomes(() => app.locator('#brightness').inputValue(), (value) => Number(value) > 10, 'upwards is brighter');
    await becomes(() => greyAt(app, LUNG.x, LUNG.y), (grey) => Number(grey) > LUNG.grey + 10, 'the film is brighter');
    await drag({ x: 120, y: 0 });
    await becomes(() => app.locator('#contrast').inputValue(), (value) => Number(value) > 10, 'to the right is more contrast');
    await becomes(() => text(app, '#readout'), /^Level \d+, width \d+$/);
    await app.locator('#reset').click();
    await becomes(() => greyAt(app, LUNG.x, LUNG.y), LUNG.grey);
    await becomes(() => text(app, '#readout'), 'Level 128, width 255');
  });

  test('sliders do the same without dragging', async () => {
    await app.locator('#brightness').fill('40');
    await becomes(() => greyAt(app, LUNG.x, LUNG.y), LUNG.grey + 51); // 40 % of half the range.
  });

  test('inverts and inverts back', async () => {
    await app.locator('#invert').click();
    await becomes(() => greyAt(app, LUNG.x, LUNG.y), 255 - LUNG.grey);
    await app.locator('#invert[aria-pressed=true]').waitFor();
    await app.locator('#invert').click();
    await becomes(() => greyAt(app, LUNG.x, LUNG.y), LUNG.grey);
  });

  test('the wheel zooms about the pointer', async () => {
    const [box, start] = [await stage(), await sheet()];
    const pointer = { x: box.middle.x + 60, y: box.middle.y + 40 };
    await page.mouse.move(pointer.x, pointer.y);
    await page.mouse.wheel(0, -400);
    await app.locator('#readout', { hasText: '×' }).waitFor();
    const film = await sheet();
    assert.ok(film.width > 1.3 * start.width);
    const at = (/** @type {typeof film} */ { x, y, width, height }) => [(pointer.x - x) / width, (pointer.y - y) / height];
    for (const [index, share] of at(film).entries()) {
      assert.ok(Math.abs(share - (at(start)[index] ?? NaN)) < 0.01, `the point under the pointer moved: ${at(start)} to ${at(film)}`);
    }
  });

  test('a zoomed film moves by the tool, the right button and Shift, and never leaves', async () => {
    const moves = [
      async () => { await app.locator('#tool-move').click(); await drag({ x: 60, y: 0 }); await app.locator('#tool-window').click(); },
      () => drag({ x: 60, y: 0 }, { button: 'right' }),
      async () => { await page.keyboard.down('Shift'); await drag({ x: 60, y: 0 }); await page.keyboard.up('Shift'); },
    ];
    for (const [index, move] of moves.entries()) {
      await app.locator('#reset').click();
      for (let step = 0; step < 4; step++) await app.locator('#zoom-in').click();
      const start = await sheet();
      await move();
      await becomes(sheet, ({ x }) => Math.abs(x - start.x - 60) < 2, `way ${index}`);
      assert.equal(await app.locator('#brightness').inputValue(), '0', 'and the greys stay');
    }
    await app.locator('#tool-move').click();
    for (let times = 0; times < 8; times++) await drag({ x: 300, y: 300 });
    const box = await stage();
    await becomes(sheet, ({ x, y }) => Math.abs(x - box.x) < 2 && Math.abs(y - box.y) < 2, 'its edge stops at the edge of the stage');
  });

  test('a click with the move tool brings its place to the middle', async () => {
    for (let step = 0; step < 5; step++) await app.locator('#zoom-in').click();
    await app.locator('#tool-move').click();
    const [{ middle }, start] = [await stage(), await sheet()];
    await page.mouse.click(middle.x + 80, middle.y - 30);
    await becomes(sheet, ({ x, y }) => Math.abs(x - start.x + 80) < 2 && Math.abs(y - start.y - 30) < 2, 'the place is in the middle');
  });

  test('a double click zooms in and out', async () => {
    const [{ middle }, start] = [await stage(), await sheet()];
    await page.mouse.dblclick(middle.x, middle.y);
    await becomes(sheet, ({ width }) => width > 2 * start.width, 'zoomed in');
    await page.mouse.dblclick(middle.x, middle.y);
    await becomes(sheet, ({ width }) => Math.abs(width - start.width) < 1, 'zoomed out');
  });

  test('keys do all of it', async () => {
    await app.locator('#stage').focus();
    const start = await sheet();
    for (let step = 0; step < 4; step++) await page.keyboard.press('+');
    await becomes(sheet, ({ width }) => width > 2 * start.width, 'zoomed in');
    const zoomed = await sheet();
    await page.keyboard.press('ArrowRight');
    await becomes(sheet, ({ x }) => x < zoomed.x - 20, 'the view goes right');
    await page.keyboard.press('-');
    await becomes(sheet, ({ width }) => width < zoomed.width, 'zoomed out');
    await page.keyboard.press('Shift+ArrowUp');
    await becomes(() => app.locator('#brightness').inputValue(), '4');
    await page.keyboard.press('Shift+ArrowRight');
    await becomes(() => app.locator('#contrast').inputValue(), '4');
    await page.keyboard.press('i');
    await app.locator('#invert[aria-pressed=true]').waitFor();
    await page.keyboard.press('m');
    await app.locator('#tool-move[aria-pressed=true]').waitFor();
    await page.keyboard.press('0');
    await becomes(sheet, start);
    await becomes(() => greyAt(app, LUNG.x, LUNG.y), LUNG.grey);
  });

  test('two fingers zoom', async () => {
    const start = await sheet();
    const { middle } = await stage();
    const client = await page.context().newCDPSession(page);
    const touch = (/** @type {'touchStart' | 'touchMove' | 'touchEnd'} */ type, /** @type {number} */ apart) => client.send('Input.dispatchTouchEvent', {
      type,
      touchPoints: type === 'touchEnd' ? [] : [{ x: middle.x - apart, y: middle.y, id: 0 }, { x: middle.x + apart, y: middle.y, id: 1 }],
    });
    await touch('touchStart', 40);
    for (const apart of [50, 60, 70, 80]) await touch('touchMove', apart);
    await touch('touchEnd', 0);
    await becomes(async () => (await sheet()).width / start.width, (ratio) => Math.abs(ratio - 2) < 0.1, 'fingers twice as far apart, the film twice as large');
    assert.equal(await app.locator('#brightness').inputValue(), '0', 'and the greys stay');
  });

  test('evidence lies over the film only on demand, as strong as asked', async (context) => {
    const [film] = films();
    if (!film) return context.skip(missing(NO_DATA));
    await give(app, film.file);
    const overlay = app.locator('#overlay');
    assert.equal(await overlay.isVisible(), false);
    const choices = app.locator('[name=saliency-finding]');
    const labels = await choices.evaluateAll((all) => all.map((one) => /** @type {HTMLInputElement} */ (one).value));
    let opaque = 0;
    for (const label of labels.filter(Boolean)) {
      await app.locator(`[name=saliency-finding][value="${label}"]`).check({ force: true });
      await overlay.waitFor();
      await becomes(() => text(app, '#saliency-peak'), /^(strongest \(logit \+\d|nothing speaks)/);
      opaque += await overlay.evaluate((canvas) => {
        const { data } = /** @type {HTMLCanvasElement} */ (canvas).getContext('2d')?.getImageData(0, 0, 224, 224) ?? { data: [] };
        return data.filter((value, index) => index % 4 === 3 && value > 200).length;
      });
    }
    assert.ok(opaque > 0, 'no finding has a position that speaks for it');
    const whole = await sheet();
    await becomes(() => overlay.boundingBox(), whole, 'the map spans the whole film');
    await app.locator('#saliency-opacity').fill('25');
    await becomes(() => overlay.evaluate((canvas) => getComputedStyle(canvas).opacity), '0.25');
    await app.locator('[name=saliency-finding][value=""]').check({ force: true });
    await overlay.waitFor({ state: 'hidden' });
    await app.locator('#saliency-scale').waitFor({ state: 'hidden' });
  });
});
