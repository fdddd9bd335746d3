// The package as its users have it, in the node_modules of a project of their own (pack.test.js sees to it that npm packs
// all of the folder), and what the trainer answers for the
// images that they ask about.

import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DATA, NO_DATA, TRAINER, WEIGHTS } from '../browser/modules.js';
import { missing, phantom, ROOT } from '../browser/site.js';

/** The folder that `cargo xtask package` writes. */
export const PACKAGE = process.env.DEEPBREATH_PACKAGE || path.join(ROOT, 'target/package');

/** The folder of the package of the weights, beside it. */
export const WEIGHTS_PACKAGE = path.join(path.dirname(PACKAGE), 'package-weights');

/** What the trainer and the package may differ by: other rounding of the same sums. */
export const TOLERANCE = 1e-3;

/**
 * A project with the packed packages in its node_modules, weights and images.
 * @returns {{ folder: string, images: string[], remove(): void }} `images` are names of files in the folder.
 */
export function project() {
  if (!existsSync(PACKAGE)) throw new Error(`There is no ${PACKAGE}: run \`cargo xtask package\`, or set DEEPBREATH_PACKAGE.`);
  const folder = mkdtempSync(path.join(tmpdir(), 'deepbreath-package-'));
  cpSync(PACKAGE, path.join(folder, 'node_modules/deepbreath'), { recursive: true });
  cpSync(WEIGHTS_PACKAGE, path.join(folder, 'node_modules/deepbreath-weights'), { recursive: true });
  writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  copyFileSync(WEIGHTS, path.join(folder, 'deepbreath.safetensors'));
  const images = ['drawn.png'];
  writeFileSync(path.join(folder, 'drawn.png'), phantom());
  const film = path.join(DATA, 'dicom/chest-rsna-mono2-jpeg-baseline.dcm');
  if (existsSync(film)) {
    copyFileSync(film, path.join(folder, 'film.dcm'));
    images.push('film.dcm');
  } else missing(NO_DATA);
  return { folder, images, remove: () => rmSync(folder, { recursive: true }) };
}

/**
 * The trainer's probabilities for images of a project; undefined without a trainer.
 * @param {{ folder: string, images: string[] }} project
 * @returns {Record<string, Record<string, number>> | undefined}
 */
export function predicted({ folder, images }) {
  if (!existsSync(TRAINER)) {
    missing(NO_TRAINER);
    return undefined;
  }
  const lines = execFileSync(TRAINER, ['predict', '--json', '--weights', 'deepbreath.safetensors', ...images], { cwd: folder, encoding: 'utf8' });
  return Object.fromEntries(lines.trim().split('\n').map((line) => JSON.parse(line)).map(({ file, probabilities }) => [path.basename(file), probabilities]));
}

/** What a skipped comparison says. */
export const NO_TRAINER = 'skipped: no trainer to compare with (set DEEPBREATH_TRAINER)';

/**
 * How far the package's findings are from the trainer's, at most.
 * @param {{ label: string, probability: number }[]} findings
 * @param {Record<string, number> | undefined} expected
 */
export function difference(findings, expected) {
  if (!expected || findings.length !== Object.keys(expected).length) return Infinity;
  return Math.max(...findings.map(({ label, probability }) => Math.abs(probability - (expected[label] ?? Infinity))));
}
