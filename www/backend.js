// Which engine a machine can have. The choice between those that it can have is made by timing (client.js).

/**
 * Why WebGPU is out of the question here, or undefined where it may be tried.
 * @returns {Promise<string | undefined>}
 */
export async function withoutGpu() {
  const { gpu } = /** @type {{ gpu?: { requestAdapter(): Promise<any> } }} */ (navigator);
  if (!gpu) return 'this browser has no WebGPU';
  try {
    const adapter = await gpu.requestAdapter();
    if (!adapter) return 'no graphics adapter is available';
    if (adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter) return 'the graphics adapter is emulated in software';
    return undefined;
  } catch {
    return 'the graphics adapter cannot be asked';
  }
}
