/** Address of the weights file, beside this module; `Classifier.load({ weights })` takes it. */
export const weights = new URL('./deepbreath.safetensors', import.meta.url);
