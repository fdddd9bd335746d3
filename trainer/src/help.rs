//! What stands below the options in the help of each command.

/// Of the program.
pub(crate) const TRAINER: &str = "Example, from a folder of images to weights:
  trainer prepare folders chest_xray --out films.csv
  trainer train films.csv --out runs/first
  trainer export runs/first --out weights/
  trainer evaluate films.csv --weights weights/deepbreath.safetensors --out report/

Exit code 2 and one line on stderr mean a bad argument or a bad file.";

/// Of `prepare`.
pub(crate) const PREPARE: &str = "Example:
  trainer prepare folders chest_xray --out films.csv";

/// Of `prepare covid-chestxray`.
pub(crate) const COVID_CHESTXRAY: &str =
    "Labels: covid, pneumonia (any other pneumonia), normal (no finding). Left out and counted: CT,
laterals, unknown views, other findings, images that are not there, images that cannot be read.

Example, the films of the well-known tutorial:
  trainer prepare covid-chestxray covid-chestxray-dataset --finding COVID-19 --view PA --out covid.csv";

/// Of `prepare folders`.
pub(crate) const FOLDERS: &str =
    "The folder names, in lower case, are the labels; Covid-19 and No_findings become covid and normal. File
names of the Kaggle (Kermany) and NIH sets give the patient; otherwise each image is a patient of its own. Files without
an ending are told by their content.

Example:
  trainer prepare folders chest_xray --source kermany --out kermany.csv";

/// Of `prepare sample`.
pub(crate) const SAMPLE: &str = "Example:
  trainer prepare sample films.csv --per-class 25 --seed 42 --out small.csv";

/// Of `train`.
pub(crate) const TRAIN: &str =
    "Ctrl-C stops after the step in progress and leaves a checkpoint; the same command with --resume goes on to the
same result. Films that were being decoded, or the features of the first head, are then made again. The test split is never read.

Example:
  trainer train films.csv --out runs/first --seed 1";

/// Of `evaluate`.
pub(crate) const EVALUATE: &str = "Every figure comes with a 95 % bootstrap interval over patients.

Example:
  trainer evaluate films.csv --split test --out report/

Of weights trained on several manifests (all of them, in the order of the training):
  trainer evaluate here.csv there.csv --weights weights/deepbreath.safetensors --out report/";

/// Of `cross-validate`.
pub(crate) const CROSS_VALIDATE: &str =
    "A stopped run goes on at the fold it was in when the same command is given again.

Examples:
  trainer cross-validate films.csv --folds 5 --out cv/
  trainer cross-validate films.csv --leave-one-source-out --sources-left-out siim,bimcv+rsna --out loso/";

/// Of `ablate`.
pub(crate) const ABLATE: &str =
    "Films of the manifest's test split are left out, so that no recipe is chosen on them. A stopped run goes on at the
fold it was in when the same command is given again.

Example:
  trainer prepare sample films.csv --per-class 450 --out some.csv
  trainer ablate some.csv --recipes plain.toml,mixup.toml --sources-left-out siim,bimcv+rsna --out ablation/";

/// Of `predict`.
pub(crate) const PREDICT: &str = "Example:
  trainer predict film.dcm film.png --json";

/// Of `average`.
pub(crate) const AVERAGE: &str =
    "The runs must be finished and share manifests, initial weights and `norms`; recipe and seed may differ.

Example:
  trainer average runs/first runs/second --out runs/mean";

/// Of `export`.
pub(crate) const EXPORT: &str = "Example:
  trainer export runs/first --out weights/ --precision int8";

/// Of `card`.
pub(crate) const CARD: &str =
    "Reads deepbreath.safetensors, MODEL_CARD.in.md and report/ (written by `evaluate`, `cross-validate` and
the tutorial's recipe) in the folder of the weights; writes MODEL_CARD.md there and the figures between the marks of the
README. Run it after `evaluate`.

Example:
  trainer card weights/ --readme README.md";

/// Of `audit`.
pub(crate) const AUDIT: &str =
    "Shows the films whole, without lungs, the border alone, blurred and so on, and measures what is left (AUROC, with
95 % bootstrap intervals over patients). With --beside the page comparison.html sets several audits side by side.

Example:
  trainer audit films.csv --cross-validation loso/cross-validation.json --folds folds/cross-validation.json --out audit/

Of weights that know fewer labels or were trained on some of the films:
  trainer audit films.csv --weights tutorial.safetensors --trained-on tutorial.csv --out audit/tutorial/

Pages again from what was measured:
  trainer audit --from audit/audit.json --beside audit/tutorial/audit.json --out audit/";

/// Of `lungs`.
pub(crate) const LUNGS: &str =
    "Writes the coefficients that the library carries and, beside them, how well they find lungs (Dice, five folds
over patients). Outlines of films in the test split are measured on, not fitted to.

Example:
  trainer lungs lung_masks/manifest.csv --kind manual --out src/lungs.bin";

/// Of `prepare complete`.
pub(crate) const COMPLETE: &str = "Example:
  trainer prepare complete tutorial.csv --from cxr/manifest.csv --out tutorial-complete.csv";
