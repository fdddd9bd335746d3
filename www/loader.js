// The page around the sealed frame. It fetches everything once, hands it to the frame and to the workers as bytes, closes
// its own way to the network, and from then on only starts and ends workers. No image ever comes here.

import { DeepbreathError } from './engine.js';
import { Assets } from './loader/assets.js';
import { hostOrigin, meetHost, tellStopped } from './loader/host.js';
import { link } from './loader/link.js';
import { forget, plan, remember, Starts } from './loader/machine.js';
import { Network } from './loader/network.js';
import { offerUpdate, onForget, showEngine, showFailure, showHost, showNetwork, showStarting } from './loader/panel.js';
import { seal, sealedFrame, styleSheets } from './loader/seal.js';
import { themeSwitch } from './loader/theme.js';
import { blobModule, Workers } from './loader/workers.js';

/** @typedef {import('./worker.js').Backend} Backend */
/** @typedef {import('./sealed.js').FromFrame} FromFrame */
/** @typedef {import('./sealed.js').FromLoader} FromLoader */

const WEIGHTS = 'generated/weights/deepbreath.safetensors';
/** Another network for the shortcut lab: loaded where it is asked for in the address, or was before. */
const TUTORIAL = 'generated/weights/tutorial.safetensors';
/** How long the service worker is waited for, in ms: without it the page works as well, but not without a network. */
const SERVICE_WORKER_LIMIT = 30_000;
/** Folder of the catalogues; the application has the English one. */
const WORDS = 'app/words/';

const network = new Network();

/** There will be no answer any more. @param {string} message @param {string} code */
function fail(message, code) {
  showFailure(message, code);
  tellStopped();
}

/**
 * Puts the frame into the page and the application into the frame.
 * @param {Assets} assets
 * @param {string} theme
 * @returns {Promise<MessagePort>} The frame's end speaks on it.
 */
async function openFrame(assets, theme) {
  const modules = assets.names.filter((name) => name.endsWith('.js') && !name.startsWith('generated/') && name !== 'worker.js' && (!name.startsWith(WORDS) || name === `${WORDS}en.js`));
  const [markup, script, ...sources] = await Promise.all([
    assets.text('app.html'),
    assets.text('loader/frame.js'),
    ...modules.map((name) => assets.text(name)),
  ]);
  const styles = await Promise.all(styleSheets(markup).map((name) => assets.text(name)));
  const linked = link(new Map(modules.map((name, index) => [name, sources[index] ?? ''])), 'sealed.js');
  const frame = await sealedFrame(markup, script);
  const shown = new Promise((resolve) => frame.addEventListener('load', resolve, { once: true }));
  document.getElementById('place')?.append(frame);
  await shown;
  // It cannot: the policy turns every address into an error page, which loads like any other.
  frame.addEventListener('load', () => {
    frame.remove();
    fail('The application tried to leave this page and was stopped. Reload it.', 'left');
  });
  const { port1, port2 } = new MessageChannel();
  const context = { version: assets.version, theme, words: await wordsOf(assets) };
  // The frame has no origin that could be named; it is the one that was just made, and it cannot navigate.
  frame.contentWindow?.postMessage({ modules: linked, entry: 'sealed.js', styles, context }, '*', [port2]);
  return port1;
}

/**
 * The catalogue of the language in the address, which a page around this one sets; undefined for English and for a
 * language that is not there.
 * @param {Assets} assets
 * @returns {Promise<import('./app/main.js').Context['words']>}
 */
async function wordsOf(assets) {
  const tag = new URLSearchParams(location.search).get('lang') ?? '';
  const [lang = ''] = tag.toLowerCase().split('-');
  const name = `${WORDS}${lang}.js`;
  if (lang === 'en' || !assets.names.includes(name)) return undefined;
  const catalogue = await import(blobModule(new Map([[name, await assets.text(name)]]), name));
  return { lang, texts: catalogue[lang] };
}

/** Whether this visit has the second network. @param {Assets} assets @returns {Promise<import('./sealed.js').TutorialState>} */
async function tutorialState(assets) {
  const bytes = assets.size(TUTORIAL);
  if (bytes === 0) return { state: 'absent', bytes };
  const asked = new URLSearchParams(location.search).get('lab') === 'tutorial';
  return { state: asked || await assets.kept(TUTORIAL) ? 'here' : 'elsewhere', bytes };
}

/**
 * @param {Assets} assets
 * @param {readonly Backend[]} programs
 * @param {boolean} tutorial
 * @param {(message: FromLoader) => void} tell
 * @returns {Promise<Workers>}
 */
async function openWorkers(assets, programs, tutorial, tell) {
  const names = programs.map((backend) => `generated/${backend}/deepbreath_bg.wasm`);
  const done = new Map();
  const total = [WEIGHTS, ...(tutorial ? [TUTORIAL] : []), ...names].reduce((sum, name) => sum + assets.size(name), 0);
  const bytes = (/** @type {string} */ name) => assets.bytes(name, (loaded) => {
    done.set(name, loaded);
    tell({ kind: 'progress', loaded: [...done.values()].reduce((sum, part) => sum + part, 0), total });
  });
  const scripts = new Map();
  /** @type {Partial<Record<Backend, import('./worker.js').Program>>} */
  const compiled = {};
  const [weights, second, worker] = await Promise.all([
    bytes(WEIGHTS),
    tutorial ? bytes(TUTORIAL).catch(() => undefined) : undefined, // The lab can do without: it offers to load it once more.
    assets.text('worker.js'),
    ...programs.map(async (backend, index) => {
      // Compiled here once, shared with every worker.
      const wasm = await WebAssembly.compile(await bytes(names[index] ?? ''));
      const folder = `generated/${backend}/`;
      for (const name of assets.names.filter((name) => name.startsWith(folder) && name.endsWith('.js'))) {
        scripts.set(name, await assets.text(name));
      }
      compiled[backend] = { script: blobModule(scripts, `${folder}deepbreath.js`), wasm };
    }),
  ]);
  const own = { modules: compiled, file: 'deepbreath.safetensors', weights };
  return new Workers(worker, own, second && { modules: compiled, file: 'tutorial.safetensors', weights: second });
}

