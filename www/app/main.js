// The document in the sealed frame: file in, assessment out. Everything else is behind client.js.

import { DeepbreathError } from '../client.js';

/** @typedef {import('../client.js').Assessment} Assessment */
/** @typedef {import('../client.js').Classifier} Classifier */
/** @typedef {import('../client.js').Progress} Progress */
/** @typedef {{ version?: string, network?: EventTarget | undefined, example?: Blob | undefined }} Context */

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
function element(id, type) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`The page has no ${type.name} with id ${id}.`);
  return found;
}

const status = element('status', HTMLElement);
const drop = element('drop', HTMLElement);
const input = element('file', HTMLInputElement);
const canvas = element('image', HTMLCanvasElement);
const overlay = element('overlay', HTMLCanvasElement);
const saliencyBox = element('saliency', HTMLElement);
const saliencyFinding = element('saliency-finding', HTMLSelectElement);
const saliencyOpacity = element('saliency-opacity', HTMLInputElement);
const invitation = element('invitation', HTMLElement);
const caption = element('caption', HTMLElement);
const waiting = element('waiting', HTMLElement);
const errorBox = element('error', HTMLElement);
const result = element('assessment', HTMLElement);

/** @param {'loading' | 'ready' | 'working' | 'failed'} state @param {string} text */
function setStatus(state, text) {
  status.dataset.state = state;
  status.textContent = text;
}

/** @param {unknown} error */
function showError(error) {
  const known = error instanceof DeepbreathError;
  element('error-message', HTMLElement).textContent = error instanceof Error ? error.message : String(error);
  element('error-code', HTMLElement).textContent = known ? error.code : 'internal';
  waiting.hidden = true;
  result.hidden = true;
  errorBox.hidden = false;
}

/** @param {number} probability */
const percent = (probability) => `${(100 * probability).toFixed(1)} %`;

/** @param {string} name */
const sentence = (name) => name.charAt(0).toUpperCase() + name.slice(1);

/** @param {Assessment} assessment */
function showAssessment(assessment) {
  const { call, refused, timings } = assessment;
  element('call', HTMLElement).textContent = refused ? 'Refused' : call ? sentence(call) : 'No call';
  element('notes', HTMLElement).replaceChildren(...assessment.provenance.notes.map((note) => item('li', note)));
  element('reasons', HTMLElement).replaceChildren(...assessment.reasons.map(({ text }) => item('li', text)));
  // The probabilities of a refused image mean nothing, so they are not shown.
  const findings = assessment.refused ? [] : assessment.findings;
  element('findings', HTMLElement).replaceChildren(...findings.map(({ label, probability }) => {
    const bar = document.createElement('progress');
    bar.max = 1;
    bar.value = probability;
    bar.setAttribute('aria-label', `Probability of ${label}`);
    const row = document.createElement('li');
    row.dataset.label = label;
    row.dataset.probability = String(probability);
    row.append(item('span', sentence(label), 'label'), item('span', percent(probability), 'probability'), bar);
    return row;
  }));
  const facts = {
    File: `${assessment.file} (${assessment.provenance.format})`,
    Engine: assessment.backend,
    Time: `${Math.round(timings.total)} ms, of which the network ${Math.round(timings.forward)} ms`,
    Weights: assessment.weights,
  };
  showSaliency(refused ? [] : assessment.saliency);
  element('facts', HTMLElement).replaceChildren(
    ...Object.entries(facts).flatMap(([name, value]) => [item('dt', name), item('dd', value)]),
  );
  waiting.hidden = true;
  errorBox.hidden = true;
  result.hidden = false;
}

/** @param {string} tag @param {string} text @param {string} [className] */
function item(tag, text, className = '') {
  const node = document.createElement(tag);
  node.textContent = text;
  node.className = className;
  return node;
}

