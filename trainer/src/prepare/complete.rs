//! A manifest with what another manifest says of the same files.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::sample::moved;
use super::{Prepared, folder_of};
use crate::cli::CompleteArgs;
use crate::dataset::{Row, read_rows};

/// The rows of `args.manifest`; columns that are empty there are filled from the rows of `args.from` on the same files.
/// Patient and split are taken from there even if they are not empty, since the larger list knows more of the patient's
/// films; rows on other files stay as they are.
///
/// # Errors
/// A manifest that cannot be read, or a film that is not there.
pub fn complete(args: &CompleteArgs) -> anyhow::Result<Prepared> {
    let mut known: HashMap<PathBuf, Row> = HashMap::new();
    for (_, row) in read_rows(&args.from)? {
        known.insert(file(&args.from, &row)?, row);
    }
    let (from, to) = (folder_of(&args.manifest)?, folder_of(&args.out)?);
    let mut prepared = Prepared::default();
    for (_, mut row) in read_rows(&args.manifest)? {
        if let Some(other) = known.get(&file(&args.manifest, &row)?) {
            let Row { patient_id, split, .. } = other.clone();
            (row.patient_id, row.split) = (patient_id, split);
            for (field, other) in [
                (&mut row.source, &other.source),
                (&mut row.view, &other.view),
                (&mut row.age_group, &other.age_group),
                (&mut row.license, &other.license),
                (&mut row.origin, &other.origin),
                (&mut row.sha256, &other.sha256),
            ] {
                if field.is_empty() {
                    field.clone_from(other);
                }
            }
            (row.width, row.height) = (row.width.or(other.width), row.height.or(other.height));
        }
        row.path = moved(&row.path, &from, &to).with_context(|| args.manifest.display().to_string())?;
        prepared.rows.push(row);
    }
    prepared.rows.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(prepared)
}

/// The file of a row, without links and dots.
fn file(csv: &Path, row: &Row) -> anyhow::Result<PathBuf> {
    let path = csv.parent().unwrap_or(Path::new("")).join(&row.path);
    path.canonicalize().with_context(|| format!("{}: file {} is not there", csv.display(), row.path))
}
