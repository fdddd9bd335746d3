// The first script of the sealed frame, inline there: the policy allows its text by its hash, and nothing else but what
// it makes itself. The loader imports it too, for the worker's modules.

/**
 * Addresses of linked modules, dependencies first.
 * @param {import('./link.js').Linked[]} modules
 * @returns {Map<string, string>}
 */
export function instantiate(modules) {
  /** @type {Map<string, string>} */
  const urls = new Map();
  for (const { name, source } of modules) {
    const text = source.replace(/'deepbreath:([^']+)'/g, (_, imported) => `'${urls.get(imported)}'`);
    urls.set(name, URL.createObjectURL(new Blob([text], { type: 'text/javascript' })));
  }
  return urls;
}

/** The way to the network that no policy closes. Frames in this one have an origin of their own, so it cannot come back. */
const OPEN_ENDS = ['RTCPeerConnection', 'webkitRTCPeerConnection', 'mozRTCPeerConnection'];

if (location.href === 'about:srcdoc') {
  for (const name of OPEN_ENDS) Reflect.deleteProperty(globalThis, name);
  addEventListener('message', async ({ source, data: { modules, entry, styles, context }, ports: [port] }) => {
    if (source !== parent || !port) return;
    try {
      document.adoptedStyleSheets = await Promise.all(styles.map((/** @type {string} */ text) => new CSSStyleSheet().replace(text)));
      const { open } = await import(instantiate(modules).get(entry) ?? '');
      await open(port, context);
    } catch (error) {
      port.postMessage({ kind: 'broken', message: String(error) });
    }
  }, { once: true });
}
