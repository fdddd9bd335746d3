// Where the programs and the worker of this package are, and fetching the weights. Each address is spelt out in full as
// `new URL('./name', import.meta.url)`, because bundlers bring along exactly what is written so.

import { DeepbreathError } from './engine.js';
import { fetchBytes } from './fetch.js';
import { ownScript } from './trusted.js';

/** @typedef {import('./worker.js').Assets} Assets */
/** @typedef {import('./worker.js').Backend} Backend */
/** @typedef {import('./worker.js').Program} Program */

/** What is said where nobody named the weights. */
export const noWeights = () => new DeepbreathError('no-weights', 'Name the weights: an address, or the file itself.');

/**
 * An address that the page gave, seen from the page.
 * @param {string} option Its name.
 * @param {string | URL} address
 */
function resolved(option, address) {
  try {
    return new URL(address, document.baseURI);
  } catch {
    throw new DeepbreathError('options', `${option}: ${address} is no address.`);
  }
}

/**
 * @param {string | URL | undefined} base
 * @returns {Record<Backend, Program>}
 */
function programs(base) {
  if (base !== undefined) {
    const folder = resolved('base', base);
    /** @param {Backend} backend @returns {Program} */
    const program = (backend) => ({
      script: new URL(`generated/${backend}/deepbreath.js`, folder).href,
      wasm: new URL(`generated/${backend}/deepbreath_bg.wasm`, folder).href,
    });
    return { cpu: program('cpu'), webgpu: program('webgpu') };
  }
  return {
    cpu: {
      script: new URL('./generated/cpu/deepbreath.js', import.meta.url).href,
      wasm: new URL('./generated/cpu/deepbreath_bg.wasm', import.meta.url).href,
    },
    webgpu: {
      script: new URL('./generated/webgpu/deepbreath.js', import.meta.url).href,
      wasm: new URL('./generated/webgpu/deepbreath_bg.wasm', import.meta.url).href,
    },
  };
}

/**
 * The programs of the package, or those that the page names.
 * @param {Pick<import('./client.js').LoadOptions, 'modules' | 'base'>} options
 * @returns {Assets['modules']}
 */
export const ownPrograms = ({ base, modules = programs(base) }) => modules;

/**
 * The weights, fetched where they are an address.
 * @param {Pick<import('./client.js').LoadOptions, 'weights' | 'signal' | 'onProgress'>} options
 * @returns {Promise<Pick<Assets, 'file' | 'weights'>>}
 */
export async function ownWeights({ weights, signal, onProgress }) {
  if (!weights) throw noWeights();
  if (weights instanceof Blob) {
    return { file: weights instanceof File ? weights.name : 'weights', weights: new Uint8Array(await weights.arrayBuffer()) };
  }
  if (weights instanceof Uint8Array || weights instanceof ArrayBuffer) {
    return { file: 'weights', weights: new Uint8Array(/** @type {ArrayLike<number>} */ (weights)) };
  }
  const address = resolved('weights', weights).href;
  const bytes = await fetchBytes(address, { signal, onProgress: (progress) => onProgress?.({ ...progress, stage: 'weights' }) });
  return { file: address.slice(address.lastIndexOf('/') + 1), weights: bytes };
}

/**
 * A worker of this page's own.
 * @param {string | URL | undefined} base
 * @returns {import('./engine.js').Host}
 */
export function ownWorker(base) {
  const address = startable(base === undefined
    ? new URL('./worker.js', import.meta.url)
    : new URL('worker.js', resolved('base', base)));
  const worker = begun(address);
  /** @type {Promise<string>} */
  const stopped = new Promise((resolve) => {
    worker.addEventListener('error', (event) => resolve(event.message || 'its files did not arrive'));
  });
  const terminate = () => {
    worker.terminate();
    if (address.protocol === 'blob:') URL.revokeObjectURL(address.href);
  };
  return { line: worker, stopped, terminate };
}

/** @param {URL} address */
function begun(address) {
  try {
    return new Worker(ownScript(address), { type: 'module' });
  } catch (error) {
    throw new DeepbreathError('worker', `The page may not start the worker: ${error}. Check its policy.`);
  }
}

/**
 * A page may start a worker of its own origin only. That of a package on another server is imported by one of its own.
 * @param {URL} address
 */
function startable(address) {
  if (!/^https?:$/.test(address.protocol) || address.origin === location.origin) return address;
  const source = `import ${JSON.stringify(address.href)};`;
  return new URL(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })));
}
