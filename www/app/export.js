// Results as files: CSV for tables, JSON with everything. Both say which weights, engine, version and settings answered.

/** @typedef {import('./queue.js').Film} Film */
/** @typedef {{ version: string, weights: string, backend: string, date: string, settings: Record<string, unknown> }} Origin */

/**
 * One cell (RFC 4180). A text that a spreadsheet would run as a formula gets an apostrophe in front, as OWASP advises.
 * @param {unknown} value
 */
function cell(value) {
  if (value === null || value === undefined) return '';
  if (typeof value === 'number') return String(value);
  const text = /^[=+\-@\t\r\n\uff0b\uff0d\uff1d\uff20]/u.test(String(value)) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** @param {Film[]} films @returns {string[]} Every label, in the order of the weights. */
function labels(films) {
  return [...new Set(films.flatMap(({ assessment }) => assessment?.findings.map(({ label }) => label) ?? []))];
}

/**
 * A row a film, then where the numbers come from in columns of their own: a table keeps only what stands in its rows.
 * @param {Film[]} films
 * @param {Origin} origin
 */
export function toCsv(films, origin) {
  const findings = labels(films);
  const head = ['file', 'state', 'call', ...findings.map((label) => `probability_${label}`), 'prediction_set', 'reasons', 'error_code',
    'error', 'format', 'width', 'height', 'bits', 'milliseconds', 'time', 'weights', 'backend', 'version', 'settings'];
  const rows = films.map(({ name, state, assessment, error, time }) => {
    const refused = assessment?.refused ?? false;
    const probability = (/** @type {string} */ label) =>
      refused ? undefined : assessment?.findings.find((finding) => finding.label === label)?.probability;
    return [name, refused ? 'refused' : state, assessment?.call, ...findings.map(probability),
      assessment?.predictionSet?.join('; '), assessment?.reasons.map(({ code }) => code).join(' '), error?.code, error?.message,
      assessment?.provenance.format, assessment?.provenance.width, assessment?.provenance.height, assessment?.provenance.bits,
      assessment && Math.round(assessment.timings.total), time, assessment?.weights ?? origin.weights,
      assessment?.backend ?? origin.backend, origin.version, JSON.stringify(origin.settings)];
  });
  return [head, ...rows].map((row) => `${row.map(cell).join(',')}\r\n`).join('');
}

/**
 * @param {Film[]} films
 * @param {Origin} origin
 */
export function toJson(films, origin) {
  const results = films.map(({ name, state, assessment, error, time }) => {
    const { file: _, refused, findings = [], saliency: __, ...rest } = assessment ?? {};
    return { file: name, state: refused ? 'refused' : state, time, findings: refused ? [] : findings, ...rest, error };
  });
  const disclaimer = 'For education and research. Not a diagnosis.';
  return `${JSON.stringify({ program: 'deepbreath', disclaimer, ...origin, results }, undefined, 2)}\n`;
}

/** @typedef {(name: string, type: string, text: string) => void} Save */

/** Saves a text as a file of the visitor's, without any network. @type {Save} */
export function saveHere(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
