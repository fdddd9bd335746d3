import type { Assessment, Backend, Metadata } from './client.js';
import type { DeepBreathElement } from './element.js';

export * from './element.js';

declare global {
  interface HTMLElementTagNameMap {
    'deep-breath': DeepBreathElement;
  }
  interface HTMLElementEventMap {
    /** An answer of a `<deep-breath>`. */
    assessment: CustomEvent<Assessment>;
    /** A `<deep-breath>` can answer now. */
    ready: CustomEvent<{ backend: Backend; weights: Metadata }>;
  }
}
