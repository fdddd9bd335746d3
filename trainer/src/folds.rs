//! Spreads films over partitions and folds: by patient, stratified over label and source, the same for the same seed.
//!
//! Nothing here knows about files. Patients are taken in a seeded order, large ones first, and each goes where its
//! strata lack most (the greedy rule of scikit-learn's `StratifiedGroupKFold`, with shares). For patients of one film
//! each, every stratum (label and source) ends within one film of its share in every part; with equal shares also
//! every label.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use anyhow::bail;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::dataset::{Film, names};

/// What must stay in one fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// All films of a patient: the honest way.
    Patient,
    /// Each film for itself: plain stratified k-fold, to compare with papers that split so.
    Image,
}

/// The fold (`0..k`) of each film, stratified by label and source.
///
/// # Errors
/// `k` below 2, or fewer patients (or films) than folds.
pub fn folds<F: Borrow<Film>>(films: &[F], k: usize, grouping: Grouping, seed: u64) -> anyhow::Result<Vec<usize>> {
    if k < 2 {
        bail!("{k} folds: at least 2 are needed");
    }
    let (units, what) = match grouping {
        Grouping::Patient => {
            (films.iter().map(|film| &film.borrow().patient_id).collect::<HashSet<_>>().len(), "patients")
        }
        Grouping::Image => (films.len(), "films"),
    };
    if units < 2 {
        bail!("{k} folds of {units} {what}: at least 2 {what} are needed; add films to the manifest");
    }
    if units < k {
        bail!("{k} folds of {units} {what}: ask for at most {units} folds");
    }
    Ok(allocate(films, &vec![1.0 / k as f64; k], grouping, seed))
}

/// A unit that stays together, with its number of films per stratum, per label, and in all.
struct Unit {
    films: Vec<usize>,
    counts: [BTreeMap<usize, f64>; 3],
}

/// The part of each film, so that every stratum is divided about as `shares` are to each other.
pub(crate) fn allocate<F: Borrow<Film>>(films: &[F], shares: &[f64], grouping: Grouping, seed: u64) -> Vec<usize> {
    let strata: Vec<(usize, &str)> = films
        .iter()
        .map(|film| (film.borrow().label, film.borrow().source.as_str()))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let units = seeded_units(films, &strata, grouping, seed);

    // At each level (stratum, label, all): how many films a part still lacks, and what weighs one film of that key.
    let mut lacking: [BTreeMap<usize, Vec<f64>>; 3] = Default::default();
    let mut totals: [BTreeMap<usize, f64>; 3] = Default::default();
    for unit in &units {
        for (level, counts) in unit.counts.iter().enumerate() {
            for (&key, n) in counts {
                *totals[level].entry(key).or_default() += n;
            }
        }
    }
    let whole: f64 = shares.iter().sum();
    for (level, totals) in totals.iter().enumerate() {
        for (&key, total) in totals {
            lacking[level].insert(key, shares.iter().map(|share| share / whole * total).collect());
        }
    }

    let mut parts = vec![0; films.len()];
    for unit in units {
        // Change of the sum of squared deviations, at each level; the finest level decides first.
        let cost = |part: usize| -> [f64; 3] {
            std::array::from_fn(|level| {
                unit.counts[level]
                    .iter()
                    .map(|(key, n)| n * (n - 2.0 * lacking[level][key][part]) / totals[level][key])
                    .sum()
            })
        };
        let part = (0..shares.len())
            .map(|part| (cost(part), part))
            .min_by(|(a, p), (b, q)| rounded(a).cmp(&rounded(b)).then(p.cmp(q)))
            .map_or(0, |(_, part)| part);
        for (level, counts) in unit.counts.iter().enumerate() {
            for (key, n) in counts {
                lacking[level].get_mut(key).expect("every key was counted")[part] -= n;
            }
        }
        for film in unit.films {
            parts[film] = part;
        }
    }
    parts
}

/// Costs that differ by rounding only are equal, so that the next level decides.
fn rounded(cost: &[f64; 3]) -> [i64; 3] {
    cost.map(|value| (value * 1e9).round() as i64)
}

