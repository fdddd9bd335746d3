// Decoding and preprocessing give the same bits natively and as wasm: generated images and real ones, by SHA-256 of the
// network's input.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { cpuModule, DATA, filmOfEachSource, NO_DATA, TRAINER } from './modules.js';
import { missing, phantom, png } from './site.js';

const PROGRAM = path.join(path.dirname(TRAINER), 'examples/input_digest');

/** @type {string} */
let folder;
/** @type {typeof import('../../www/generated/cpu/deepbreath.js')} */
let module;

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'deepbreath-'));
  module = await cpuModule();
});
after(() => rmSync(folder, { recursive: true }));

/** @param {string} file The digest of the network's input, or the code of the refusal. */
function asWasm(file) {
  try {
    return module.inputDigest(path.basename(file), readFileSync(file));
  } catch (error) {
    return /** @type {{ code?: string }} */ (error).code;
  }
}

/**
 * @param {import('node:test').TestContext} context
 * @param {string[]} files
 */
function assertEqual(context, files) {
  if (!existsSync(PROGRAM)) return context.skip(missing(`skipped: no ${PROGRAM} (set DEEPBREATH_TRAINER)`));
  const native = execFileSync(PROGRAM, files, { encoding: 'utf8' }).trim().split('\n');
  const wasm = files.map(asWasm);
  assert.deepEqual(wasm, native);
  const digests = new Set(wasm.filter((text) => /^[0-9a-f]{64}$/.test(text ?? '')));
  assert.ok(digests.size > 0, 'no file was read');
  context.diagnostic(`${files.length} files, ${digests.size} different inputs`);
}

test('generated images of many shapes', (context) => {
  /** @type {[string, Buffer][]} */
  const images = [
    ['phantom', phantom()],
    // Enlarged, of the network's size, reduced, and far from square.
    ...[[1, 1], [3, 700], [100, 80], [224, 224], [225, 223], [640, 481], [1500, 60]].map(
      ([width = 0, height = 0]) => /** @type {[string, Buffer]} */ ([
        `noise-${width}x${height}`,
        png(width, height, (x, y) => (Math.imul(x * 7919 + y * 104729 + 1, 2654435761) >>> 24) & 255),
      ]),
    ),
  ];
  assertEqual(context, images.map(([name, bytes]) => {
    const file = path.join(folder, `${name}.png`);
    writeFileSync(file, bytes);
    return file;
  }));
});

test('real films of every collection, and DICOM of every transfer syntax', (context) => {
  const dicom = path.join(DATA, 'dicom');
  const files = existsSync(dicom) ? readdirSync(dicom).filter((name) => name.endsWith('.dcm')).map((name) => path.join(dicom, name)) : [];
  files.push(...filmOfEachSource().map(({ file }) => file));
  if (files.length === 0) return context.skip(missing(NO_DATA));
  assertEqual(context, files);
});
