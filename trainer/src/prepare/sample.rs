//! A small manifest out of a large one.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::{Prepared, folder_of, relative};
use crate::cli::SampleArgs;
use crate::dataset::{Row, read_rows};

/// The same number of rows of each label, drawn with a seed; the order of the manifest does not matter.
///
/// # Errors
/// A manifest that cannot be read, a film that is not there, or a label with too few films.
pub fn sample(args: &SampleArgs) -> anyhow::Result<Prepared> {
    let mut labels: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for (_, row) in read_rows(&args.manifest)? {
        labels.entry(row.label.clone()).or_default().push(row);
    }
    let wanted = args.per_class as usize;
    let (from, to) = (folder_of(&args.manifest)?, folder_of(&args.out)?);
    let mut prepared = Prepared::default();
    for (label, mut rows) in labels {
        if rows.len() < wanted {
            bail!(
                "{}: label {label} has {} films, {wanted} were asked for; use --per-class {} or less",
                args.manifest.display(),
                rows.len(),
                rows.len()
            );
        }
        rows.sort_by(|a, b| a.path.cmp(&b.path));
        rows.shuffle(&mut ChaCha8Rng::seed_from_u64(args.seed));
        for mut row in rows.drain(..wanted) {
            row.path = moved(&row.path, &from, &to).with_context(|| args.manifest.display().to_string())?;
            prepared.rows.push(row);
        }
    }
    prepared.rows.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(prepared)
}

/// A path relative to one folder, made relative to another.
pub(super) fn moved(path: &str, from: &Path, to: &Path) -> anyhow::Result<String> {
    let file = from.join(path);
    let folder = file.parent().unwrap_or(from);
    let folder = folder.canonicalize().with_context(|| format!("file {path} is not there"))?;
    relative(&folder.join(file.file_name().unwrap_or_default()), to)
}
