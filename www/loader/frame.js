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

/**
 * The way to the network that no policy closes, and whatever could keep something for a later visit or tell another page:
 * without an origin the frame has no storage, but that is one browser's word. Frames in this one have an origin of their
 * own, so they cannot give it back. worker.js does the same.
 */
const OPEN_ENDS = {
  scope: ['RTCPeerConnection', 'webkitRTCPeerConnection', 'mozRTCPeerConnection', 'caches', 'indexedDB', 'localStorage', 'sessionStorage',
    'cookieStore', 'BroadcastChannel', 'Worker', 'SharedWorker', 'Notification', 'webkitRequestFileSystem', 'webkitResolveLocalFileSystemURL'],
  navigator: ['storage', 'storageBuckets', 'locks', 'serviceWorker', 'usb', 'hid', 'serial'],
};

/** @param {object} owner @param {string[]} names */
function shut(owner, names) {
  for (const name of names) {
    for (let holder = /** @type {object | null} */ (owner); holder; holder = Reflect.getPrototypeOf(holder)) Reflect.deleteProperty(holder, name);
    Reflect.defineProperty(owner, name, { value: undefined });
  }
}

if (location.href === 'about:srcdoc') {
  shut(globalThis, OPEN_ENDS.scope);
  shut(navigator, OPEN_ENDS.navigator);
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
