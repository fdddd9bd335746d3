// The film on the lightbox: window and level, zoom, pan, invert, overlay; by pointer, touch and keyboard.

import { announce, breathe, button, element, input } from './dom.js';
import { ENGLISH } from './language.js';
import { AS_READ, evidencePixels, greyTable, paint, windowLevel } from './picture.js';

/** @typedef {import('./picture.js').Plane} Plane */
/** @typedef {{ x: number, y: number }} Point */

/** What dragging can do. */
const TOOLS = /** @type {const} */ (['window', 'paint', 'move']);
const LARGEST_ZOOM = 12;
/** Zoom of a double click. */
const CLOSE_UP = 2.5;
/** Share of the way that an arrow key moves the film, and steps of its brightness and contrast. */
const KEY_PAN = 0.1;
const KEY_WINDOW = 4;
/** A pointer that moved less, in pixels, has clicked. */
const CLICK = 4;
/** Pixels of a side of the enlarged map; the browser smooths the rest. */
const MAP_SIDE = 224;

/** @param {number} value @param {number} low @param {number} high */
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

export class Viewer {
  #root;
  #stage;
  #sheet;
  #image;
  #overlay;
  #readout;
  #brightness;
  #contrast;
  #words = ENGLISH;
  /** Of the film. */
  #name = '';

  /** @type {Plane | undefined} */
  #plane;
  /** @type {ImageData | undefined} */
  #pixels;
  #window = { ...AS_READ };
  #zoom = 1;
  /** @type {Point} Where the film's centre lies, from the stage's centre, in pixels. */
  #place = { x: 0, y: 0 };
  /** @type {typeof TOOLS[number]} */
  #tool = 'window';
  #frame = 0;

  /** @type {Map<number, Point>} Pointers that are down. */
  #pointers = new Map();
  #travelled = 0;

  /** @type {(from: Point, to: Point) => void} Hears each stroke of the paint tool, in fractions of the film. */
  onPaint = () => {};

