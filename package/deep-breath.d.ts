import type { DeepBreathElement } from './element.js';
import type { DeepBreathEventMap } from './events.js';

export * from './element.js';
export type { OwnWords } from './app/words/en.js';

declare global {
  interface HTMLElementTagNameMap {
    'deep-breath': DeepBreathElement;
  }
  /** They bubble, so that the document hears them as well. */
  interface GlobalEventHandlersEventMap {
    /** An answer of a `<deep-breath>`. */
    assessment: DeepBreathEventMap['assessment'];
    /** A `<deep-breath>` can answer now. */
    ready: DeepBreathEventMap['ready'];
  }
}
