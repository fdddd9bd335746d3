// What is painted over a film: one byte for each cell of the network's input, 1 where it is covered. No document here.

/** Cells of a side: the network sees every film squeezed into so many. */
export const SIDE = 224;

/** @typedef {{ x: number, y: number }} Point Fractions of the film's width and height, 0 to 1. */

/** Nothing covered. */
export const bare = () => new Uint8Array(SIDE * SIDE);

/**
 * Draws a line with a round brush.
 * @param {Uint8Array} cover Changed.
 * @param {Point} from
 * @param {Point} to
 * @param {Point} radius Of the brush; a brush that is round on the film has two, because the cells are not square there.
 * @param {0 | 1} value 1 covers, 0 uncovers.
 */
export function stroke(cover, from, to, radius, value) {
  const length = Math.hypot((to.x - from.x) / radius.x, (to.y - from.y) / radius.y);
  const steps = Math.max(1, Math.ceil(2 * length));
  for (let step = 0; step <= steps; step++) {
    const part = step / steps;
    stamp(cover, { x: from.x + part * (to.x - from.x), y: from.y + part * (to.y - from.y) }, radius, value);
  }
}

/** @param {Uint8Array} cover @param {Point} at @param {Point} radius @param {0 | 1} value */
function stamp(cover, at, radius, value) {
  const [left, right] = [cell(at.x - radius.x), cell(at.x + radius.x)];
  const [top, bottom] = [cell(at.y - radius.y), cell(at.y + radius.y)];
  for (let y = top; y <= bottom; y++) {
    for (let x = left; x <= right; x++) {
      const [dx, dy] = [((x + 0.5) / SIDE - at.x) / radius.x, ((y + 0.5) / SIDE - at.y) / radius.y];
      if (dx * dx + dy * dy <= 1) cover[y * SIDE + x] = value;
    }
  }
}

/** @param {number} fraction */
const cell = (fraction) => Math.min(SIDE - 1, Math.max(0, Math.floor(fraction * SIDE)));

/** Share of the film that is covered, 0 to 1. @param {Uint8Array} cover */
export const covered = (cover) => cover.reduce((sum, one) => sum + one, 0) / cover.length;

/**
 * RGBA pixels: black paper with a faint weave, so that it is seen on the black parts of a film too.
 * @param {Uint8Array} cover
 */
export function paper(cover) {
  const pixels = new Uint8ClampedArray(4 * cover.length);
  for (const [index, one] of cover.entries()) {
    if (!one) continue;
    const woven = ((index % SIDE) + Math.floor(index / SIDE)) % 6 === 0;
    pixels.set(woven ? [34, 74, 72, 255] : [4, 9, 9, 255], 4 * index);
  }
  return pixels;
}
