import type { DeepBreathFrameElement } from './frame-element.js';

export * from './frame-element.js';
export type { Assessment } from './client.js';

declare global {
  interface HTMLElementTagNameMap {
    'deep-breath-frame': DeepBreathFrameElement;
  }
}
