// Which language a page means an element to have.

/** Its own `lang`, or that of the nearest element around it; English where nobody says. @param {Element} element */
export function languageOf(element) {
  for (let node = element, up; ; node = up) {
    const lang = node.getAttribute('lang');
    if (lang !== null) return lang;
    const root = node.getRootNode();
    up = node.parentElement ?? (root instanceof ShadowRoot ? root.host : undefined);
    if (!up) return 'en';
  }
}
