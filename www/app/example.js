// A film that shows nobody: drawn from formulas, with SYNTHETIC written on it, so that a visitor without an X-ray can
// see how the page works. It is no test of the network.

import { breathe } from './dom.js';

const WIDTH = 512;
const HEIGHT = 560;
/** Rows between two pauses, so that drawing never holds up the page. */
const STRIP = 40;

/** Letters of 5 by 7 dots, a row a string. @type {Record<string, string[]>} */
const LETTERS = {
  S: [' ####', '#    ', '#    ', ' ### ', '    #', '    #', '#### '],
  Y: ['#   #', '#   #', ' # # ', '  #  ', '  #  ', '  #  ', '  #  '],
  N: ['#   #', '##  #', '##  #', '# # #', '#  ##', '#  ##', '#   #'],
  T: ['#####', '  #  ', '  #  ', '  #  ', '  #  ', '  #  ', '  #  '],
  H: ['#   #', '#   #', '#   #', '#####', '#   #', '#   #', '#   #'],
  E: ['#####', '#    ', '#    ', '#### ', '#    ', '#    ', '#####'],
  I: [' ### ', '  #  ', '  #  ', '  #  ', '  #  ', '  #  ', ' ### '],
  C: [' ####', '#    ', '#    ', '#    ', '#    ', '#    ', ' ####'],
};
const WORD = 'SYNTHETIC';
/** Pixels of a dot. */
const DOT = 3;

/** 1 well inside an edge, 0 well outside, soft between. @param {number} distance @param {number} softness */
const edge = (distance, softness) => 1 / (1 + Math.exp(distance / softness));

/** The same noise every time, -1 to 1. @param {number} x @param {number} y */
function noise(x, y) {
  const value = Math.sin(x * 12.9898 + y * 78.233) * 43758.5453;
  return 2 * (value - Math.floor(value)) - 1;
}

/**
 * How much of the beam is stopped at a place, 0 to about 1; x -1 to 1 across, y 0 to 1 down.
 * @param {number} x
 * @param {number} y
 */
function density(x, y) {
  const side = Math.abs(x);
  // Neck and shoulders widen into the trunk.
  const outline = 0.24 + 0.68 * edge(0.17 - y - 0.04 * side, 0.025) + 0.02 * y;
  const body = edge(side - outline, 0.018);
  // A lung: pointed above, wide below, cut by the dome of the diaphragm; the left one gives way to the heart.
  const middle = 0.42 + 0.04 * y;
  const half = 0.31 * Math.sqrt(Math.max(0, Math.sin(Math.PI * Math.min(1, Math.max(0, (y - 0.1) / 1.05)) ** 0.8)));
  const dome = (x < 0 ? 0.72 : 0.755) + 0.75 * (side - middle + 0.06) ** 2;
  const lung = edge(Math.abs(side - middle) - half, 0.014) * edge(y - dome, 0.01) * edge(0.13 - y, 0.012);
  const heart = edge(Math.hypot((x - 0.13) / 0.37, (y - 0.64) / 0.19) - 1, 0.05);
  const aorta = edge(Math.hypot((x - 0.09) / 0.11, (y - 0.33) / 0.075) - 1, 0.12);
  const hilum = 0.5 * edge(Math.hypot((side - 0.19) / 0.1, (y - 0.46) / 0.1) - 1, 0.2);
  const spine = edge(side - 0.075, 0.012) * (0.8 + 0.2 * Math.cos(y * 95));
  const windpipe = edge(side - 0.032, 0.008) * edge(y - 0.4, 0.02);
  // Ribs slope down and outwards; the front ends are fainter than the arcs behind.
  const slope = y - 0.16 * (side - 0.3) ** 2 - 0.1 * side;
  const behind = edge(Math.abs(((slope * 11.5) % 1) - 0.5) - 0.17, 0.035) * edge(0.1 - slope, 0.01);
  const front = edge(Math.abs((((y + 0.33 * side) * 8) % 1) - 0.5) - 0.12, 0.05) * edge(0.22 - side, 0.05);
  const cage = edge(Math.abs(side - middle) - half - 0.05, 0.03);
  const clavicle = edge(Math.abs(y - 0.185 + 0.09 * (side - 0.4)) - 0.016, 0.004) * edge(0.06 - side, 0.02) * edge(side - 0.72, 0.03);
  const vessels = 0.5 + 0.5 * Math.sin(26 * x + 9 * Math.sin(17 * y)) * Math.sin(31 * y + 7 * Math.sin(11 * x));
  const soft = 0.62 * body * (1 - 0.5 * lung) + 0.1 * body * edge(0.7 - y, 0.05);
  const bones = 0.09 * spine * body + cage * (0.05 * behind + 0.025 * front) + 0.04 * clavicle * body;
  const inside = 0.15 * heart + 0.1 * aorta + 0.12 * hilum * lung + 0.05 * vessels * lung * edge(side - 0.62, 0.1);
  return Math.max(0, soft + bones + inside - 0.14 * windpipe * body - 0.26 * lung);
}

/** Whether the word covers a pixel. @param {number} x @param {number} y */
function written(x, y) {
  const [column, row] = [Math.floor((x - 18) / DOT), Math.floor((y - 18) / DOT)];
  const letter = LETTERS[WORD[Math.floor(column / 6)] ?? ''];
  return column >= 0 && row >= 0 && letter?.[row]?.[column % 6] === '#';
}

/** The film as an 8-bit BMP file. @returns {Promise<Blob>} */
export async function syntheticFilm() {
  const offset = 14 + 40 + 4 * 256;
  const bytes = new Uint8Array(offset + WIDTH * HEIGHT); // A row of 512 bytes needs no padding.
  const header = new DataView(bytes.buffer);
  header.setUint16(0, 0x424d);
  header.setUint32(2, bytes.length, true);
  header.setUint32(10, offset, true);
  header.setUint32(14, 40, true);
  header.setInt32(18, WIDTH, true);
  header.setInt32(22, -HEIGHT, true); // Rows from the top.
  header.setUint16(26, 1, true);
  header.setUint16(28, 8, true);
  header.setUint32(46, 256, true);
  for (let grey = 0; grey < 256; grey++) bytes.set([grey, grey, grey, 0], 54 + 4 * grey);
  for (let y = 0; y < HEIGHT; y++) {
    if (y % STRIP === 0) await breathe();
    for (let x = 0; x < WIDTH; x++) {
      const stopped = density((2 * x) / WIDTH - 1, y / HEIGHT);
      const grey = 255 * Math.min(1, 1.04 * stopped) + 3 * noise(x, y);
      bytes[offset + y * WIDTH + x] = written(x, y) ? 235 : Math.min(255, Math.max(0, grey));
    }
  }
  return new Blob([bytes], { type: 'image/bmp' });
}
