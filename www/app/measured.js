// What the weights were measured to do: from their own metadata, with the intervals of the evaluation report where that
// report is about these very weights. No figure is made up here; what is absent stays absent.

import { report } from './report.js';

/** @typedef {{ value: number, low?: number, high?: number }} Interval Shares, 0 to 1; 95 % where an interval is known. */
/** @typedef {{ threshold: number, sensitivity: Interval, specificity: Interval, data: string, prevalence?: number }} Rates The
 *   prevalence is that of the films that the rates were measured on. */

/**
 * The parts of a weights file's metadata that the page shows; each may be absent.
 * @typedef {object} Metadata
 * @property {string} [id]
 * @property {string[]} [classes]
 * @property {{ name: string, finding: string, threshold: number, sensitivity: number, specificity: number, n: number, data: string }[]} [operating_points]
 * @property {unknown} [gate]
 * @property {{ offsets?: number[] }} [origin]
 * @property {{ coverage: number, n: number, data: string }} [conformal]
 */

/** The point that calls are made at. */
const CALL = 'balanced';

/**
 * The measured rates of one finding at its threshold; undefined where none are known. Before the first answer the id of
 * the weights is not known ('') and the thresholds, to the last digit, tell whether the report is about them.
 * @param {Metadata | undefined} metadata
 * @param {string} label
 * @param {string} weights
 * @returns {Rates | undefined}
 */
export function ratesOf(metadata, label, weights) {
  const point = metadata?.operating_points?.find(({ name, finding }) => name === CALL && finding === label);
  const id = weights || metadata?.id;
  const tested = !id || report.weights === id
    ? report.points.find(({ name, finding }) => name === CALL && finding === label)
    : undefined;
  if (tested && point && Math.abs(point.threshold - tested.threshold) < 1e-6) {
    const { threshold, sensitivity, specificity } = tested;
    const prevalence = report.prevalence[/** @type {keyof typeof report.prevalence} */ (label)];
    return { threshold, sensitivity, specificity, data: report.data, ...(prevalence !== undefined && { prevalence }) };
  }
  if (!point) return undefined;
  return {
    threshold: point.threshold,
    sensitivity: { value: point.sensitivity },
    specificity: { value: point.specificity },
    data: point.data,
  };
}
