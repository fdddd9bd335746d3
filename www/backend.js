// Which engine a machine can have. The choice between those that it can have is made by timing (client.js).

/** How long the browser may take to find an adapter, in milliseconds. */
const PATIENCE = 10_000;

/**
 * Why WebGPU is out of the question here, or undefined where it may be tried.
 * @returns {Promise<string | undefined>}
 */
export async function withoutGpu() {
  const { gpu } = /** @type {{ gpu?: { requestAdapter(): Promise<any> } }} */ (navigator);
  if (!gpu) return 'this browser has no WebGPU';
  try {
    let timer;
    const late = new Promise((resolve) => (timer = setTimeout(resolve, PATIENCE, 'late')));
    const adapter = await Promise.race([gpu.requestAdapter(), late]);
    clearTimeout(timer);
    if (adapter === 'late') return `no graphics adapter was found within ${PATIENCE / 1000} seconds`;
    if (!adapter) return 'no graphics adapter is available';
    if (adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter) return 'the graphics adapter is emulated in software';
    return undefined;
  } catch {
    return 'the graphics adapter cannot be asked';
  }
}
