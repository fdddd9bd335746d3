// Names and numbers as people read them. No wording here says more than the network was measured to do.

/** @typedef {import('../client.js').Assessment} Assessment */

/** Better names for the released labels; any other label is shown as it is. @type {Record<string, string>} */
const NAMES = { covid: 'COVID-19', pneumonia: 'Other pneumonia' };

/** What else to say where a finding is called. @type {Record<string, string>} */
const CAVEATS = {
  normal: 'That is not the same as being well: an early or faint disease can look like this.',
  covid: 'An X-ray alone cannot tell whether someone has COVID-19.',
};

/** @param {string} label */
export const findingName = (label) => NAMES[label] ?? label.charAt(0).toUpperCase() + label.slice(1);

/** @param {number} share 0 to 1 */
export const percent = (share) => `${(100 * share).toFixed(1)} %`;

/** @param {number} share 0 to 1 */
export const wholePercent = (share) => `${Math.round(100 * share)} %`;

/** Names with "or" between the last two. @param {string[]} labels */
export function oneOf(labels) {
  const names = labels.map(findingName);
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;
}

/**
 * What a set of possible findings promises, and where the promise ends.
 * @param {number} size
 * @param {{ coverage: number, data: string }} conformal
 */
export function setMeaning(size, { coverage, data }) {
  const times = Math.round(100 * coverage);
  const wide = size > 1 ? ' More than one name means that the network cannot tell them apart on this film.' : '';
  return `Among films like those it was adjusted on (${data}), such a set holds the true label ${times} times in 100. For films from another hospital nothing is promised.${wide}`;
}

/**
 * Headline, and what it means, of an answer.
 * @param {Assessment} assessment
 * @returns {{ kind: 'call' | 'none' | 'refused', eyebrow: string, headline: string, meaning: string }}
 */
export function verdict({ refused, call, reasons }) {
  if (refused) {
    return {
      kind: 'refused',
      eyebrow: 'Refused',
      headline: reasons.some(({ code }) => code === 'blank')
        ? 'There is nothing on this image'
        : 'This does not look like a frontal chest X-ray',
      meaning: 'The network knows nothing else, so its numbers would mean nothing here and are not shown.',
    };
  }
  if (call === null) {
    return {
      kind: 'none',
      eyebrow: 'Answer',
      headline: 'No call',
      meaning: reasons.length ? '' : 'The network does not commit itself for this film.',
    };
  }
  const name = findingName(call);
  return {
    kind: 'call',
    eyebrow: 'Looks most like films labelled',
    headline: name,
    meaning: CAVEATS[call] ?? '',
  };
}

/**
 * Why there is no call, with the names that the page shows.
 * @param {Assessment['reasons'][number]} reason
 * @param {string[]} reached The findings that reach their thresholds.
 */
export function reasonText({ code, text }, reached) {
  if (code === 'several-findings-reached' && reached.length > 1) {
    return `More than one finding reaches its threshold: ${reached.map(findingName).join(' and ')}.`;
  }
  if (code === 'no-finding-reached') return 'No finding reaches its threshold.';
  return text;
}

/** Headlines of errors, by their stable code. @type {Record<string, string>} */
const PROBLEMS = {
  empty: 'The file is empty',
  'file-too-large': 'The file is too large',
  'too-many-pixels': 'The image is too large',
  'unknown-format': 'This is no image that can be read here',
  truncated: 'Part of the file is missing',
  corrupt: 'The file is damaged',
  'unsupported-image': 'This kind of image cannot be read here',
  'unsupported-transfer-syntax': 'This DICOM compression cannot be read here',
  'unsupported-photometric': 'This DICOM pixel layout cannot be read here',
  'no-pixel-data': 'This DICOM file holds no image',
  'dicom-not-built': 'This build reads no DICOM',
  'unreadable-file': 'The file cannot be opened',
  weights: 'The weights cannot be used',
  'weights-unreachable': 'The weights did not arrive',
  inference: 'The network could not be run',
  worker: 'The classifier stopped',
};

