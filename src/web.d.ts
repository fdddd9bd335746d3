/** The engine of a module. */
export type Backend = 'cpu' | 'webgpu';

/** One possible answer of the weights and how probable it is. */
export interface Finding {
  /** One of the classes of the weights. */
  label: string;
  /** 0 to 1, calibrated on held-out patients. */
  probability: number;
}

/** Why there is no call. */
export interface Reason {
  /**
   * Stable, for programs. Of a refused image: `blank`; or `out-of-distribution`, and then `turned`, `cropped` or `inverted`
   * where that explains it. Else `no-finding-reached`, `several-findings-reached` or `no-operating-point`.
   */
  code: string;
  /** For people. */
  text: string;
}

/** Which parts of the image speak for a finding, on a coarse grid over the whole image. */
export interface Saliency {
  /** The finding that it is about. */
  label: string;
  /** Columns of the grid. */
  width: number;
  /** Rows of the grid. */
  height: number;
  /** `height * width` values, row-major, 0 to 1. */
  values: number[];
  /** What 1 stands for, in units of the logit. */
  peak: number;
}

/** How an image was read. Holds no patient data; what a format has no place for is null. */
export interface Provenance {
  format: 'png' | 'jpeg' | 'webp' | 'bmp' | 'tiff' | 'dicom';
  /** Columns of the film as read, upright. */
  width: number;
  /** Rows of the film as read. */
  height: number;
  /** Bits of one sample as stored. */
  bits: number;
  /** Samples of one pixel as stored: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha or CMYK. */
  channels: number;
  /** Mean of (largest - smallest of R, G, B) over all pixels, 0 (grey) to 1: a radiograph has next to none. */
  chroma: number;
  /** EXIF orientation that was applied, 1 (as stored) to 8. */
  orientation: number;
  /** Frames in the file; only the first is read. */
  frames: number;
  /** DICOM transfer syntax UID. */
  transferSyntax: string | null;
  /** DICOM photometric interpretation as tagged; `rgb` for every colour. */
  photometric: 'monochrome1' | 'monochrome2' | 'rgb' | null;
  /** DICOM modality, such as `DX`, or `other`. */
  modality: string | null;
  /** DICOM view position. */
  view: 'pa' | 'ap' | 'lateral' | 'other' | null;
  /** How samples of a DICOM file became grey values, in modality units. */
  window: GreyMapping | null;
  /** The image was inverted because it showed air bright and bone dark against its own tag. */
  polarityCorrected: boolean;
  /** What a reader of the answer should know, in sentences. */
  notes: string[];
}

/** How the samples of a DICOM file became grey values (PS3.3 C.11.2). */
export type GreyMapping =
  | { kind: 'linear' | 'linearExact' | 'sigmoid'; center: number; width: number }
  /** Between two percentiles, for a file without window or table: shown black and white. */
  | { kind: 'percentile'; low: number; high: number }
  /** The file's own table, or samples that are display values already. */
  | { kind: 'voiLut' | 'asStored' };

/** The whole answer for one image. */
export interface Assessment {
  /** Name of the image, as given. */
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
  /** How the image was read. */
  provenance: Provenance;
  /** One map for each finding, or none if not asked for. */
  saliency: Saliency[];
  /** Which engine ran. */
  backend: Backend;
  /** Milliseconds of each stage. */
  timings: { decode: number; preprocess: number; forward: number; explain: number; total: number };
  /** First 12 hex digits of the weights file's SHA-256. */
  weights: string;
}

/** What the network makes of a film with parts covered: numbers for an experiment, not an answer. */
export interface Judged {
  /** In the order of the weights file; the probabilities' sum is 1. */
  findings: Finding[];
  /** Label of the finding that would be called, or null. */
  call: string | null;
  /** Whether an image like this would be refused. */
  refused: boolean;
}

/** What to compute besides the probabilities. */
export interface ClassifyOptions {
  /** A saliency map for each finding; by default none. */
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
  /**
   * Refuses what is no frontal chest X-ray: score = weight . features + bias of other images and of each flaw, distance =
   * ln(sum(exp(score))), refused beyond the limit.
   */
  gate?: {
    weight: number[]; bias: number; limit: number; data: string;
    flaws?: { flaw: 'turned90' | 'turned180' | 'turned270' | 'cropped' | 'inverted'; weight: number[]; bias: number }[];
  };
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
  /** What the calibration added to the logits, one for each class; the weights hold it already. */
  offsets?: number[];
}
