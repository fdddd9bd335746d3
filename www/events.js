// Which events are told, for `addEventListener` and `removeEventListener`. Types only: no page fetches this.

/**
 * Something that tells events, by their names in `Events`, beside those of an `EventTarget`.
 * @template Events
 * @typedef {{
 *   addEventListener<Type extends keyof Events>(type: Type, listener: Heard<Events[Type]> | null, options?: boolean | AddEventListenerOptions): void;
 *   removeEventListener<Type extends keyof Events>(type: Type, listener: Heard<Events[Type]> | null, options?: boolean | EventListenerOptions): void;
 * }} Telling
 */

/** @template Told @typedef {((event: Told) => void) | { handleEvent(event: Told): void }} Heard */

/**
 * Events of a `Classifier`: it has to go on with another engine; the graphics processor was lost and answers again.
 * @typedef {{
 *   backendchange: CustomEvent<import('./client.js').BackendChange>,
 *   restart: CustomEvent<import('./client.js').BackendChange>,
 * }} ClassifierEventMap
 */

/**
 * Events of `<deep-breath>` and `<deep-breath-frame>`: it can answer now, it answered, it failed.
 * @typedef {{
 *   ready: CustomEvent<{ backend: import('./client.js').Backend, weights: import('./client.js').Metadata }>,
 *   assessment: CustomEvent<import('./client.js').Assessment>,
 *   error: CustomEvent<import('./client.js').DeepbreathError>,
 * }} DeepBreathEventMap
 */
