// Grey planes to pixels: window and level, thumbnails, the colours of the overlay. No document here.

/** @typedef {import('../client.js').Plane} Plane */
/** @typedef {{ brightness: number, contrast: number, invert: boolean }} Window Brightness -100 to 100, contrast -33 to 100; 0 is as read. */
/** @typedef {{ width: number, height: number, grey: Uint8Array }} Thumbnail */

/** @type {Readonly<Window>} */
export const AS_READ = Object.freeze({ brightness: 0, contrast: 0, invert: false });

/**
 * Window centre and width in grey values of the decoded film, 0 to 255.
 * @param {Window} window
 */
export function windowLevel({ brightness, contrast }) {
  return { center: 127.5 - 1.275 * brightness, width: 255 * 2 ** (-contrast / (100 / 3)) };
}

/**
 * The shown grey, 0 to 255, of each grey of the film.
 * @param {Window} window
 * @returns {Uint8ClampedArray<ArrayBuffer>}
 */
export function greyTable(window) {
  const { center, width } = windowLevel(window);
  const table = new Uint8ClampedArray(256);
  for (let grey = 0; grey < 256; grey++) {
    const shown = 255 * ((grey - center) / width + 0.5);
    table[grey] = window.invert ? 255 - Math.min(255, Math.max(0, shown)) : shown;
  }
  return table;
}

/**
 * Writes a plane through a table of greys into opaque RGBA pixels.
 * @param {Uint8Array} grey
 * @param {Uint8ClampedArray} table
 * @param {Uint8ClampedArray<ArrayBufferLike>} rgba
 */
export function paint(grey, table, rgba) {
  // All three colours are alike and alpha is full, so the order of the bytes only matters for alpha.
  const alpha = new Uint8Array(new Uint32Array([1]).buffer)[0] ? 0xff000000 : 0xff;
  const spread = alpha === 0xff ? 0x01010100 : 0x00010101;
  const words = Uint32Array.from(table, (value) => value * spread + alpha);
  const pixels = new Uint32Array(rgba.buffer, rgba.byteOffset, rgba.length / 4);
  for (let index = 0; index < grey.length; index++) pixels[index] = /** @type {number} */ (words[/** @type {number} */ (grey[index])]);
}

/**
 * A plane averaged down to fit a square.
 * @param {Plane} plane
 * @param {number} side
 * @returns {Thumbnail}
 */
export function thumbnail({ width, height, grey }, side) {
  const scale = Math.min(1, side / Math.max(width, height));
  const columns = Math.max(1, Math.round(width * scale));
  const rows = Math.max(1, Math.round(height * scale));
  const small = new Uint8Array(columns * rows);
  for (let y = 0; y < rows; y++) {
    const [top, bottom] = [Math.floor((y * height) / rows), Math.max(1, Math.floor(((y + 1) * height) / rows))];
    for (let x = 0; x < columns; x++) {
      const [left, right] = [Math.floor((x * width) / columns), Math.floor(((x + 1) * width) / columns)];
      let sum = 0;
      for (let row = top; row < bottom; row++) {
        for (let column = left; column < right; column++) sum += /** @type {number} */ (grey[row * width + column]);
      }
      small[y * columns + x] = Math.round(sum / ((bottom - top) * (right - left)));
    }
  }
  return { width: columns, height: rows, grey: small };
}

/** Red, green and blue from no evidence to the strongest; lightness rises throughout, so it also reads in grey. */
const COLOURS = [
  [40, 11, 84],
  [101, 21, 110],
  [159, 42, 99],
  [212, 72, 66],
  [245, 125, 21],
  [250, 193, 39],
  [252, 255, 164],
];

/**
 * The overlay's colour of one value.
 * @param {number} value 0 to 1
 * @returns {[number, number, number, number]} Red, green, blue and alpha, 0 to 255.
 */
export function evidenceColour(value) {
  const place = Math.min(1, Math.max(0, value)) * (COLOURS.length - 1);
  const index = Math.min(COLOURS.length - 2, Math.floor(place));
  const [from, to] = [COLOURS[index] ?? [], COLOURS[index + 1] ?? []];
  const mix = (/** @type {number} */ channel) => (from[channel] ?? 0) + (place - index) * ((to[channel] ?? 0) - (from[channel] ?? 0));
  // Where nothing speaks for the finding, the film stays as it is.
  return [mix(0), mix(1), mix(2), 255 * Math.min(1, 1.5 * value)];
}

/** The colours of 256 steps from 0 to 1. */
const SHADES = new Uint8ClampedArray(Array.from({ length: 256 }, (_, step) => evidenceColour(step / 255)).flat());

/**
 * A coarse map enlarged by bilinear interpolation (cell centres at half-integers, as the library does it), in colours.
 * @param {{ width: number, height: number, values: number[] }} map
 * @param {number} side
 * @returns {Uint8ClampedArray<ArrayBuffer>} `side * side` RGBA pixels
 */
export function evidencePixels({ width, height, values }, side) {
  const pixels = new Uint8ClampedArray(4 * side * side);
  const at = (/** @type {number} */ x, /** @type {number} */ y) => values[y * width + x] ?? 0;
  /** @param {number} position @param {number} cells @returns {[number, number, number]} */
  const between = (position, cells) => {
    const place = Math.min(cells - 1, Math.max(0, ((position + 0.5) * cells) / side - 0.5));
    const low = Math.floor(place);
    return [low, Math.min(cells - 1, low + 1), place - low];
  };
  for (let y = 0; y < side; y++) {
    const [top, bottom, down] = between(y, height);
    for (let x = 0; x < side; x++) {
      const [left, right, along] = between(x, width);
      const upper = at(left, top) * (1 - along) + at(right, top) * along;
      const lower = at(left, bottom) * (1 - along) + at(right, bottom) * along;
      const shade = 4 * Math.round(255 * (upper * (1 - down) + lower * down));
      const pixel = 4 * (y * side + x);
      for (let channel = 0; channel < 4; channel++) pixels[pixel + channel] = /** @type {number} */ (SHADES[shade + channel]);
    }
  }
  return pixels;
}
