// What can be classified, as the bytes of an image file. Nothing is decoded or scaled here.

import { DeepbreathError } from './engine.js';
import { fetchBytes } from './fetch.js';

/**
 * An image: a file, its bytes, its address, or pixels of a canvas (their transparency counts as in a file).
 * @typedef {File | Blob | ArrayBuffer | Uint8Array | URL | ImageData} Source
 */

/** Largest file that is read, in bytes: `MAX_FILE_BYTES` of src/radiograph/mod.rs, asked for before anything is read. */
export const MAX_FILE_BYTES = 64 << 20;

/**
 * Refuses what is too large, in the words of the decoder.
 * @param {string} name
 * @param {number} bytes
 * @param {boolean} [all] Whether there are so many, or more may come.
 */
export function refuseLarge(name, bytes, all = true) {
  if (bytes <= MAX_FILE_BYTES) return;
  const size = all ? `${bytes} bytes` : `at least ${bytes} bytes`;
  throw new DeepbreathError('file-too-large', `${name}: ${size}, more than the limit of ${MAX_FILE_BYTES}. Export one film at a time, or a smaller copy`);
}

/** The last part of an address. @param {URL} url */
export function fileName({ pathname }) {
  const name = pathname.slice(pathname.lastIndexOf('/') + 1);
  try {
    return decodeURIComponent(name);
  } catch {
    return name; // A percent sign that stands for itself.
  }
}

/** What the image is called in messages and in the answer. @param {Source} source */
export function nameOf(source) {
  if (source instanceof URL) return fileName(source) || source.host;
  return source instanceof File ? source.name : 'image';
}

/**
 * The bytes of an image file.
 * @param {string} name
 * @param {Source} source
 * @param {AbortSignal | undefined} signal
 * @returns {Promise<Uint8Array<ArrayBuffer>>} The caller's bytes stay the caller's: these are a copy.
 */
export async function read(name, source, signal) {
  if (source instanceof Uint8Array || source instanceof ArrayBuffer) {
    refuseLarge(name, source.byteLength);
    return copy(name, source);
  }
  if (source instanceof URL) return fetchBytes(source.href, { signal, check: (bytes, all) => refuseLarge(name, bytes, all) });
  // Node.js has no canvas and so no ImageData.
  if (typeof ImageData === 'function' && source instanceof ImageData) return tiff(name, source);
  if (!(source instanceof Blob)) {
    throw new DeepbreathError('unreadable-file', `${name}: not an image that can be read here. Give a File, Blob, ArrayBuffer, Uint8Array, URL or ImageData.`);
  }
  refuseLarge(name, source.size);
  try {
    return new Uint8Array(await source.arrayBuffer());
  } catch {
    throw new DeepbreathError('unreadable-file', `${name}: cannot be read. Is it still there, and no folder?`);
  }
}

/**
 * @param {string} name
 * @param {Uint8Array | ArrayBuffer} bytes
 */
function copy(name, bytes) {
  try {
    return new Uint8Array(bytes.slice(0));
  } catch {
    throw new DeepbreathError('unreadable-file', `${name}: these bytes were handed to somebody else, who has them now. Give them a copy.`);
  }
}

/** Types of TIFF fields (TIFF 6.0, section 2). */
const SHORT = 3;
const LONG = 4;

/**
 * Pixels as an uncompressed TIFF file (TIFF 6.0, section 6): a header, one directory, the samples as they are.
 * @param {string} name
 * @param {ImageData} pixels
 * @returns {Uint8Array<ArrayBuffer>}
 */
function tiff(name, { width, height, data }) {
  // A canvas may also have samples of 16 bits (`rgba-float16`), from 0 to 1.
  if (!(data instanceof Uint8ClampedArray)) {
    throw new DeepbreathError('unreadable-file', `${name}: its pixels are no bytes. Ask the canvas for 'rgba-unorm8'.`);
  }
  refuseLarge(name, data.length);
  const entries = 11;
  const bits = 8 + 2 + 12 * entries + 4; // Offset of the four depths, which do not fit into their field.
  const samples = bits + 8;
  const bytes = new Uint8Array(samples + data.length);
  const view = new DataView(bytes.buffer);
  let at = 0;
  const short = (/** @type {number} */ value) => view.setUint16((at += 2) - 2, value, true);
  const long = (/** @type {number} */ value) => view.setUint32((at += 4) - 4, value, true);
  /** @param {number} tag @param {number} type @param {number} count @param {number} value */
  const field = (tag, type, count, value) => {
    short(tag);
    short(type);
    long(count);
    long(value); // Little endian: a short in the first two bytes is the same.
  };
  short(0x4949); // II: little endian
  short(42);
  long(8);
  short(entries);
  field(256, LONG, 1, width);
  field(257, LONG, 1, height);
  field(258, SHORT, 4, bits);
  field(259, SHORT, 1, 1); // Compression: none
  field(262, SHORT, 1, 2); // PhotometricInterpretation: RGB
  field(273, LONG, 1, samples); // StripOffsets
  field(277, SHORT, 1, 4); // SamplesPerPixel
  field(278, LONG, 1, height); // RowsPerStrip: all
  field(279, LONG, 1, data.length); // StripByteCounts
  field(284, SHORT, 1, 1); // PlanarConfiguration: chunky
  field(338, SHORT, 1, 2); // ExtraSamples: unassociated alpha
  long(0); // No further directory.
  for (let sample = 0; sample < 4; sample++) short(8);
  bytes.set(data, samples);
  return bytes;
}
