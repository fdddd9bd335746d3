// Written by `cargo xtask wasm` from weights/report/report.json. Do not edit.

/** What the page shows of the evaluation report: the rates at each threshold, with 95 % intervals, and the
 * share of the films that have each label. */
export const report = {
  weights: '0fdc449740b4',
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
      threshold: 0.10681398957967758,
      sensitivity: { value: 0.9417, low: 0.9125, high: 0.9661 },
      specificity: { value: 0.7846, low: 0.7432, high: 0.824 },
    },
    {
      name: 'balanced',
      finding: 'covid',
      threshold: 0.12424936890602112,
      sensitivity: { value: 0.9294, low: 0.8972, high: 0.9586 },
      specificity: { value: 0.8145, low: 0.775, high: 0.8512 },
    },
    {
      name: 'screening',
      finding: 'normal',
      threshold: 0.25977596640586853,
      sensitivity: { value: 0.9595, low: 0.929, high: 0.9833 },
      specificity: { value: 0.7439, low: 0.6919, high: 0.7925 },
    },
    {
      name: 'balanced',
      finding: 'normal',
      threshold: 0.5939865112304688,
      sensitivity: { value: 0.8844, low: 0.8468, high: 0.9192 },
      specificity: { value: 0.8708, low: 0.8325, high: 0.9037 },
    },
    {
      name: 'screening',
      finding: 'pneumonia',
      threshold: 0.21461662650108335,
      sensitivity: { value: 0.8862, low: 0.824, high: 0.9399 },
      specificity: { value: 0.9196, low: 0.8958, high: 0.942 },
    },
    {
      name: 'balanced',
      finding: 'pneumonia',
      threshold: 0.21461662650108335,
      sensitivity: { value: 0.8862, low: 0.824, high: 0.9399 },
      specificity: { value: 0.9196, low: 0.8958, high: 0.942 },
    },
  ],
};
