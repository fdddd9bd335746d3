// Small helpers on the document.

/**
 * The element of the page with this id; that the page lacks it is a mistake of ours.
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function element(id, type) {
  const found = document.getElementById(id);
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

/** @param {string} id @returns {HTMLButtonElement} */
export const button = (id) => element(id, HTMLButtonElement);

/** @param {string} id @returns {HTMLInputElement} */
export const input = (id) => element(id, HTMLInputElement);

/**
 * Tells a screen reader; the same text twice is told twice.
 * @param {string} text
 */
export function announce(text) {
  const announcer = element('announcer', HTMLElement);
  announcer.textContent = announcer.textContent === text ? `${text}\u00a0` : text;
}

/** Lets the browser paint and take input before long work goes on. */
export function breathe() {
  return new Promise((resolve) => setTimeout(resolve));
}
