// Written by `cargo xtask wasm` from weights/report/report.json. Do not edit.

/** What the page shows of the evaluation report: the rates at each threshold, with 95 % intervals, and the
 * share of the films that have each label. */
export const report = {
  weights: 'fa60c151d7ce',
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
      threshold: 0.18717671930789948,
      sensitivity: { value: 0.9141, low: 0.8754, high: 0.9463 },
      specificity: { value: 0.8316, low: 0.7905, high: 0.8689 },
    },
    {
      name: 'balanced',
      finding: 'covid',
      threshold: 0.24965760111808777,
      sensitivity: { value: 0.8865, low: 0.8461, high: 0.9222 },
      specificity: { value: 0.8614, low: 0.8256, high: 0.8948 },
    },
    {
      name: 'screening',
      finding: 'normal',
      threshold: 0.3365909159183502,
      sensitivity: { value: 0.9017, low: 0.8659, high: 0.9352 },
      specificity: { value: 0.8085, low: 0.7644, high: 0.8478 },
    },
    {
      name: 'balanced',
      finding: 'normal',
      threshold: 0.32191145420074463,
      sensitivity: { value: 0.9075, low: 0.8711, high: 0.9401 },
      specificity: { value: 0.7973, low: 0.7513, high: 0.8386 },
    },
    {
      name: 'screening',
      finding: 'pneumonia',
      threshold: 0.2723115086555481,
      sensitivity: { value: 0.878, low: 0.8067, high: 0.9381 },
      specificity: { value: 0.869, low: 0.8412, high: 0.8957 },
    },
    {
      name: 'balanced',
      finding: 'pneumonia',
      threshold: 0.2416885048151016,
      sensitivity: { value: 0.878, low: 0.8067, high: 0.9381 },
      specificity: { value: 0.8512, low: 0.8214, high: 0.8799 },
    },
  ],
};
