//! Rows of numbers, one for each film, kept on disk: computed once, and a stopped run goes on where it was.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::dataset::Film;
use crate::training::{check_interrupted, progress_bar};

/// Films that are computed between two writes, a multiple of every batch, so that resuming changes no batch.
pub(super) const CHUNK: usize = 64;

/// The rows in `path`, `[films][width]`, little-endian 32-bit floats; `compute` makes those that are missing. The
/// caller names the file after everything that the rows depend on.
///
/// # Errors
/// Those of `compute`, a stop by Ctrl-C, and those of the disk.
pub(crate) fn rows(
    path: &Path,
    what: &str,
    films: &[&Film],
    width: usize,
    compute: impl Fn(&[&Film]) -> Result<Vec<Vec<f32>>>,
) -> Result<Vec<Vec<f32>>> {
    let shown = || format!("cannot use the cache {}; delete it and start again", path.display());
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).with_context(shown)?;
    let row_bytes = width * 4;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).with_context(shown)?;
    ensure!(bytes.len() <= films.len() * row_bytes, shown());
    if bytes.len() < films.len() * row_bytes {
        // What a crash cut off is made again, by whole chunks.
        bytes.truncate(bytes.len() / (CHUNK * row_bytes) * CHUNK * row_bytes);
        file.set_len(bytes.len() as u64).with_context(shown)?;
        file.seek(SeekFrom::End(0)).with_context(shown)?;
    }
    let done = bytes.len() / row_bytes;
    let bar = progress_bar(films.len(), what);
    bar.set_position(done as u64);
    for chunk in films[done..].chunks(CHUNK) {
        check_interrupted().with_context(|| what.to_string())?;
        let rows = compute(chunk)?;
        ensure!(rows.len() == chunk.len() && rows.iter().all(|row| row.len() == width), "rows of another width");
        let new: Vec<u8> = rows.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
        file.write_all(&new).with_context(shown)?;
        bytes.extend(new);
        bar.inc(chunk.len() as u64);
    }
    file.sync_all().with_context(shown)?;
    bar.finish_and_clear();
    let row = |bytes: &[u8]| bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    Ok(bytes.chunks_exact(row_bytes).map(row).collect())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_cut_cache_is_completed_and_a_whole_one_is_only_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rows.bin");
        let films: Vec<Film> = (0..150)
            .map(|index| Film {
                path: format!("{index}").into(),
                name: index.to_string(),
                label: 0,
                source: "s".into(),
                patient_id: index.to_string(),
                view: None,
                age_group: None,
                license: None,
                sha256: None,
                split: None,
            })
            .collect();
        let films: Vec<&Film> = films.iter().collect();
        let computed = Cell::new(0);
        let make = || {
            rows(&path, "test", &films, 3, |chunk| {
                computed.set(computed.get() + chunk.len());
                let row = |film: &&Film| vec![film.name.parse().expect("a number"), 0.5, -1.0];
                Ok(chunk.iter().map(row).collect())
            })
            .expect("rows")
        };
        let first = make();
        assert_eq!((first.len(), computed.get()), (150, 150));
        assert!(first.iter().enumerate().all(|(index, row)| row == &[index as f32, 0.5, -1.0]));
        assert_eq!((make(), computed.get()), (first.clone(), 150));
        // Cut inside row 100: the first 64 stay.
        let file = std::fs::OpenOptions::new().write(true).open(&path).expect("the cache");
        file.set_len(100 * 12 + 5).expect("cut");
        assert_eq!((make(), computed.get()), (first, 150 + 86));
    }
}
