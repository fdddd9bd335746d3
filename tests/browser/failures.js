// A reporter of node's test runner: the files in which a test failed, one a line, for `cargo xtask test`.

/** @param {AsyncIterable<{ type: string, data: { file?: string } }>} events */
export default async function* failures(events) {
  const files = new Set();
  for await (const { type, data: { file } } of events) {
    if (type !== 'test:fail' || !file || files.has(file)) continue;
    files.add(file);
    yield `${file}\n`;
  }
}