/**
 * Does what the frame asks for: workers, and remembering which engine is good here.
 * @param {MessagePort} port
 * @param {Workers} workers
 * @param {Assets} assets
 * @param {import('./loader/machine.js').Plan} planned
 */
function listen(port, workers, assets, planned) {
  const tell = (/** @type {FromLoader} */ message) => port.postMessage(message);
  const starts = new Starts();
  port.addEventListener('message', ({ data, ports: [line] }) => {
    const message = /** @type {FromFrame} */ (data);
    switch (message.kind) {
      case 'spawn':
        if (!line) return;
        if (message.backend === 'webgpu') starts.begin(message.id);
        return workers.spawn(message.id, line, message.tutorial, (reason) => tell({ kind: 'stopped', id: message.id, reason }));
      case 'started':
        return starts.end(message.id);
      case 'end':
        starts.end(message.id);
        return workers.end(message.id);
      case 'settled': {
        const backend = message.backend === 'webgpu' ? 'webgpu' : 'cpu';
        const reason = String(message.reason).slice(0, 300);
        // What was asked for in the address says nothing of the machine; a failure does.
        if (planned.backend === 'auto' || (planned.backend === 'webgpu' && backend === 'cpu')) remember(backend, reason, assets.version);
        return showEngine(backend, reason || planned.reason);
      }
      case 'fetch-tutorial': {
        const address = new URL(location.href);
        address.searchParams.set('lab', 'tutorial');
        return location.assign(address);
      }
      case 'save':
        return save(message.name, message.text);
      case 'blocked':
        return network.block();
      case 'requested':
        return network.leak(message.url);
      case 'broken':
        return fail(`The page stopped: ${message.message}. Reload it.`, 'broken');
    }
  });
}

/** What may be saved: the two exports, under the names that app/main.js gives them. */
const EXPORT = /^deepbreath-\d{4}-\d\d-\d\dT\d{6}\.(csv|json)$/;

/**
 * Saves a text on the visitor's machine. The frame may not: a download could ask any server. Nor may it choose the kind
 * of the file: planted code could leave a page or a program among the downloads, to be opened later, without the seal.
 * @param {unknown} name
 * @param {unknown} text
 */
function save(name, text) {
  const [, ending] = EXPORT.exec(String(name)) ?? [];
  if (!ending) return;
  const href = URL.createObjectURL(new Blob([String(text)], { type: ending === 'csv' ? 'text/csv' : 'application/json' }));
  Object.assign(document.createElement('a'), { href, download: String(name) }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}

async function main() {
  // The frame can reach it as `parent.opener`, and a message to it would be no request.
  globalThis.opener = null;
  network.watch();
  showNetwork(network);
  onForget(async () => {
    forget();
    await Assets.forget();
  });
  if (!globalThis.isSecureContext || !globalThis.WebAssembly) {
    throw new DeepbreathError('insecure', 'This page needs WebAssembly and a secure address: https, or http://localhost.');
  }
  const registered = Promise.race([
    navigator.serviceWorker?.register('sw.js').catch(() => undefined),
    new Promise((resolve) => { setTimeout(resolve, SERVICE_WORKER_LIMIT); }),
  ]);
  const assets = await Assets.open(network);
  // Without a service worker between, the list has just come from the server.
  const outdated = Promise.resolve(navigator.serviceWorker?.controller ? assets.outdated() : false);
  // Also where the start fails: the other build may be the one that works.
  void outdated.then((found) => {
    if (!found) return;
    offerUpdate(async () => {
      await assets.accept();
      location.reload();
    });
  });
  const built = new Set(/** @type {Backend[]} */ (['cpu', 'webgpu']).filter((backend) => assets.size(`generated/${backend}/deepbreath_bg.wasm`)));
  let passOn = (/** @type {import('./loader/theme.js').Theme} */ _) => {};
  const theme = themeSwitch((chosen) => passOn(chosen));
  const [planned, tutorial, port] = await Promise.all([plan(built, assets.version), tutorialState(assets), openFrame(assets, theme)]);
  document.getElementById('starting')?.remove();
  const tell = (/** @type {FromLoader} */ message) => port.postMessage(message);
  passOn = (theme) => tell({ kind: 'theme', theme });
  network.addEventListener('change', () => tell({ kind: 'network', state: network.state }));
  const host = hostOrigin();
  if (host) {
    showHost(host);
    meetHost(host, (line) => port.postMessage({ kind: 'host' }, [line]));
  }
  let workers;
  try {
    workers = await openWorkers(assets, planned.programs, tutorial.state === 'here', tell);
    await Promise.all([registered, outdated, assets.keep()]);
  } catch (error) {
    const { code = 'internal', message } = /** @type {Error & { code?: string }} */ (error);
    return tell({ kind: 'failed', code, message });
  }
  listen(port, workers, assets, planned);
  port.start();
  seal();
  network.seal();
  const missing = tutorial.state === 'here' && !workers.tutorial;
  tell({ kind: 'loaded', backend: planned.backend, tutorial: missing ? { ...tutorial, state: 'elsewhere' } : tutorial });
}

try {
  showStarting('Loading');
  await main();
} catch (error) {
  const { code = 'internal', message } = /** @type {Error & { code?: string }} */ (error);
  fail(message, code);
}
