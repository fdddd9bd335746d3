//! Whether a film, or its patient, stands on both sides of a split.
//!
//! Films are compared by a difference hash (N. Krawetz 2013, "Kind of like that"): the film as 17 x 16 grey values, and
//! for each neighbouring pair whether it gets brighter by more than a grey level. Copies that were scaled, compressed or
//! had their contrast changed differ in a few of the 256 bits. Chest X-rays resemble each other so much that the usual 64
//! bits tell nothing: in the training pool dozens of films of different people agree in all of them. What the hash does
//! not find: a copy that was cropped, turned or mirrored.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::Result;
use deepbreath::Radiograph;
use deepbreath::preprocess::resize;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::dataset::{Film, Split, names};
use crate::films;
use crate::training::{check_interrupted, progress_bar};

/// Rows of the hashed square; as many pairs in each row.
const SIDE: usize = 16;
/// Bits of a hash.
pub const BITS: u32 = (SIDE * SIDE) as u32;
/// Films are copies of each other up to this many different bits. Of a hundred films that were scaled to half their size
/// and given another contrast, none differs by more (`tests/leakage.rs`).
pub const NEAR: u32 = 8;
/// Smaller steps count as none, in shares of black to white: without this the bits of a black border are chance.
const STEP: f32 = 1.0 / 256.0;
/// Unreadable films that are named; further ones are counted.
const NAMED: usize = 5;
/// Films hashed between two looks at Ctrl-C.
const GROUP: usize = 64;

/// A difference hash.
pub type Hash = [u64; SIDE * SIDE / 64];

/// The difference hash of a film.
pub fn hash(film: &Radiograph) -> Hash {
    let plane = resize(&film.pixels, film.width, film.height, SIDE + 1, SIDE);
    let mut hash = Hash::default();
    for (row, line) in plane.chunks_exact(SIDE + 1).enumerate() {
        for (column, pair) in line.windows(2).enumerate() {
            let bit = row * SIDE + column;
            hash[bit / 64] |= u64::from(pair[1] - pair[0] > STEP) << (bit % 64);
        }
    }
    hash
}

/// How many bits two hashes differ in, 0 to [`BITS`].
pub fn distance(a: &Hash, b: &Hash) -> u32 {
    a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
}

/// What train, validation and test films have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeakageReport {
    /// Films of all splits.
    pub films: u64,
    /// Patients.
    pub patients: u64,
    /// Patients with films in more than one split.
    pub shared_patients: u64,
    /// Pairs of films in different splits that differ in at most [`LeakageReport::near`] bits.
    pub near_pairs: u64,
    /// See [`NEAR`].
    pub near: u32,
    /// [`BITS`].
    pub bits: u32,
    /// The least distance between films of different splits.
    pub closest: Option<u32>,
    /// Names of films that could not be read, and are therefore in no pair; see [`LeakageReport::new`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
}

impl LeakageReport {
    /// Compares all films with a split. Those of the partition `judged` (`None`: all) must be readable; others are left out
    /// of the pairs and named in [`LeakageReport::unreadable`].
    ///
    /// # Errors
    /// If a film of the partition `judged` cannot be decoded (the message names it), or Ctrl-C was pressed.
    pub fn new(films: &[Film], judged: Option<Split>) -> Result<Self> {
        let bar = progress_bar(films.len(), "comparing films");
        let mut hashes = Vec::with_capacity(films.len());
        for group in films.chunks(GROUP) {
            check_interrupted()?;
            let needed = |film: &Film| judged.is_none() || film.split == judged;
            let read = |film: &Film| match films::decode(film) {
                Err(error) if needed(film) => Err(error),
                film => Ok(film.ok().map(|film| hash(&film))),
            };
            hashes.extend(group.par_iter().map(read).collect::<Result<Vec<_>>>()?);
            bar.set_position(hashes.len() as u64);
        }
        bar.finish_and_clear();
        let unreadable = films.iter().zip(&hashes).filter(|(_, hash)| hash.is_none());
        let unreadable = unreadable.map(|(film, _)| film.name.clone()).collect();
        let read = films.iter().zip(hashes).filter_map(|(film, hash)| Some((hash?, film.split)));
        let (hashes, splits): (Vec<Hash>, Vec<Option<Split>>) = read.unzip();
        let (near_pairs, closest) = across(&hashes, &splits);
        let mut of_patient: BTreeMap<&str, BTreeSet<Option<Split>>> = BTreeMap::new();
        for film in films.iter().filter(|film| !film.patient_id.is_empty()) {
            of_patient.entry(&film.patient_id).or_default().insert(film.split);
        }
        Ok(Self {
            films: films.len() as u64,
            patients: of_patient.len() as u64,
            shared_patients: of_patient.values().filter(|splits| splits.len() > 1).count() as u64,
            near_pairs,
            near: NEAR,
            bits: BITS,
            closest,
            unreadable,
        })
    }

