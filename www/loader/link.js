// Links modules that arrive as text: a browser resolves no relative import inside a blob: address, so each specifier
// becomes a placeholder here, which loader/frame.js replaces by an address, dependencies first.

/** A static import or re-export of a relative address, at the start of a line: what our modules write, nothing cleverer. */
const IMPORT = /^([ \t]*(?:import\s*|(?:import|export)\b[^'"`;()=]*?\bfrom\s*))(['"])(\.{1,2}\/[^'"]+)\2/gm;

/** @typedef {{ name: string, source: string }} Linked */

/**
 * The modules that `entry` needs, dependencies first, with placeholders `'deepbreath:NAME'` as specifiers.
 * @param {ReadonlyMap<string, string>} sources Text of each module by its path.
 * @param {string} entry
 * @returns {Linked[]}
 */
export function link(sources, entry) {
  /** @type {Map<string, Linked | undefined>} Undefined while its own imports are visited. */
  const linked = new Map();
  /** @param {string} name @param {string} importer */
  const visit = (name, importer) => {
    if (linked.has(name)) {
      if (!linked.get(name)) throw new Error(`${importer} and ${name} import each other, which cannot be linked.`);
      return;
    }
    const text = sources.get(name);
    if (text === undefined) throw new Error(`${importer} imports ${name}, which does not exist.`);
    linked.set(name, undefined);
    const source = text.replace(IMPORT, (_, before, _quote, specifier) => {
      const path = new URL(specifier, `file:///${name}`).pathname.slice(1);
      visit(path, name);
      return `${before}'deepbreath:${path}'`;
    });
    linked.delete(name); // So that it moves behind what it imports.
    linked.set(name, { name, source });
  };
  visit(entry, 'The page');
  return [...linked.values()].filter((module) => module !== undefined);
}
