// What one film asks of the graphics processor: the programs it runs, and how often.

import { GPU_ARGUMENTS } from './modules.js';
import { launch, serve } from './site.js';

/** Put before the worker's script: notes every dispatch with the entry point of its program and its workgroups. */
const LISTENER = `
  globalThis.dispatches = [];
  {
    const programs = new WeakMap();
    for (const name of ['createComputePipeline', 'createComputePipelineAsync']) {
      const create = GPUDevice.prototype[name];
      GPUDevice.prototype[name] = function (descriptor) {
        const made = create.call(this, descriptor);
        const note = (pipeline) => programs.set(pipeline, descriptor.label || descriptor.compute.entryPoint || 'unnamed');
        made instanceof Promise ? made.then(note, () => {}) : note(made);
        return made;
      };
    }
    let current;
    const pass = GPUComputePassEncoder.prototype;
    const { setPipeline, dispatchWorkgroups, dispatchWorkgroupsIndirect } = pass;
    pass.setPipeline = function (pipeline) {
      current = programs.get(pipeline);
      return setPipeline.call(this, pipeline);
    };
    pass.dispatchWorkgroups = function (...groups) {
      dispatches.push({ program: current, groups: groups.join(' x ') });
      return dispatchWorkgroups.apply(this, groups);
    };
    pass.dispatchWorkgroupsIndirect = function (...given) {
      dispatches.push({ program: current, groups: 'as computed' });
      return dispatchWorkgroupsIndirect.apply(this, given);
    };
  }
`;

/**
 * The dispatches of one film, in order, once everything is loaded and warm.
 * @param {string} folder The page that `cargo xtask bench` writes.
 * @returns {Promise<{ program: string, groups: string }[]>}
 */
export async function dispatches(folder) {
  const change = (/** @type {string} */ name, /** @type {Buffer} */ bytes) =>
    name.endsWith('worker.js') ? Buffer.concat([Buffer.from(LISTENER), bytes]) : bytes;
  const [browser, site] = [await launch(GPU_ARGUMENTS), await serve({ folder, change })];
  try {
    const page = await browser.newPage();
    await page.goto(`${site.url}?backend=webgpu`);
    await page.evaluate(async () => {
      const { __bench } = /** @type {any} */ (window);
      await __bench.ready();
    });
    const [worker] = page.workers();
    if (!worker) throw new Error('the page has no worker');
    await worker.evaluate('dispatches.length = 0');
    await page.evaluate(async () => {
      const { __bench } = /** @type {any} */ (window);
      await __bench.predict(new Float32Array(3 * 224 * 224).map((_, index) => Math.sin(index)));
    });
    return await worker.evaluate('dispatches');
  } finally {
    await browser.close();
    site.close();
  }
}
