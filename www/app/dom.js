// Small helpers on the document, or on the shadow tree of a <deep-breath>.

/** @typedef {Document | ShadowRoot} Root */

/**
 * The element of the page with this id; that the page lacks it is a mistake of ours.
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} type
 * @param {Root} [root]
 * @returns {T}
 */
export function element(id, type, root = document) {
  const found = root.getElementById(id);
  if (!(found instanceof type)) throw new Error(`The page has no ${type.name} with id ${id}.`);
  return found;
}

/**
 * A new element with text or children.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {string} className
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

/** The text with names such as COVID-19 kept on one line. @param {string} text @returns {(string | Node)[]} */
export const unbroken = (text) => text.split(/(\p{L}+-\d+)/u).map((part, index) => (index % 2 ? make('span', 'unbroken', part) : part));

/** @param {string} id @param {Root} [root] @returns {HTMLButtonElement} */
export const button = (id, root) => element(id, HTMLButtonElement, root);

/** @param {string} id @param {Root} [root] @returns {HTMLInputElement} */
export const input = (id, root) => element(id, HTMLInputElement, root);

/** Messages that stay in the log, so that one is not lost to the next. */
const KEPT_MESSAGES = 5;

/**
 * Tells a screen reader.
 * @param {string | (string | Node)[]} text
 * @param {Root} [root]
 */
export function announce(text, root) {
  const log = element('announcer', HTMLElement, root);
  log.append(make('p', '', ...[text].flat()));
  while (log.childElementCount > KEPT_MESSAGES) log.firstElementChild?.remove();
}

/** Lets the browser paint and take input before long work goes on. */
export function breathe() {
  return new Promise((resolve) => setTimeout(resolve));
}