/** @param {string} code */
export const problem = (code) => PROBLEMS[code] ?? 'This file got no answer';

/**
 * Stable code and text of anything that was thrown.
 * @param {unknown} error
 * @returns {{ code: string, message: string }}
 */
export function described(error) {
  const { code, message } = /** @type {{ code?: unknown, message?: unknown }} */ (error ?? {});
  return {
    code: typeof code === 'string' ? code : 'internal',
    message: typeof message === 'string' && message ? message : String(error),
  };
}

/** Names of DICOM transfer syntaxes (PS3.6, Annex A). @type {Record<string, string>} */
const SYNTAXES = {
  '1.2.840.10008.1.2': 'Implicit VR Little Endian',
  '1.2.840.10008.1.2.1': 'Explicit VR Little Endian',
  '1.2.840.10008.1.2.1.99': 'Deflated Explicit VR Little Endian',
  '1.2.840.10008.1.2.2': 'Explicit VR Big Endian',
  '1.2.840.10008.1.2.4.50': 'JPEG Baseline',
  '1.2.840.10008.1.2.4.51': 'JPEG Extended',
  '1.2.840.10008.1.2.4.57': 'JPEG Lossless',
  '1.2.840.10008.1.2.4.70': 'JPEG Lossless SV1',
  '1.2.840.10008.1.2.4.80': 'JPEG-LS Lossless',
  '1.2.840.10008.1.2.4.81': 'JPEG-LS Near-Lossless',
  '1.2.840.10008.1.2.4.90': 'JPEG 2000 Lossless',
  '1.2.840.10008.1.2.4.91': 'JPEG 2000',
  '1.2.840.10008.1.2.5': 'RLE Lossless',
};

/** @type {Record<string, string>} */
const MODALITIES = { CR: 'computed radiography', DX: 'digital radiography', RG: 'conventional radiography' };
/** @type {Record<string, string>} */
const VIEWS = { pa: 'back to front (PA)', ap: 'front to back (AP)', lateral: 'lateral', other: 'another view' };

/** Mean difference of the colours from which a picture counts as coloured; a scanned film has a tint. */
const COLOURED = 0.02;

/**
 * How a film was read, for the eye: name and value. Absent values are left out, patient data are never read.
 * @param {Assessment} assessment
 * @returns {[string, string][]}
 */
export function facts({ file, provenance, backend, timings, weights }) {
  const { format, bits, chroma, width, height, modality, view, transferSyntax, photometric, orientation, frames } =
    /** @type {Record<string, any>} */ (provenance);
  const depth = bits ? `${bits} bit ${chroma > COLOURED ? 'colour' : 'grey'}` : '';
  /** @type {[string, string | undefined][]} */
  const all = [
    ['File', file],
    ['Format', [String(format).toUpperCase(), depth].filter(Boolean).join(', ')],
    ['Size', width && height ? `${width} × ${height} pixels` : undefined],
    ['Modality', modality && (MODALITIES[modality] ? `${modality}, ${MODALITIES[modality]}` : modality)],
    ['View', view && (VIEWS[view] ?? view)],
    ['Transfer syntax', transferSyntax && (SYNTAXES[transferSyntax] ?? transferSyntax)],
    ['Grey scale', photometric && String(photometric).toUpperCase()],
    ['Orientation', orientation > 1 ? 'turned as its EXIF data say' : undefined],
    ['Frames', frames > 1 ? `${frames}, of which the first is read` : undefined],
    ['Patient data', format === 'dicom' ? 'not read' : undefined],
    ['Engine', engineName(backend)],
    ['Time', `${Math.round(timings.total)} ms, of which the network ${Math.round(timings.forward)} ms`],
    ['Weights', weights],
  ];
  return all.flatMap(([name, value]) => (value ? [/** @type {[string, string]} */ ([name, value])] : []));
}

/** @param {string} backend */
export function engineName(backend) {
  return { cpu: 'processor (cpu)', webgpu: 'graphics card (webgpu)' }[backend] ?? backend;
}
