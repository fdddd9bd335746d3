// Markup and addresses of this package's own, for pages that require trusted types (`trusted-types deepbreath`).

/** @typedef {{ createHTML(text: string): string, createScriptURL(text: string): string }} Policy */

/** @type {Policy | undefined} */
let policy;

function ours() {
  /** @typedef {{ createPolicy(name: string, rules: Policy): Policy }} Factory */
  const { trustedTypes } = /** @type {{ trustedTypes?: Factory }} */ (/** @type {unknown} */ (globalThis));
  const asItIs = (/** @type {string} */ text) => text;
  return (policy ??= trustedTypes?.createPolicy('deepbreath', { createHTML: asItIs, createScriptURL: asItIs }));
}

/** Markup that is part of this package. @param {string} text */
export const ownMarkup = (text) => ours()?.createHTML(text) ?? text;

/** The address of a script of this package. @param {URL | string} address */
export const ownScript = (address) => ours()?.createScriptURL(String(address)) ?? String(address);
