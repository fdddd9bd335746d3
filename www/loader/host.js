// A page around this one that asked for answers: `?host=ORIGIN` in the address. It gets a line straight to the sealed frame;
// nothing that passes there comes by here.

/** The origin that is to hear answers; undefined where nobody asked, or nobody is around. */
export function hostOrigin() {
  const asked = new URLSearchParams(location.search).get('host');
  return asked && parent !== window && URL.canParse(asked) ? new URL(asked).origin : undefined;
}

/** Tells the page around that this one has stopped for good; why, is shown here. */
export function tellStopped() {
  const origin = hostOrigin();
  if (origin) parent.postMessage({ deepbreath: 'stopped' }, origin);
}

/**
 * Greets the page around. A page of another origin hears nothing, and is not heard.
 * @param {string} origin
 * @param {(line: MessagePort) => void} pass Gets its line.
 */
export function meetHost(origin, pass) {
  addEventListener('message', (event) => {
    const [line] = event.ports;
    if (event.source === parent && event.origin === origin && event.data?.deepbreath === 'line' && line) pass(line);
  });
  parent.postMessage({ deepbreath: 'hello' }, origin);
}
