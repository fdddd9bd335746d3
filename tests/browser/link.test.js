// The linker of the sealed frame's modules.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { link } from '../../www/loader/link.js';

/** @param {Record<string, string>} sources @param {string} entry */
const linked = (sources, entry) => link(new Map(Object.entries(sources)), entry);

test('dependencies come first, each once, under their own paths', () => {
  const modules = linked({
    'main.js': "import { a } from './app/a.js';\nimport b from './app/b.js';\nimport './side.js';\n",
    'app/a.js': "export { c } from '../c.js';\nexport const a = 1;",
    'app/b.js': 'import {\n  c,\n  d,\n} from "../c.js";\nexport default c;',
    'c.js': 'export const c = 1;',
    'side.js': '',
    'unused.js': "import './nothing.js';",
  }, 'main.js');
  assert.deepEqual(modules.map(({ name }) => name), ['c.js', 'app/a.js', 'app/b.js', 'side.js', 'main.js']);
  assert.equal(modules.at(-1)?.source, "import { a } from 'deepbreath:app/a.js';\nimport b from 'deepbreath:app/b.js';\nimport 'deepbreath:side.js';\n");
  assert.match(modules[2]?.source ?? '', /d,\n} from 'deepbreath:c.js';/);
});

test('comments, strings, types and dynamic imports are left alone', () => {
  const source = [
    "/** @typedef {import('./types.js').Type} Type */",
    "// import './comment.js';",
    "const text = \"import './text.js'\";",
    "export function load() { return import('./later.js'); }",
    "export const path = './data.js';",
  ].join('\n');
  assert.deepEqual(linked({ 'main.js': source }, 'main.js'), [{ name: 'main.js', source }]);
});

test('what cannot be linked is said', () => {
  assert.throws(() => linked({ 'a.js': "import './b.js';", 'b.js': "import './a.js';" }, 'a.js'), /b\.js and a\.js import each other/);
  assert.throws(() => linked({ 'a.js': "import './b.js';" }, 'a.js'), /a\.js imports b\.js, which does not exist/);
});
