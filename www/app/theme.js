// Dark, light, or as the system: chosen here, or told by the page around the frame, which can remember it.

import { element } from './dom.js';

const THEMES = ['system', 'dark', 'light'];

/** @param {string} theme */
function apply(theme) {
  const root = document.documentElement;
  if (theme === 'system') delete root.dataset.theme;
  else root.dataset.theme = theme;
  element('theme', HTMLSelectElement).value = theme;
}

/** Follows the switch, and `{ theme }` messages of the page around. */
export function followTheme() {
  const choice = element('theme', HTMLSelectElement);
  choice.addEventListener('change', () => apply(choice.value));
  addEventListener('message', ({ source, data }) => {
    const theme = /** @type {{ theme?: unknown } | null} */ (data)?.theme;
    if (source === window.parent && source !== window && typeof theme === 'string' && THEMES.includes(theme)) apply(theme);
  });
}
