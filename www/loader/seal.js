// The seal: a frame without network and without origin for all code that sees a document, and workers without network
// for all code that sees an image's bytes. SECURITY.md says what each of the two can and cannot do.

/** Added to the page's own policy once everything is loaded: from then on this document reaches the network no more. */
const SEALED = [
  "default-src 'none'",
  "script-src 'wasm-unsafe-eval' blob:",
  'worker-src blob:',
  'img-src blob: data:',
  "connect-src 'none'",
  "frame-src 'none'",
  "form-action 'none'",
  "base-uri 'none'",
  // The browser reads it when it pleases, from the link in this document, which neither frame nor worker can touch.
  "manifest-src 'self'",
].join('; ');

/** @param {string} hash Of the frame's only inline script. */
const framePolicy = (hash) => [
  "default-src 'none'",
  `script-src 'sha256-${hash}' blob:`,
  'img-src blob: data:',
  "connect-src 'none'",
  "worker-src 'none'",
  "frame-src 'none'",
  "form-action 'none'",
  "base-uri 'none'",
].join('; ');

/** Closes this document's way to the network, for good. Workers that it starts from now on inherit that. */
export function seal() {
  const meta = document.createElement('meta');
  meta.httpEquiv = 'Content-Security-Policy';
  meta.content = SEALED;
  document.head.append(meta);
}

/**
 * A frame that shows `markup` and can do nothing but talk to its creator.
 * @param {string} markup An HTML document without scripts; its links to style sheets are ignored.
 * @param {string} script The text of loader/frame.js.
 * @returns {Promise<HTMLIFrameElement>}
 */
export async function sealedFrame(markup, script) {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(script));
  const hash = btoa(String.fromCharCode(...new Uint8Array(digest)));
  const inner = new DOMParser().parseFromString(markup, 'text/html');
  for (const link of inner.querySelectorAll('link')) link.remove();
  const policy = inner.createElement('meta');
  policy.httpEquiv = 'Content-Security-Policy';
  policy.content = framePolicy(hash);
  const start = inner.createElement('script');
  start.type = 'module';
  start.textContent = script;
  // The policy comes before anything that it should bind.
  inner.head.querySelector('meta[charset]')?.after(policy);
  inner.head.append(start);
  const frame = document.createElement('iframe');
  frame.setAttribute('sandbox', 'allow-scripts');
  frame.title = inner.title;
  frame.allow = 'fullscreen';
  frame.srcdoc = `<!doctype html>${inner.documentElement.outerHTML}`;
  return frame;
}

/** Addresses of the style sheets that a document links, in order. @param {string} markup */
export function styleSheets(markup) {
  const links = new DOMParser().parseFromString(markup, 'text/html').querySelectorAll('link[rel=stylesheet]');
  return Array.from(links, (link) => link.getAttribute('href') ?? '');
}
