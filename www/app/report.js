// Written by `cargo xtask wasm` from weights/report/report.json. Do not edit.

/** What the page shows of the evaluation report: the rates at each threshold, with 95 % intervals, and the
 * share of the films that have each label. */
export const report = {
  weights: '72f55c77a2f5',
  data: '795 test films of 650 patients from the sources of the training films',
  prevalence: {
    'covid': 0.4101,
    'normal': 0.4352,
    'pneumonia': 0.1547,
  },
  points: [
    {
      name: 'screening',
      finding: 'covid',
      threshold: 0.1596292406320572,
      sensitivity: { value: 0.9049, low: 0.866, high: 0.9382 },
      specificity: { value: 0.8486, low: 0.8143, high: 0.8839 },
    },
    {
      name: 'balanced',
      finding: 'covid',
      threshold: 0.12188927829265594,
      sensitivity: { value: 0.9264, low: 0.8927, high: 0.9556 },
      specificity: { value: 0.8145, low: 0.7755, high: 0.8523 },
    },
    {
      name: 'screening',
      finding: 'normal',
      threshold: 0.4913637936115265,
      sensitivity: { value: 0.9162, low: 0.8842, high: 0.9459 },
      specificity: { value: 0.8241, low: 0.7794, high: 0.8631 },
    },
    {
      name: 'balanced',
      finding: 'normal',
      threshold: 0.4818214178085327,
      sensitivity: { value: 0.9162, low: 0.8842, high: 0.9459 },
      specificity: { value: 0.8218, low: 0.777, high: 0.8614 },
    },
    {
      name: 'screening',
      finding: 'pneumonia',
      threshold: 0.2800832986831665,
      sensitivity: { value: 0.8699, low: 0.8013, high: 0.9323 },
      specificity: { value: 0.9375, low: 0.9149, high: 0.9575 },
    },
    {
      name: 'balanced',
      finding: 'pneumonia',
      threshold: 0.22182665765285492,
      sensitivity: { value: 0.8862, low: 0.8163, high: 0.9453 },
      specificity: { value: 0.9241, low: 0.9, high: 0.9456 },
    },
  ],
};
