//! Arguments of the forms of `prepare`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use crate::help;

/// Arguments of `prepare`.
#[derive(Debug, Args)]
#[command(after_help = help::PREPARE)]
pub struct PrepareArgs {
    /// Where the films come from.
    #[command(subcommand)]
    pub form: PrepareForm,
}

/// The forms of `prepare`.
#[derive(Debug, Subcommand)]
pub enum PrepareForm {
    /// Read the layout of github.com/ieee8023/covid-chestxray-dataset: metadata.csv and images/
    #[command(after_help = help::COVID_CHESTXRAY)]
    CovidChestxray(CovidChestxrayArgs),
    /// Read DIR/LABEL/image or DIR/{train,val,test}/LABEL/image, e.g. the Kaggle pneumonia set
    #[command(after_help = help::FOLDERS)]
    Folders(FoldersArgs),
    /// Draw the same number of films of each label from a manifest
    #[command(after_help = help::SAMPLE)]
    Sample(SampleArgs),
    /// Fill in what another manifest knows of the same files: source, patient, split and so on
    #[command(after_help = help::COMPLETE)]
    Complete(CompleteArgs),
}

/// Arguments of `prepare covid-chestxray`.
#[derive(Debug, Args)]
pub struct CovidChestxrayArgs {
    /// Folder with metadata.csv
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
    /// Manifest to write
    #[arg(long, value_name = "CSV", value_hint = ValueHint::FilePath)]
    pub out: PathBuf,
    /// Keep only films with this finding, e.g. COVID-19 (part of Pneumonia/Viral/COVID-19); repeat for several
    #[arg(long, value_name = "FINDING", value_delimiter = ',')]
    pub finding: Vec<String>,
    /// Keep only this view: PA, AP, "AP Supine", ...; repeat for several [default: every frontal view]
    #[arg(long, value_name = "VIEW", value_delimiter = ',', value_parser = frontal_view)]
    pub view: Vec<String>,
}

/// Arguments of `prepare folders`.
#[derive(Debug, Args)]
pub struct FoldersArgs {
    /// Folder with one folder per label, or with train, val and test
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
    /// Manifest to write
    #[arg(long, value_name = "CSV", value_hint = ValueHint::FilePath)]
    pub out: PathBuf,
    /// Name of the source [default: name of DIR]
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
}

/// Arguments of `prepare sample`.
#[derive(Debug, Args)]
pub struct SampleArgs {
    /// Manifest to draw from
    #[arg(value_name = "CSV", value_hint = ValueHint::FilePath)]
    pub manifest: PathBuf,
    /// Films of each label
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub per_class: u32,
    /// Seed of the draw
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub seed: u64,
    /// Manifest to write
    #[arg(long, value_name = "CSV", value_hint = ValueHint::FilePath)]
    pub out: PathBuf,
}

/// Arguments of `prepare complete`.
#[derive(Debug, Args)]
pub struct CompleteArgs {
    /// Manifest to complete
    #[arg(value_name = "CSV", value_hint = ValueHint::FilePath)]
    pub manifest: PathBuf,
    /// Manifest that knows more
    #[arg(long, value_name = "CSV", value_hint = ValueHint::FilePath)]
    pub from: PathBuf,
    /// Manifest to write
    #[arg(long, value_name = "CSV", value_hint = ValueHint::FilePath)]
    pub out: PathBuf,
}

fn frontal_view(word: &str) -> Result<String, String> {
    match word.to_uppercase().split_whitespace().next() {
        Some("PA" | "AP") => Ok(word.to_string()),
        _ => Err("only frontal views can be kept: PA, AP, \"AP Supine\", \"AP erect\", \"AP semi erect\"".into()),
    }
}