/** @param {string} name @param {import('../client.js').Plane} plane */
function showImage(name, { width, height, grey }) {
  canvas.width = width;
  canvas.height = height;
  const picture = new ImageData(width, height);
  grey.forEach((value, index) => picture.data.set([value, value, value, 255], 4 * index));
  canvas.getContext('2d')?.putImageData(picture, 0, 0);
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('aria-label', `The image ${name}, as the classifier read it`);
  caption.textContent = `${name}, as the classifier read it. Choose or drop another image to go on.`;
  canvas.hidden = false;
  caption.hidden = false;
  invitation.hidden = true;
}

/** @type {Assessment['saliency']} */
let maps = [];

/** Offers the maps, none of them drawn. @param {Assessment['saliency']} saliency */
function showSaliency(saliency) {
  maps = saliency;
  saliencyFinding.replaceChildren(new Option('nothing', ''), ...maps.map(({ label }) => new Option(sentence(label), label)));
  saliencyBox.hidden = maps.length === 0;
  drawSaliency();
}

/** Draws the chosen map over the image. */
function drawSaliency() {
  const map = maps.find(({ label }) => label === saliencyFinding.value);
  overlay.hidden = !map;
  saliencyOpacity.disabled = !map;
  overlay.style.opacity = `${saliencyOpacity.value}%`;
  const pen = overlay.getContext('2d');
  if (!map || !pen) return;
  const grid = new ImageData(map.width, map.height);
  map.values.forEach((value, index) => grid.data.set([255, 140, 40, 255 * value], 4 * index));
  const small = new OffscreenCanvas(map.width, map.height);
  small.getContext('2d')?.putImageData(grid, 0, 0);
  // The network sees the whole image squeezed to a square, so the grid spans the whole image, whatever its shape.
  [overlay.width, overlay.height] = [canvas.width, canvas.height];
  pen.imageSmoothingQuality = 'high';
  pen.drawImage(small, 0, 0, overlay.width, overlay.height);
}

function clear() {
  showSaliency([]);
  element('notes', HTMLElement).replaceChildren();
  canvas.hidden = true;
  caption.hidden = true;
  invitation.hidden = false;
  result.hidden = true;
  errorBox.hidden = true;
  waiting.hidden = false;
}

/** @type {Classifier | undefined} */
let classifier;
let current = new AbortController();

/** @param {File} file */
async function assess(file) {
  if (!classifier) return;
  current.abort();
  const { signal } = (current = new AbortController());
  clear();
  setStatus('working', `Reading ${file.name}`);
  try {
    showImage(file.name, await classifier.preview(file, { signal }));
    showAssessment(await classifier.classify(file, { saliency: true, signal }));
  } catch (error) {
    if (signal.aborted) return;
    showError(error);
  }
  setStatus('ready', 'Ready');
}

input.addEventListener('change', () => {
  const file = input.files?.[0];
  if (file) void assess(file);
  input.value = ''; // So that the same file can be chosen again.
});

saliencyFinding.addEventListener('change', drawSaliency);
saliencyOpacity.addEventListener('input', drawSaliency);

// A drop anywhere on the page counts: a miss must not make the browser open the file instead.
addEventListener('dragover', (event) => {
  event.preventDefault();
  drop.classList.add('over');
});
addEventListener('dragleave', (event) => {
  if (!event.relatedTarget) drop.classList.remove('over');
});
addEventListener('drop', (event) => {
  event.preventDefault();
  drop.classList.remove('over');
  const file = event.dataTransfer?.files[0];
  if (file) void assess(file);
});

/**
 * Begins: loads the classifier, then takes files.
 * @param {(onProgress: (progress: Progress) => void) => Promise<Classifier>} load
 * @param {Context} _context
 */
export async function start(load, _context = {}) {
  try {
    setStatus('loading', 'Loading weights');
    classifier = await load(({ loaded, total }) => {
      const done = total ? `${Math.floor((100 * Math.min(loaded, total)) / total)} %` : `${(loaded / 1e6).toFixed(1)} MB`;
      setStatus('loading', `Loading weights: ${done}`);
    });
    input.disabled = false;
    setStatus('ready', 'Ready');
  } catch (error) {
    setStatus('failed', 'Not ready');
    showError(error);
  }
}