  /** @param {import('./dom.js').Root} [root] */
  constructor(root = document) {
    this.#root = root;
    const stage = (this.#stage = element('stage', HTMLElement, root));
    this.#sheet = element('sheet', HTMLElement, root);
    this.#image = element('image', HTMLCanvasElement, root);
    this.#overlay = element('overlay', HTMLCanvasElement, root);
    this.#readout = element('readout', HTMLElement, root);
    this.#brightness = input('brightness', root);
    this.#contrast = input('contrast', root);
    stage.addEventListener('pointerdown', (event) => this.#down(event));
    stage.addEventListener('pointermove', (event) => this.#moved(event));
    for (const end of ['pointerup', 'pointercancel']) {
      stage.addEventListener(end, (event) => this.#up(/** @type {PointerEvent} */ (event)));
    }
    stage.addEventListener('contextmenu', (event) => event.preventDefault());
    stage.addEventListener('dblclick', (event) => this.#tool === 'paint' || this.zoomTo(this.#zoom > 1 ? 1 : CLOSE_UP, this.#point(event)));
    stage.addEventListener('wheel', (event) => this.#wheel(event), { passive: false });
    stage.addEventListener('keydown', (event) => this.#key(event));
    button('zoom-in', root).addEventListener('click', () => this.zoomTo(this.#zoom * 1.4));
    button('zoom-out', root).addEventListener('click', () => this.zoomTo(this.#zoom / 1.4));
    button('invert', root).addEventListener('click', () => this.#set({ invert: !this.#window.invert }));
    button('reset', root).addEventListener('click', () => this.reset());
    for (const tool of TOOLS) button(`tool-${tool}`, root).addEventListener('click', () => this.#use(tool));
    this.#brightness.addEventListener('input', () => this.#set({ brightness: this.#brightness.valueAsNumber }));
    this.#contrast.addEventListener('input', () => this.#set({ contrast: this.#contrast.valueAsNumber }));
    this.#use('window');
    new ResizeObserver(() => this.#arrange()).observe(stage);
  }

  /**
   * Puts a film on the lightbox, as it was read.
   * @param {Plane} plane
   * @param {string} name
   */
  show(plane, name) {
    this.#plane = plane;
    this.#image.width = plane.width;
    this.#image.height = plane.height;
    this.#pixels = new ImageData(plane.width, plane.height);
    this.#name = name;
    this.#label();
    this.overlay(undefined);
    this.#stage.hidden = false;
    this.#readout.hidden = false;
    this.reset({ quiet: true });
  }

  /** Says everything in other words. @param {import('./language.js').Words} words */
  speak(words) {
    this.#words = words;
    this.#label();
    this.#tell();
  }

  #label() {
    this.#image.setAttribute('aria-label', this.empty ? this.#words.say('viewer.none') : this.#words.say('viewer.film', { file: this.#name }));
  }

  /** Whether no film is on the lightbox. */
  get empty() {
    return !this.#plane;
  }

  /** What dragging does. */
  get tool() {
    return this.#tool;
  }

  /** The film's width and height, in pixels. */
  get size() {
    return { width: this.#plane?.width ?? 1, height: this.#plane?.height ?? 1 };
  }

  /** Offers the paint tool and takes it up, or puts it away. @param {boolean} painting */
  set painting(painting) {
    button('tool-paint', this.#root).hidden = !painting;
    this.#use(painting ? 'paint' : 'window');
  }

  /** Where a pointer is, in fractions of the film. @param {MouseEvent} event */
  filmPoint(event) {
    return this.#onFilm(this.#point(event));
  }

  /** Takes the film away. */
  clear() {
    this.#plane = undefined;
    this.#pixels = undefined;
    this.#image.width = this.#image.height = 0;
    this.overlay(undefined);
    this.#stage.hidden = true;
    this.#readout.hidden = true;
  }

  /**
   * Lays a map over the film, or takes it away. The network saw the whole film squeezed to a square, so the map spans
   * the whole film, whatever its shape.
   * @param {import('../client.js').Assessment['saliency'][number] | undefined} map
   */
  overlay(map) {
    this.#overlay.hidden = !map;
    if (!map) return;
    this.#overlay.width = this.#overlay.height = MAP_SIDE;
    const picture = new ImageData(evidencePixels(map, MAP_SIDE), MAP_SIDE, MAP_SIDE);
    this.#overlay.getContext('2d')?.putImageData(picture, 0, 0);
  }

  /** @param {number} share 0 to 1 */
  set opacity(share) {
    this.#overlay.style.opacity = String(share);
  }

  /** Shows the film as it was read, whole. @param {{ quiet?: boolean }} [options] */
  reset({ quiet = false } = {}) {
    this.#zoom = 1;
    this.#place = { x: 0, y: 0 };
    this.#set(AS_READ);
    this.#arrange();
    if (!quiet) announce(this.#words.say('viewer.reset'), this.#root);
  }

  /**
   * Zooms so that the film's point under `centre` stays there.
   * @param {number} zoom 1 shows the whole film
   * @param {Point} [centre] From the stage's centre, in pixels.
   */
  zoomTo(zoom, centre = { x: 0, y: 0 }) {
    const next = clamp(zoom, 1, LARGEST_ZOOM);
    const ratio = next / this.#zoom;
    this.#place = {
      x: centre.x - (centre.x - this.#place.x) * ratio,
      y: centre.y - (centre.y - this.#place.y) * ratio,
    };
    this.#zoom = next;
    this.#arrange();
  }

  /** @param {typeof TOOLS[number]} tool */
  #use(tool) {
    this.#tool = tool;
    this.#stage.dataset.tool = tool;
    for (const one of TOOLS) button(`tool-${one}`, this.#root).setAttribute('aria-pressed', String(tool === one));
  }

  /** @param {Partial<import('./picture.js').Window>} change */
  #set(change) {
    const next = { ...this.#window, ...change };
    next.brightness = clamp(next.brightness, -100, 100);
    next.contrast = clamp(next.contrast, -33, 100);
    this.#window = next;
    this.#brightness.value = String(next.brightness);
    this.#contrast.value = String(next.contrast);
    button('invert', this.#root).setAttribute('aria-pressed', String(next.invert));
    this.#tell();
    // At most once a frame, however many events a pointer sends.
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  #draw() {
    if (!this.#plane || !this.#pixels) return;
    paint(this.#plane.grey, greyTable(this.#window), this.#pixels.data);
    this.#image.getContext('2d')?.putImageData(this.#pixels, 0, 0);
  }

  #tell() {
    const { center, width } = windowLevel(this.#window);
    const words = this.#words;
    const window = words.say('viewer.window', { center: words.number(center), width: words.number(width) });
    const zoom = this.#zoom > 1 ? ` · ${words.say('viewer.zoom', { zoom: words.number(this.#zoom, 1) })}` : '';
    this.#readout.textContent = `${window}${zoom}`;
  }

  /** Size of the whole film on the stage, in pixels. */
  #fitted() {
    const { clientWidth, clientHeight } = this.#stage;
    const { width, height } = this.#plane ?? { width: 1, height: 1 };
    const scale = Math.min(clientWidth / width, clientHeight / height);
    return { width: width * scale, height: height * scale };
  }

  #arrange() {
    if (!this.#plane) return;
    const { width, height } = this.#fitted();
    const { clientWidth, clientHeight } = this.#stage;
    // The film never leaves the stage: an edge can be pulled to the stage's edge, not further.
    const reach = { x: Math.max(0, (width * this.#zoom - clientWidth) / 2), y: Math.max(0, (height * this.#zoom - clientHeight) / 2) };
    this.#place = { x: clamp(this.#place.x, -reach.x, reach.x), y: clamp(this.#place.y, -reach.y, reach.y) };
    this.#sheet.style.width = `${width}px`;
    this.#sheet.style.height = `${height}px`;
    this.#sheet.style.setProperty('--zoom', String(this.#zoom));
    this.#sheet.style.transform = `translate(-50%, -50%) translate(${this.#place.x}px, ${this.#place.y}px) scale(${this.#zoom})`;
    this.#tell();
  }

  /** @param {Point} by In pixels. */
  #pan(by) {
    this.#place = { x: this.#place.x + by.x, y: this.#place.y + by.y };
    this.#arrange();
  }

  /** @param {Point} point From the stage's centre, in pixels. @returns {Point} In fractions of the film. */
  #onFilm({ x, y }) {
    const { width, height } = this.#fitted();
    return { x: 0.5 + (x - this.#place.x) / (width * this.#zoom), y: 0.5 + (y - this.#place.y) / (height * this.#zoom) };
  }

  /** From the stage's centre, in pixels. @param {MouseEvent} event @returns {Point} */
  #point({ clientX, clientY }) {
    const { left, top, width, height } = this.#stage.getBoundingClientRect();
    return { x: clientX - left - width / 2, y: clientY - top - height / 2 };
  }

  /** @param {PointerEvent} event */
  #down(event) {
    if (this.#pointers.size === 2) return;
    this.#stage.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, this.#point(event));
    this.#travelled = this.#pointers.size > 1 ? Infinity : 0;
  }

  /** @param {PointerEvent} event */
  #moved(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const now = this.#point(event);
    const by = { x: now.x - before.x, y: now.y - before.y };
    this.#travelled += Math.hypot(by.x, by.y);
    const other = [...this.#pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.#pointers.set(event.pointerId, now);
    if (other) {
      this.#pinch(other, before, now);
    } else if (this.#tool === 'move' || event.shiftKey || event.buttons & 6) {
      this.#pan(by);
    } else if (this.#tool === 'paint') {
      if (this.#travelled > CLICK) this.onPaint(this.#onFilm(before), this.#onFilm(now));
    } else if (this.#travelled > CLICK) {
      const { clientWidth, clientHeight } = this.#stage;
      const { brightness, contrast } = this.#window;
      this.#set({ brightness: brightness - (200 * by.y) / clientHeight, contrast: contrast + (133 * by.x) / clientWidth });
    }
  }

  /** Two fingers zoom about their middle and carry the film with it. @param {Point} still @param {Point} from @param {Point} to */
  #pinch(still, from, to) {
    const distance = (/** @type {Point} */ point) => Math.max(1, Math.hypot(point.x - still.x, point.y - still.y));
    this.#pan({ x: (to.x - from.x) / 2, y: (to.y - from.y) / 2 });
    this.zoomTo((this.#zoom * distance(to)) / distance(from), { x: (still.x + to.x) / 2, y: (still.y + to.y) / 2 });
  }

  /** @param {PointerEvent} event */
  #up(event) {
    const at = this.#pointers.get(event.pointerId);
    this.#pointers.delete(event.pointerId);
    if (at && this.#tool === 'paint' && this.#travelled <= CLICK && event.type === 'pointerup') this.onPaint(this.#onFilm(at), this.#onFilm(at));
    // Moving needs no drag: a click brings its place to the middle.
    if (at && this.#tool === 'move' && this.#travelled <= CLICK && this.#zoom > 1 && event.type === 'pointerup') {
      this.#pan({ x: -at.x, y: -at.y });
    }
  }

  /** @param {WheelEvent} event */
  #wheel(event) {
    event.preventDefault();
    const pixels = event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? event.deltaY : event.deltaY * 30;
    this.zoomTo(this.#zoom * 1.0015 ** -clamp(pixels, -300, 300), this.#point(event));
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const [x = 0, y = 0] = directions[/** @type {keyof typeof directions} */ (event.key)] ?? [];
    const { brightness, contrast, invert } = this.#window;
    if ((x || y) && event.shiftKey) {
      this.#set({ brightness: brightness - KEY_WINDOW * y, contrast: contrast + KEY_WINDOW * x });
    } else if (x || y) {
      this.#pan({ x: -x * KEY_PAN * this.#stage.clientWidth, y: -y * KEY_PAN * this.#stage.clientHeight });
    } else if (event.key === '+' || event.key === '=') {
      this.zoomTo(this.#zoom * 1.4);
    } else if (event.key === '-') {
      this.zoomTo(this.#zoom / 1.4);
    } else if (event.key === '0') {
      this.reset();
    } else if (event.key.toLowerCase() === 'i') {
      this.#set({ invert: !invert });
    } else if (event.key.toLowerCase() === 'm') {
      const plain = button('tool-paint', this.#root).hidden ? 'window' : 'paint';
      this.#use(this.#tool === 'move' ? plain : 'move');
      announce(this.#words.say(`viewer.drag-${this.#tool}`), this.#root);
    } else {
      return;
    }
    event.preventDefault();
    void breathe().then(() => event.key !== '0' && event.key.toLowerCase() !== 'm' && announce(this.#readout.textContent ?? '', this.#root));
  }
}
