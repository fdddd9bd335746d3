// Written by `cargo xtask wasm` from weights/report/report.json. Do not edit.

/** What the page shows of the evaluation report: the rates at each threshold, with 95 % intervals, and the
 * share of the films that have each label. */
export const report = {
  weights: '38f862dc5c49',
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
      threshold: 0.09340590983629228,
      sensitivity: { value: 0.9417, low: 0.9108, high: 0.9676 },
      specificity: { value: 0.7868, low: 0.7453, high: 0.8274 },
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
      threshold: 0.27276188135147095,
      sensitivity: { value: 0.9595, low: 0.9383, high: 0.9787 },
      specificity: { value: 0.7127, low: 0.6586, high: 0.7631 },
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
      threshold: 0.14656683802604675,
      sensitivity: { value: 0.935, low: 0.8837, high: 0.9767 },
      specificity: { value: 0.878, low: 0.8507, high: 0.904 },
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
