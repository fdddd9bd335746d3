// The overlay's controls: which finding, how strong, and what the colours mean.

import { announce, element, input, make } from './dom.js';
import { evidenceColour } from './picture.js';
import { ENGLISH } from './language.js';
import { findingName } from './words.js';

/** @typedef {import('../client.js').Assessment} Assessment */
/** @typedef {Assessment['saliency'][number]} Saliency */

export class SaliencyControls {
  #root;
  #box;
  #choices;
  #opacity;
  /** @type {Saliency[]} */
  #maps = [];
  /** The finding that was looked at last: it stays chosen from film to film. */
  #chosen = '';
  #viewer;
  #words = ENGLISH;

  /** @param {import('./viewer.js').Viewer} viewer @param {import('./dom.js').Root} [root] */
  constructor(viewer, root = document) {
    this.#viewer = viewer;
    this.#root = root;
    this.#box = element('saliency', HTMLElement, root);
    this.#choices = element('saliency-findings', HTMLElement, root);
    this.#opacity = input('saliency-opacity', root);
    this.#choices.addEventListener('change', ({ target }) => {
      if (!(target instanceof HTMLInputElement)) return;
      this.#chosen = target.value;
      this.#apply();
      const map = this.#map();
      const words = this.#words;
      announce(map ? words.say('saliency.shown', { finding: findingName(map.label, words) }) : words.say('saliency.hidden'), root);
    });
    this.#opacity.addEventListener('input', () => this.#apply());
    drawLegend(element('saliency-legend', HTMLCanvasElement, root));
  }

  /** Says everything in other words. @param {import('./language.js').Words} words */
  speak(words) {
    this.#words = words;
    this.offer(this.#maps);
  }

  /** Offers the maps of an answer; none hides the controls. @param {Saliency[]} maps */
  offer(maps) {
    this.#maps = maps;
    this.#box.hidden = maps.length === 0;
    const options = [['', this.#words.say('saliency.off')], ...maps.map(({ label }) => [label, findingName(label, this.#words)])];
    const chosen = this.#map() ? this.#chosen : '';
    this.#choices.replaceChildren(...options.map(([value = '', name = '']) => {
      const radio = make('input', '');
      radio.type = 'radio';
      radio.name = 'saliency-finding';
      radio.value = value;
      radio.checked = value === chosen;
      return make('label', 'chip', radio, make('span', '', name));
    }));
    this.#apply();
  }

  #map() {
    return this.#maps.find(({ label }) => label === this.#chosen);
  }

  #apply() {
    const map = this.#map();
    element('saliency-scale', HTMLElement, this.#root).hidden = !map;
    this.#viewer.overlay(map);
    this.#viewer.opacity = this.#opacity.valueAsNumber / 100;
    if (!map) return;
    element('saliency-peak', HTMLElement, this.#root).textContent = map.peak > 0
      ? this.#words.say('saliency.peak', { peak: this.#words.number(map.peak, 1) })
      : this.#words.say('saliency.none');
  }
}

/** @param {HTMLCanvasElement} canvas */
function drawLegend(canvas) {
  const { width } = canvas;
  const pixels = new ImageData(width, 1);
  for (let x = 0; x < width; x++) {
    const [red, green, blue] = evidenceColour(x / (width - 1));
    pixels.data.set([red, green, blue, 255], 4 * x);
  }
  canvas.getContext('2d')?.putImageData(pixels, 0, 0);
}
