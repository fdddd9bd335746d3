// Dark, light, or as the system: the visitor's choice, remembered on this machine and passed on to the frame.

/** Storage is shared by all pages of an origin. */
const KEY = `deepbreath ${new URL('.', document.baseURI).pathname} theme`;

/** @typedef {'system' | 'dark' | 'light'} Theme */

/** @param {unknown} value @returns {Theme} */
const known = (value) => (value === 'dark' || value === 'light' ? value : 'system');

/** @returns {Theme} */
function recall() {
  try {
    return known(localStorage.getItem(KEY));
  } catch {
    return 'system'; // Storage is off.
  }
}

/** @param {Theme} theme */
function remember(theme) {
  try {
    if (theme === 'system') localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
  } catch {
    // Storage is off: the choice holds for this visit.
  }
}

/**
 * Runs the switch of this page, if it has one, and shows what was chosen last.
 * @param {(theme: Theme) => void} [tell] Hears every later choice.
 * @returns {Theme} The choice of now.
 */
export function themeSwitch(tell = () => {}) {
  const choice = document.getElementById('theme');
  const now = recall();
  document.documentElement.dataset.theme = now;
  if (!(choice instanceof HTMLSelectElement)) return now;
  choice.value = now;
  choice.addEventListener('change', () => {
    const theme = known(choice.value);
    document.documentElement.dataset.theme = theme;
    remember(theme);
    tell(theme);
  });
  return now;
}
