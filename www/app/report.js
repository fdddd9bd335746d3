// Written by `cargo xtask wasm` from weights/report/report.json. Do not edit.

/** What the page shows of the evaluation report: the rates at each threshold, with 95 % intervals, and the
 * share of the films that have each label. */
export const report = {
  weights: '475532b3f416',
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
      threshold: 0.169418066740036,
      sensitivity: { value: 0.9417, low: 0.9125, high: 0.9661 },
      specificity: { value: 0.7569, low: 0.7131, high: 0.7981 },
    },
    {
      name: 'balanced',
      finding: 'covid',
      threshold: 0.24451421201229095,
      sensitivity: { value: 0.9264, low: 0.8933, high: 0.9554 },
      specificity: { value: 0.8166, low: 0.7771, high: 0.853 },
    },
    {
      name: 'screening',
      finding: 'normal',
      threshold: 0.1372831016778946,
      sensitivity: { value: 0.9595, low: 0.929, high: 0.9833 },
      specificity: { value: 0.7416, low: 0.6892, high: 0.7919 },
    },
    {
      name: 'balanced',
      finding: 'normal',
      threshold: 0.303649365901947,
      sensitivity: { value: 0.9075, low: 0.8718, high: 0.9393 },
      specificity: { value: 0.8285, low: 0.785, high: 0.8676 },
    },
    {
      name: 'screening',
      finding: 'pneumonia',
      threshold: 0.2723682224750519,
      sensitivity: { value: 0.9024, low: 0.837, high: 0.958 },
      specificity: { value: 0.9286, low: 0.9048, high: 0.9485 },
    },
    {
      name: 'balanced',
      finding: 'pneumonia',
      threshold: 0.2723682224750519,
      sensitivity: { value: 0.9024, low: 0.837, high: 0.958 },
      specificity: { value: 0.9286, low: 0.9048, high: 0.9485 },
    },
  ],
};