    /// In a sentence, how many films could not be read, and the first of them; `None` if all could.
    pub fn unread(&self) -> Option<String> {
        let count = self.unreadable.len();
        let films = match count {
            0 => return None,
            1 => "1 film of another split cannot be read and was".to_owned(),
            _ => format!("{count} films of other splits cannot be read and were"),
        };
        let more = if count > NAMED { format!(" and {} more", count - NAMED) } else { String::new() };
        Some(format!("{films} not compared: {}{more}.", names(self.unreadable.iter().take(NAMED))))
    }
}

impl fmt::Display for LeakageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { films, patients, shared_patients, near_pairs, near, bits, closest, .. } = self;
        write!(
            f,
            "Of {films} films of {patients} patients in all splits, {shared_patients} patients and {near_pairs} pairs of films \
             (difference hash, at most {near} of {bits} bits apart"
        )?;
        if let Some(closest) = closest {
            write!(f, "; the closest pair differs in {closest}")?;
        }
        f.write_str(") are in more than one split.")?;
        self.unread().map_or(Ok(()), |unread| write!(f, " {unread}"))
    }
}

/// Pairs of different splits within [`NEAR`], and the least distance of any such pair.
fn across(hashes: &[Hash], splits: &[Option<Split>]) -> (u64, Option<u32>) {
    let of_film = |first: usize| {
        let others = (first + 1..hashes.len()).filter(|other| splits[*other] != splits[first]);
        let distances = others.map(|other| distance(&hashes[first], &hashes[other]));
        distances.fold((0, None), |(near, least): (u64, Option<u32>), distance| {
            (near + u64::from(distance <= NEAR), Some(least.map_or(distance, |least| least.min(distance))))
        })
    };
    let all = (0..hashes.len()).into_par_iter().map(of_film);
    all.reduce(|| (0, None), |a, b| (a.0 + b.0, [a.1, b.1].into_iter().flatten().min()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn film(pixel: impl Fn(usize, usize) -> f32) -> Radiograph {
        let (width, height) = (68, 64);
        let pixels = (0..width * height).map(|at| pixel(at % width, at / width)).collect();
        Radiograph { width, height, pixels, provenance: Default::default() }
    }

    #[test]
    fn a_hash_is_the_signs_of_the_steps_to_the_right() {
        let rising = hash(&film(|x, _| x as f32 / 68.0));
        assert_eq!(rising, [u64::MAX; 4]);
        let falling = hash(&film(|x, _| 1.0 - x as f32 / 68.0));
        assert_eq!((falling, distance(&rising, &falling)), ([0; 4], BITS));
        // Rising in the upper half only: the first 128 bits.
        let half = hash(&film(|x, y| if y < 32 { x as f32 / 68.0 } else { 1.0 - x as f32 / 68.0 }));
        assert_eq!(half, [u64::MAX, u64::MAX, 0, 0]);
    }

    #[test]
    fn pairs_count_between_splits_only() {
        let (train, test) = (Some(Split::Train), Some(Split::Test));
        let near = [(1 << NEAR) - 1, 0, 0, 0];
        let far = [u64::MAX, 0, 0, 0];
        assert_eq!(across(&[[0; 4], [0; 4], near, far], &[train, train, train, train]), (0, None));
        assert_eq!(across(&[[0; 4], [0; 4], near, far], &[train, train, test, test]), (2, Some(NEAR)));
        assert_eq!(across(&[[0; 4], far], &[train, test]), (0, Some(64)));
    }
}
