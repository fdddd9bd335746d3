// <deep-breath> in Firefox, under the policy of the README: from the page's own server, and from another one.

import assert from 'node:assert/strict';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Firefox, FIREFOX } from '../browser/firefox.js';
import { becomes, serve } from '../browser/site.js';
import { difference, NO_TRAINER, PACKAGE, predicted, project, TOLERANCE } from './installed.js';

/** @typedef {import('../../www/element.js').DeepBreathElement} DeepBreathElement */

const skip = FIREFOX ? false : 'skipped: no Firefox (install firefox-esr, or set DEEPBREATH_FIREFOX)';

/** @type {ReturnType<typeof project>} */
let made;
/** @type {Awaited<ReturnType<typeof serve>>} */
let site;
/** @type {Awaited<ReturnType<typeof serve>>} Another origin, as a CDN is one. */
let cdn;
/** @type {Firefox} */
let firefox;

before(async () => {
  if (skip) return;
  made = project();
  cpSync(path.join(made.folder, 'node_modules/deepbreath'), path.join(made.folder, 'deepbreath'), { recursive: true });
  [site, cdn] = await Promise.all([serve({ folder: made.folder }), serve({ folder: made.folder, headers: { 'access-control-allow-origin': '*' } })]);
  const [, own = ''] = /```text\n(script-src .*)\n```/.exec(readFileSync(path.join(PACKAGE, 'README.md'), 'utf8')) ?? [];
  const { origin } = new URL(cdn.url);
  const other = own.replace("script-src 'self'", `$& ${origin}`).replace("connect-src 'self'", `$& ${origin}`).replace("worker-src 'self'", `$& blob: ${origin}`);
  /** @param {string} policy @param {string} base */
  const page = (policy, base) => `<!doctype html><html lang="de"><head><meta charset="utf-8"><title>Gastgeber</title>
    <meta http-equiv="Content-Security-Policy" content="default-src 'none'; ${policy}"><script type="module" src="${base}deepbreath/element.js"></script></head>
    <body><deep-breath weights="${base}deepbreath.safetensors" backend="cpu"></deep-breath></body></html>`;
  writeFileSync(path.join(made.folder, 'own.html'), page(own, ''));
  writeFileSync(path.join(made.folder, 'other.html'), page(other, cdn.url));
  firefox = new Firefox();
  await firefox.start();
});
after(async () => {
  await firefox?.close();
  site?.close();
  cdn?.close();
  made?.remove();
});

/** What the element has answered or failed with; asks it first, once it can be asked. */
async function answer() {
  const element = /** @type {DeepBreathElement | null} */ (document.querySelector('deep-breath'));
  if (!element?.classify) return undefined;
  const name = new URL(location.href).searchParams.get('film') ?? '';
  try {
    const { file, findings } = await element.classify(new URL(name, document.baseURI));
    return { file, findings, words: element.shadowRoot?.getElementById('disclaimer')?.innerText };
  } catch (error) {
    return { file: String(error), findings: [] };
  }
}

for (const [kind, name] of [['from its own server', 'own.html'], ['from another server', 'other.html']]) {
  test(`the element answers in Firefox, ${kind}`, { skip, timeout: 300_000 }, async (context) => {
    const film = made.images.at(-1) ?? '';
    const page = await firefox.open(`${site.url}${name}?film=${film}`);
    await becomes(async () => (await firefox.evaluate(page, () => customElements.get('deep-breath') !== undefined)), true);
    const found = await firefox.evaluate(page, answer);
    assert.equal(found?.file, film);
    assert.equal(found?.words, 'Für Lehre und Forschung. Keine Diagnose.');
    const expected = predicted(made);
    if (!expected) return context.skip(NO_TRAINER);
    assert.ok(difference(found?.findings ?? [], expected[film]) < TOLERANCE);
  });
}
