//! Films as small squares on disk: each file is decoded once, and data sets larger than memory stream from there.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use deepbreath::Radiograph;
use deepbreath::preprocess::{ModelInput, resize};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::dataset::{Film, hex};
use crate::training::check_interrupted;

/// Side of a stored square: somewhat more than the network's input, so that warping costs no sharpness.
pub const STORED_SIDE: usize = 256;
/// Films decoded at a time before they are written.
const GROUP: usize = 64;
/// Raised when the stored values change.
const VERSION: u32 = 1;

/// Decodes the file of `film`.
///
/// # Errors
/// If the file cannot be read, is refused, or is not the one whose digest the manifest gives; the message names it.
pub fn decode(film: &Film) -> Result<Radiograph> {
    Ok(Radiograph::decode(&film.path.display().to_string(), &read(film)?)?)
}

/// The bytes of the film's file, which have the digest that the manifest gives, if it gives one.
fn read(film: &Film) -> Result<Vec<u8>> {
    let name = film.path.display();
    let bytes = std::fs::read(&film.path).with_context(|| format!("cannot read the film {name}"))?;
    let same = film.sha256.as_ref().is_none_or(|digest| *digest == hex(&Sha256::digest(&bytes)));
    ensure!(
        same,
        "{name}: not the file that the manifest was made from (another SHA-256). Put that file back, or make the manifest \
         again with `trainer prepare`"
    );
    Ok(bytes)
}

/// Changes when the film's file (see [`contents`]) or what the manifest says of it changes.
///
/// # Errors
/// If there is no such file; the message names it.
pub(crate) fn identity(film: &Film) -> Result<String> {
    Ok(format!("{} {} {} {} {}", film.name, film.label, film.source, film.patient_id, contents(film)?))
}

/// Changes when the film's file changes: its size and, where the manifest gives one, the digest, which a copy of the
/// data keeps (whether the file has that digest, [`decode`] looks); otherwise the time.
fn contents(film: &Film) -> Result<String> {
    let file = film.path.metadata().with_context(|| format!("cannot read the film {}", film.path.display()))?;
    Ok(match &film.sha256 {
        Some(digest) => format!("{} {digest}", file.len()),
        None => format!("{} {:?}", file.len(), file.modified().ok()),
    })
}

/// What the numbers that are computed from the film's file depend on: its contents and, where no digest tells them,
/// its place.
///
/// # Errors
/// If there is no such file; the message names it.
pub(crate) fn file_identity(film: &Film) -> Result<String> {
    let contents = contents(film)?;
    Ok(if film.sha256.is_some() { contents } else { format!("{} {contents}", film.path.display()) })
}

/// The network's input for `film`, by the path that every answer takes.
///
/// # Errors
/// As [`decode`].
pub fn input(film: &Film) -> Result<ModelInput> {
    Ok(ModelInput::from_radiograph(&decode(film)?))
}

/// Squares of [`STORED_SIDE`], 8 bits a pixel, in the order of the films they were made from.
#[derive(Debug)]
pub struct FilmCache {
    file: Mutex<File>,
    count: usize,
}

impl FilmCache {
    /// Opens the cache of exactly these films in `dir`, decoding them first if it is not there yet.
    /// `progress` is told how many films are done.
    ///
    /// # Errors
    /// If a film cannot be decoded or is no longer the one that the manifest names (the message names it), the cache
    /// cannot be written, or Ctrl-C was pressed; a cache that is not whole is not kept.
    pub fn open(films: &[&Film], dir: &Path, progress: &(dyn Fn(usize) + Sync)) -> Result<Self> {
        let path = dir.join(format!("films-{}.bin", key(films)?));
        if path.exists() {
            check_touched(films, &path)?;
        } else {
            std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
            fill(films, &path, progress).with_context(|| format!("filling the film cache {}", path.display()))?;
        }
        progress(films.len());
        Ok(Self { file: Mutex::new(File::open(path)?), count: films.len() })
    }

    /// The plane of film `index`, `STORED_SIDE * STORED_SIDE` values in 0..=1.
    ///
    /// # Errors
    /// If the cache cannot be read.
    ///
    /// # Panics
    /// If there is no such film.
    pub fn plane(&self, index: usize) -> Result<Vec<f32>> {
        assert!(index < self.count, "film {index} of {}", self.count);
        let mut bytes = vec![0; STORED_SIDE * STORED_SIDE];
        let mut file = self.file.lock().expect("no reader panics");
        file.seek(SeekFrom::Start((index * bytes.len()) as u64))?;
        file.read_exact(&mut bytes).context("the film cache is shorter than it was; delete it and start again")?;
        Ok(bytes.into_iter().map(|byte| f32::from(byte) / 255.0).collect())
    }
}

/// Changes when a film's file (see [`file_identity`]) or the form of the cache changes.
fn key(films: &[&Film]) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(format!("{VERSION} {STORED_SIDE}"));
    for film in films {
        hash.update(file_identity(film)? + "\n");
    }
    Ok(hex(&hash.finalize()[..8]))
}

/// Reads the films that were touched since the cache was written: [`file_identity`] takes the manifest's word for them.
fn check_touched(films: &[&Film], cache: &Path) -> Result<()> {
    let written = cache.metadata()?.modified()?;
    films.par_iter().filter(|film| film.sha256.is_some()).try_for_each(|film| {
        check_interrupted()?;
        if film.path.metadata()?.modified()? > written {
            read(film)?;
        }
        Ok(())
    })
}

fn fill(films: &[&Film], path: &PathBuf, progress: &(dyn Fn(usize) + Sync)) -> Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    let done = AtomicUsize::new(0);
    for group in films.chunks(GROUP) {
        check_interrupted()?;
        let squares: Vec<Vec<u8>> = group
            .par_iter()
            .map(|film| {
                let film = decode(film)?;
                let plane = resize(&film.pixels, film.width, film.height, STORED_SIDE, STORED_SIDE);
                progress(done.fetch_add(1, Ordering::Relaxed) + 1);
                Ok(plane.into_iter().map(|value| (value * 255.0).round() as u8).collect())
            })
            .collect::<Result<_>>()?;
        for square in squares {
            file.write_all(&square)?;
        }
    }
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_film_changed_in_place_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("film.png");
        let save = |grey: u8| image::GrayImage::from_pixel(8, 8, image::Luma([grey])).save(&path).unwrap();
        save(10);
        let digest = hex(&Sha256::digest(std::fs::read(&path).unwrap()));
        let csv = folder.path().join("films.csv");
        std::fs::write(&csv, format!("path,label,sha256\nfilm.png,a,{digest}\n")).unwrap();
        let film = crate::dataset::Manifest::read(&[csv]).unwrap().films.remove(0);
        let cache = || FilmCache::open(&[&film], &folder.path().join("cache"), &|_| ());
        assert_eq!(cache().unwrap().plane(0).unwrap()[0], 10.0 / 255.0);

        let touch = |path: &Path, time| File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
        touch(&path, later);
        assert!(decode(&film).is_ok() && cache().is_ok(), "the same film with another time");
        let before = path.metadata().unwrap().len();
        save(20);
        touch(&path, later);
        assert_eq!(path.metadata().unwrap().len(), before, "the size alone does not tell");
        for error in [decode(&film).unwrap_err(), cache().unwrap_err()] {
            let text = error.to_string();
            assert!(text.contains("film.png: not the file") && text.contains("trainer prepare"), "{text}");
        }
    }
}