/// Units in the order of allocation: large ones first, then stratum by stratum, shuffled within.
fn seeded_units<F: Borrow<Film>>(films: &[F], strata: &[(usize, &str)], grouping: Grouping, seed: u64) -> Vec<Unit> {
    let mut members: BTreeMap<(&str, usize), Vec<usize>> = BTreeMap::new();
    for (i, film) in films.iter().enumerate() {
        let key = match grouping {
            Grouping::Patient => (film.borrow().patient_id.as_str(), 0),
            Grouping::Image => (film.borrow().name.as_str(), i),
        };
        members.entry(key).or_default().push(i);
    }
    let mut units: Vec<Unit> = members
        .into_values()
        .map(|members| {
            let mut counts: [BTreeMap<usize, f64>; 3] = Default::default();
            for &i in &members {
                let film = films[i].borrow();
                let stratum = strata.binary_search(&(film.label, &film.source)).expect("every stratum is listed");
                for (level, key) in [stratum, film.label, 0].into_iter().enumerate() {
                    *counts[level].entry(key).or_default() += 1.0;
                }
            }
            Unit { films: members, counts }
        })
        .collect();
    units.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    units.sort_by_key(|unit| (usize::MAX - unit.films.len(), unit.counts[0].keys().next().copied()));
    units
}

/// Sources that are left out of training together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceGroup {
    /// As it was asked for, e.g. `bimcv+rsna`.
    pub name: String,
    /// The sources in it.
    pub sources: Vec<String>,
}

/// Which films train and which are tested when a source is left out: indices into the films.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Films of other sources and other patients.
    pub train: Vec<usize>,
    /// Films of the group.
    pub test: Vec<usize>,
    /// Films of other sources whose patient is in `test`: used for neither.
    pub shared: Vec<usize>,
}

/// The sources that the name of a group stands for: itself if it is the name of a source that is `known`, or else the
/// parts between its `+`.
pub fn left_out_sources(name: &str, known: impl Fn(&str) -> bool) -> Vec<&str> {
    if known(name) { vec![name] } else { name.split('+').map(str::trim).collect() }
}

/// The groups that `wanted` names (`siim`, or `bimcv+rsna` for several together; a source that is called so is that source
/// alone); each source alone if it is empty.
///
/// # Errors
/// A source that no film has, or that is named twice; a group that leaves nothing to train on.
pub fn source_groups<F: Borrow<Film>>(films: &[F], wanted: &[String]) -> anyhow::Result<Vec<SourceGroup>> {
    let all: BTreeSet<&str> = films.iter().map(|film| film.borrow().source.as_str()).collect();
    let wanted: Vec<String> =
        if wanted.is_empty() { all.iter().map(ToString::to_string).collect() } else { wanted.to_vec() };
    let mut groups = Vec::new();
    let mut used = BTreeSet::new();
    for name in wanted {
        let sources = left_out_sources(&name, |source| all.contains(source));
        let sources: Vec<String> = sources.into_iter().map(String::from).collect();
        for source in &sources {
            if !all.contains(source.as_str()) {
                bail!("source `{source}` has no films; the manifest has {}", names(&all));
            }
            if !used.insert(source.clone()) {
                bail!("source `{source}` is named twice in the sources to leave out; name it once");
            }
        }
        if sources.len() == all.len() {
            bail!("leaving out {name} leaves nothing to train on; leave out fewer sources");
        }
        groups.push(SourceGroup { name, sources });
    }
    Ok(groups)
}

/// Divides the films for one left-out group. No patient is on both sides.
pub fn leave_out<F: Borrow<Film>>(films: &[F], group: &SourceGroup) -> LeftOut {
    let out = |film: &F| group.sources.contains(&film.borrow().source);
    let patients: HashSet<&str> =
        films.iter().filter(|film| out(film)).map(|film| film.borrow().patient_id.as_str()).collect();
    let mut left = LeftOut { train: Vec::new(), test: Vec::new(), shared: Vec::new() };
    for (i, film) in films.iter().enumerate() {
        if out(film) {
            left.test.push(i);
        } else if patients.contains(film.borrow().patient_id.as_str()) {
            left.shared.push(i);
        } else {
            left.train.push(i);
        }
    }
    left
}
