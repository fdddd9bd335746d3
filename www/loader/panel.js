// The bar's panel: what was fetched, that nothing is requested since, which engine answers, what is kept here.

/** @typedef {import('./network.js').Network} Network */

/** @param {string} id */
function element(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`The page has no element with id ${id}.`);
  return found;
}

/** @param {number} bytes */
function size(bytes) {
  return bytes < 1e5 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(2)} MB`;
}

/** Shows and refreshes the list of requests. @param {Network} network */
export function showNetwork(network) {
  let due = false;
  const draw = () => {
    due = false;
    const { entries, sealed, since, blocked } = network.state;
    const state = since.length ? 'open' : sealed ? 'sealed' : 'loading';
    element('network').dataset.state = state;
    element('network-state').textContent = { open: 'Internet: NOT sealed off', sealed: 'Internet: sealed off', loading: 'Internet: loading' }[state];
    const sum = (/** @type {string} */ from) => entries.filter((entry) => entry.from === from).reduce((total, { bytes }) => total + bytes, 0);
    element('network-loaded').textContent = `${entries.length} files: ${size(sum('network'))} from the network, ${size(sum('this machine'))} from this machine.`;
    element('network-since').textContent = sealed
      ? `${since.length} requests${since.length ? `: ${since.join(', ')}` : ''}. Attempts that the browser blocked: ${blocked}.`
      : 'Not sealed yet: the page is loading.';
    element('network-files').replaceChildren(...entries.map(({ name, bytes, from }) => {
      const row = document.createElement('tr');
      for (const text of [name, size(bytes), from]) row.insertCell().textContent = text;
      return row;
    }));
  };
  network.addEventListener('change', () => {
    if (due) return;
    due = true;
    requestAnimationFrame(draw);
  });
  draw();
}

/** @param {string} backend @param {string} reason */
export function showEngine(backend, reason) {
  const name = backend === 'webgpu' ? 'Graphics processor (WebGPU)' : 'Processor (CPU)';
  element('engine').textContent = reason ? `${name}: ${reason}.` : `${name}.`;
}

/** @param {() => Promise<void>} forget */
export function onForget(forget) {
  element('forget').addEventListener('click', async () => {
    await forget();
    element('forget').textContent = 'Forgotten. The next visit loads and measures again.';
  });
}

/** @param {() => Promise<void>} accept */
export function offerUpdate(accept) {
  const button = element('update');
  button.hidden = false;
  button.addEventListener('click', accept);
}

/** Says why there is no page. @param {string} message @param {string} code */
export function showFailure(message, code) {
  const box = element('failure');
  box.replaceChildren(message, ' ', Object.assign(document.createElement('code'), { textContent: code }));
  box.hidden = false;
  document.getElementById('starting')?.remove();
}

/** @param {string} text */
export function showStarting(text) {
  element('starting').textContent = text;
}

/** Says who else learns the answers. @param {string} origin */
export function showHost(origin) {
  const line = document.createElement('p');
  line.className = 'host';
  line.textContent = `This reader is part of a page of ${origin}, which is told the answers, but no image.`;
  document.querySelector('header')?.after(line);
}
