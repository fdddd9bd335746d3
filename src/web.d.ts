/** The engine of a module. */
export type Backend = 'cpu' | 'webgpu';

/** One possible answer of the weights and how probable it is. */
export interface Finding {
  label: string;
  /** 0 to 1, calibrated on held-out patients. */
  probability: number;
}

/** Why there is no call. */
export interface Reason {
  /** Stable, for programs. */
  code: string;
  /** For people. */
  text: string;
}

/** Which parts of the image speak for a finding, on a coarse grid over the whole image. */
export interface Saliency {
  label: string;
  width: number;
  height: number;
  /** `height * width` values, row-major, 0 to 1. */
  values: number[];
  /** What 1 stands for, in units of the logit. */
  peak: number;
}

/** The whole answer for one image. */
export interface Assessment {
  file: string;
  /** In the order of the weights file; the probabilities' sum is 1. */
  findings: Finding[];
  /**
   * Labels of the findings that stay possible at the coverage that the weights state (`Metadata.conformal`), in the order
   * of the classes and never empty; null if the weights state none or the image was refused.
   */
  predictionSet: string[] | null;
  /** Label of the finding that is called, or null. */
  call: string | null;
  /** The image is not of the kind that the model knows; the probabilities then mean nothing. */
  refused: boolean;
  /** Why there is no call; empty when there is one. */
  reasons: Reason[];
  /** How the image was read; `notes` are sentences for people. */
  provenance: { format: string; notes: string[]; [name: string]: unknown };
  /** One map for each finding, or none if not asked for. */
  saliency: Saliency[];
  /** Which engine ran. */
  backend: Backend;
  /** Milliseconds of each stage. */
  timings: { decode: number; preprocess: number; forward: number; explain: number; total: number };
  /** First 12 hex digits of the weights file's SHA-256. */
  weights: string;
}

/** What to compute besides the probabilities. */
export interface ClassifyOptions {
  saliency?: boolean;
}

/** What a weights file says about itself; the names are those of the file. */
export interface Metadata {
  /** First 12 hex digits of the file's SHA-256. */
  id: string;
  format_version: number;
  /** SHA-256 of the file with these digits set to 0. */
  sha256: string;
  model: { architecture: string; classes: number };
  /** The labels of the findings, in order. */
  classes: string[];
  preprocessing: { version: number; side: number; percentiles: [number, number]; mean: number; std: number };
  /** Divides the logits before softmax. */
  temperature: number;
  operating_points: OperatingPoint[];
  /** Known images with the logits of these weights: `verify()` compares. */
  golden: { pattern: string; digest: string; logits: number[]; tolerance: number }[];
  /** Refuses what is no frontal chest X-ray: distance = weight . features + bias, refused beyond the limit. */
  gate?: { weight: number[]; bias: number; limit: number; data: string };
  /** Prediction sets: a class is in the set from its threshold on; the coverage is that of validation films, class by class. */
  conformal?: { coverage: number; thresholds: number[]; n: number; data: string };
  measured: Measurement[];
  origin: Origin;
  licence: string;
}

/** A cut-off on the probability of one finding, with what it was measured to do. */
export interface OperatingPoint {
  /** The call is made at the points named `balanced`. */
  name: string;
  /** One of the classes. */
  finding: string;
  /** The finding is called from this probability on. */
  threshold: number;
  /** Share of the films with the finding that reach the threshold. */
  sensitivity: number;
  /** Share of the films without the finding that stay below it. */
  specificity: number;
  /** How many films the rates were measured on. */
  n: number;
  /** Which films these were, in words. */
  data: string;
}

/** One measured figure with its 95 % interval. */
export interface Measurement {
  /** E.g. `balanced_accuracy`. */
  name: string;
  value: number;
  low: number;
  high: number;
  /** How many films it was measured on. */
  n: number;
  /** Which films these were, in words. */
  data: string;
}

/** Where weights come from. */
export interface Origin {
  manifest_digest: string;
  seed: number;
  commit: string;
  recipe: string;
  /** `YYYY-MM-DD` */
  date: string;
  data: { name: string; licence: string; films: number }[];
}
