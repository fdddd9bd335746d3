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
  /** Which engine ran, e.g. `cpu`. */
  backend: string;
  /** Milliseconds of each stage. */
  timings: { decode: number; preprocess: number; forward: number; explain: number; total: number };
  /** First 12 hex digits of the weights file's SHA-256. */
  weights: string;
}

/** What to compute besides the probabilities. */
export interface ClassifyOptions {
  saliency?: boolean;
}
