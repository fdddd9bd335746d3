//! A manifest with what another manifest says of the same files.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::sample::moved;
use super::{Prepared, folder_of};
use crate::cli::CompleteArgs;
use crate::dataset::{Row, names, read_rows};

/// The rows of `args.manifest`; columns that are empty there are filled from the rows of `args.from` on the same files.
/// A patient and a split that are given there replace those of the row, since the larger list knows more of the patient's
/// films; one that is empty there leaves the row's as it is. Labels and rows on other files stay as they are. How many rows
/// were found, and where the two lists contradict each other, is noted.
///
/// # Errors
/// A manifest that cannot be read, a film that is not there, or no file that both manifests list.
pub fn complete(args: &CompleteArgs) -> anyhow::Result<Prepared> {
    let mut known: HashMap<PathBuf, Row> = HashMap::new();
    for (_, row) in read_rows(&args.from)? {
        known.insert(file(&args.from, &row)?, row);
    }
    let (from, to) = (folder_of(&args.manifest)?, folder_of(&args.out)?);
    let mut prepared = Prepared::default();
    let mut found = 0;
    let (mut labels, mut patients, mut splits) = (Vec::new(), Vec::new(), Vec::new());
    for (_, mut row) in read_rows(&args.manifest)? {
        if let Some(other) = known.get(&file(&args.manifest, &row)?) {
            found += 1;
            if row.label != other.label {
                labels.push(format!("{} ({}, there {})", row.path, row.label, other.label));
            }
            for (field, other, replaced) in
                [(&mut row.patient_id, &other.patient_id, &mut patients), (&mut row.split, &other.split, &mut splits)]
            {
                if other.is_empty() || field == other {
                    continue;
                }
                if !field.is_empty() {
                    replaced.push(format!("{} ({field}, now {other})", row.path));
                }
                field.clone_from(other);
            }
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
    ensure!(
        found > 0,
        "{} lists none of the files of {}: nothing to fill in. Give a --from manifest of the same files",
        args.from.display(),
        args.manifest.display()
    );
    prepared.rows.sort_by(|a, b| a.path.cmp(&b.path));
    prepared.notes.push(format!("{found} of {} rows are also in {}", prepared.rows.len(), args.from.display()));
    for (what, films) in [
        ("another label there; the label was kept", labels),
        ("another patient there, which was taken", patients),
        ("another split there, which was taken", splits),
    ] {
        if !films.is_empty() {
            prepared.notes.push(format!("warning: {} rows have {what}: {}", films.len(), names(films)));
        }
    }
    Ok(prepared)
}

/// The file of a row, without links and dots.
fn file(csv: &Path, row: &Row) -> anyhow::Result<PathBuf> {
    let path = csv.parent().unwrap_or(Path::new("")).join(&row.path);
    path.canonicalize().with_context(|| format!("{}: file {} is not there", csv.display(), row.path))
}
