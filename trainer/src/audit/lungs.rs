//! `trainer lungs`: fits the library's lung localiser to outlines and measures it on patients that it was not fitted to.
//!
//! Legend: `n` views, `A` cells of a thumbnail. Views `X` `[n, A]` and lungs `Y` `[n, A]`, both less their means;
//! ridge regression `W = (X'X + c I)^-1 X'Y`, then only the strongest `RANK` directions of what it predicts are kept
//! (reduced-rank regression, Izenman 1975). Each film is also shown shifted and scaled, with its outline.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use deepbreath::lungs::{Localiser, RANK, THUMBNAIL, enlarge, shrink, standardise};
use deepbreath::preprocess::{SIDE, grey_plane, resize};
use rand::RngExt;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::linear::{leading, solve};
use crate::augment::interpolate;
use crate::bootstrap::{Bootstrap, Estimate};
use crate::cli::LungsArgs;
use crate::dataset::{Film, Split, write_whole};
use crate::films;
use crate::sampler::stream;
use crate::train::stop_on_interrupt;
use crate::training::{check_interrupted, progress_bar};
use crate::tutorial::patients;

/// Shifted and scaled views of a film beside itself.
const VIEWS: usize = 16;
/// Largest shift, as a share of the side.
const SHIFT: f32 = 0.08;
/// Largest change of width or height, as a natural logarithm (about 15 %).
const SCALE: f32 = 0.15;
/// `c` of the ridge regression, for `n` of about 1,000.
const RIDGE: f64 = 10.0;
/// Parts that the patients are dealt into for the measurement.
const FOLDS: usize = 5;
/// Cells that are lung by at least this are inside the outline.
const EDGE: f32 = 0.5;
/// What was measured when the library's localiser was fitted.
const MEASURED: &str = include_str!("../../../src/lungs.json");

/// How well lungs are found, as stored beside the coefficients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// Whose outlines these are: `kind` of the list.
    pub kind: String,
    /// Outlined films.
    pub films: usize,
    /// Their patients.
    pub patients: usize,
    /// Sources of the films.
    pub sources: Vec<String>,
    /// Films that the stored coefficients were fitted to: those outside the test split.
    pub fitted: usize,
    /// Mean area of the outlined lungs, as a share of the film.
    pub area: f64,
    /// Mean Dice of the localiser with the outlines, on patients that it was not fitted to (five folds).
    pub dice: Estimate,
    /// The same for the mean outline of the other patients, whatever the film.
    pub dice_usual: Estimate,
}

impl Fit {
    /// That of the library's localiser.
    ///
    /// # Panics
    /// Never: a test reads it.
    pub fn released() -> Self {
        serde_json::from_str(MEASURED).expect("a test reads it")
    }
}

/// An outlined film: planes of `SIDE * SIDE` values in 0..=1.
struct Outlined {
    film: Vec<f32>,
    lungs: Vec<f32>,
    patient: usize,
    source: String,
    test: bool,
}

/// Views and lungs as thumbnails, row by row.
type Pairs = (Vec<Vec<f32>>, Vec<Vec<f32>>);

/// Runs the command.
///
/// # Errors
/// If a file is missing or wrong, or Ctrl-C was pressed.
pub fn run(args: &LungsArgs) -> Result<()> {
    stop_on_interrupt();
    let films = read(&args.outlines, &args.kind)?;
    let patients: Vec<usize> = films.iter().map(|film| film.patient).collect();
    let count = patients.iter().max().map_or(0, |last| last + 1);
    ensure!(count >= FOLDS, "{} has {count} patients of this kind; {FOLDS} are needed", args.outlines.display());
    let views: Vec<Pairs> = films.par_iter().enumerate().map(|(index, film)| pairs(film, index as u64)).collect();
    let of = |wanted: &dyn Fn(usize) -> bool| -> Pairs {
        let chosen = (0..films.len()).filter(|film| wanted(*film)).map(|film| views[film].clone());
        let (x, y): (Vec<_>, Vec<_>) = chosen.unzip();
        (x.concat(), y.concat())
    };
    let mut folds: Vec<usize> = (0..count).map(|patient| patient % FOLDS).collect();
    folds.shuffle(&mut stream(args.seed, [1, 0, 0]));
    let mut dice = vec![[0.0; 2]; films.len()];
    let bar = progress_bar(FOLDS + 1, "fitting");
    for fold in 0..FOLDS {
        check_interrupted()?;
        let fitted = fit(of(&|film| folds[patients[film]] != fold));
        for (film, dice) in films.iter().zip(&mut dice).filter(|(film, _)| folds[film.patient] == fold) {
            let found = enlarge(&fitted.draw(&standardise(shrink(&film.film))));
            *dice = [overlap(&found, &film.lungs), overlap(&enlarge(&fitted.lungs), &film.lungs)];
        }
        bar.inc(1);
    }
    let mean = |weights: &[u32], which: usize| {
        let total: u32 = weights.iter().sum();
        let sum: f64 = dice.iter().zip(weights).map(|(dice, weight)| dice[which] * f64::from(*weight)).sum();
        (total > 0).then(|| sum / f64::from(total))
    };
    let estimates = Bootstrap::default().estimate(&patients, |weights| vec![mean(weights, 0), mean(weights, 1)]);
    let localiser = fit(of(&|film| !films[film].test));
    bar.finish_and_clear();
    let inside =
        |film: &Outlined| film.lungs.iter().filter(|lung| **lung >= EDGE).count() as f64 / film.lungs.len() as f64;
    let mut sources: Vec<String> = films.iter().map(|film| film.source.clone()).collect();
    sources.sort();
    sources.dedup();
    let report = Fit {
        kind: args.kind.clone(),
        films: films.len(),
        patients: count,
        sources,
        fitted: films.iter().filter(|film| !film.test).count(),
        area: films.iter().map(inside).sum::<f64>() / films.len() as f64,
        dice: estimates[0],
        dice_usual: estimates[1],
    };
    write_whole(&args.out, &localiser.to_bytes())?;
    let json = serde_json::to_string_pretty(&report)? + "\n";
    write_whole(&args.out.with_extension("json"), json.as_bytes())?;
    println!("{json}{}: build again to use it", args.out.display());
    Ok(())
}

/// A row of the list of outlines, whose paths are relative to it.
#[derive(Deserialize)]
struct Row {
    path: PathBuf,
    image: String,
    kind: String,
}

fn read(csv: &Path, kind: &str) -> Result<Vec<Outlined>> {
    let context = || format!("cannot read {} (columns path,image,kind)", csv.display());
    let rows: Vec<Row> = csv::Reader::from_path(csv)
        .with_context(context)?
        .deserialize()
        .collect::<Result<_, _>>()
        .with_context(context)?;
    let dir = csv.parent().unwrap_or(Path::new("."));
    let rows: Vec<Row> = rows.into_iter().filter(|row| row.kind == kind).collect();
    ensure!(!rows.is_empty(), "{} has no outline of kind {kind:?}", csv.display());
    let film = |row: &Row| Film {
        path: dir.join(&row.image),
        name: row.image.clone(),
        label: 0,
        source: String::new(),
        patient_id: row.image.clone(),
        view: None,
        age_group: None,
        license: None,
        sha256: None,
        split: None,
    };
    let films: Vec<Film> = rows.iter().map(film).collect();
    let known = patients::look_up(&films)?;
    let mut ids: Vec<&str> = Vec::new();
    let mut outlined = Vec::new();
    for ((row, film), known) in rows.iter().zip(&films).zip(&known) {
        let known = known.as_ref().with_context(|| {
            format!("{}: no manifest.csv beside it or above says whose film this is", film.path.display())
        })?;
        let patient = ids.iter().position(|id| *id == known.patient).unwrap_or_else(|| {
            ids.push(&known.patient);
            ids.len() - 1
        });
        let path = dir.join(&row.path);
        let outline = image::open(&path).with_context(|| format!("cannot read the outline {}", path.display()))?;
        let outline = outline.into_luma8();
        let (width, height) = (outline.width() as usize, outline.height() as usize);
        let lungs: Vec<f32> = outline.into_raw().into_iter().map(|byte| f32::from(byte) / 255.0).collect();
        outlined.push(Outlined {
            film: grey_plane(&films::decode(film)?),
            lungs: resize(&lungs, width, height, SIDE, SIDE),
            patient,
            source: known.source.clone(),
            test: known.split == Some(Split::Test),
        });
    }
    Ok(outlined)
}

/// The film as it is, and its shifted and scaled views.
fn pairs(outlined: &Outlined, index: u64) -> Pairs {
    let mut random = stream(0, [2, index, 0]);
    let centre = (SIDE as f32 - 1.0) / 2.0;
    let mut between = |limit: f32| random.random_range(-limit..=limit);
    let mut views = vec![(1.0, 1.0, 0.0, 0.0)];
    views.extend((0..VIEWS).map(|_| {
        let shift = SHIFT * SIDE as f32;
        (between(SCALE).exp(), between(SCALE).exp(), between(shift), between(shift))
    }));
    let view = |(wide, tall, right, down): &(f32, f32, f32, f32)| {
        let mut film = Vec::with_capacity(SIDE * SIDE);
        let mut lungs = Vec::with_capacity(SIDE * SIDE);
        for cell in 0..SIDE * SIDE {
            let x = ((cell % SIDE) as f32 - centre - right) / wide + centre;
            let y = ((cell / SIDE) as f32 - centre - down) / tall + centre;
            film.push(interpolate(&outlined.film, SIDE, x, y));
            let inside = (0.0..SIDE as f32).contains(&x) && (0.0..SIDE as f32).contains(&y);
            lungs.push(if inside { interpolate(&outlined.lungs, SIDE, x, y) } else { 0.0 });
        }
        (standardise(shrink(&film)), shrink(&lungs))
    };
    views.iter().map(view).unzip()
}

/// See the head of this file.
fn fit((x, y): Pairs) -> Localiser {
    const AREA: usize = THUMBNAIL * THUMBNAIL;
    let mean = |rows: &[Vec<f32>], column: usize| rows.iter().map(|row| row[column]).sum::<f32>() / rows.len() as f32;
    let film: Vec<f32> = (0..AREA).map(|column| mean(&x, column)).collect();
    // Of the films as they are: the first of each film's views.
    let upright: Vec<Vec<f32>> = y.iter().step_by(VIEWS + 1).cloned().collect();
    let usual: Vec<f32> = (0..AREA).map(|column| mean(&upright, column)).collect();
    let centred = |rows: &[Vec<f32>], mean: &[f32]| -> Vec<Vec<f64>> {
        rows.iter().map(|row| row.iter().zip(mean).map(|(value, mean)| f64::from(value - mean)).collect()).collect()
    };
    let (x, y) = (centred(&x, &film), centred(&y, &usual));
    let product = |a: &[Vec<f64>], b: &[Vec<f64>]| -> Vec<Vec<f64>> {
        (0..a[0].len())
            .into_par_iter()
            .map(|column| {
                let mut sums = vec![0.0; b[0].len()];
                for (a, b) in a.iter().zip(b) {
                    sums.iter_mut().zip(b).for_each(|(sum, b)| *sum += a[column] * b);
                }
                sums
            })
            .collect()
    };
    let square = product(&x, &x);
    let across = product(&x, &y);
    let mut ridge = square.clone();
    (0..AREA).for_each(|index| ridge[index][index] += RIDGE);
    let weight = solve(ridge, across); // [A, A]: from film to lungs
    // Y' Y of the predictions is W' X'X W; its leading directions are the patterns.
    let spread = product(&weight, &product(&square, &weight));
    let patterns = leading(&spread, RANK);
    let read = |pattern: &Vec<f64>| -> Vec<f32> {
        weight.iter().map(|row| row.iter().zip(pattern).map(|(w, p)| w * p).sum::<f64>() as f32).collect()
    };
    Localiser {
        film,
        lungs: usual,
        read: patterns.iter().map(read).collect(),
        patterns: patterns.iter().map(|pattern| pattern.iter().map(|value| *value as f32).collect()).collect(),
    }
}

/// Dice coefficient of two planes, cut at [`EDGE`]: twice the common area over the sum of both (Dice 1945).
fn overlap(one: &[f32], other: &[f32]) -> f64 {
    let inside = |plane: &[f32]| plane.iter().filter(|value| **value >= EDGE).count();
    let both = one.iter().zip(other).filter(|(one, other)| **one >= EDGE && **other >= EDGE).count();
    2.0 * both as f64 / (inside(one) + inside(other)).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_measurement_is_readable_and_better_than_the_usual_lungs() {
        let fit = Fit::released();
        assert!(fit.dice.low > fit.dice_usual.high, "{fit:?}");
        assert!(fit.fitted < fit.films && fit.patients <= fit.films);
    }

    #[test]
    fn overlaps_in_closed_form() {
        assert_eq!(overlap(&[1.0, 1.0, 0.0, 0.0], &[1.0, 0.0, 1.0, 0.0]), 0.5);
        assert_eq!(overlap(&[0.5, 0.4], &[1.0, 0.0]), 1.0);
        assert_eq!(overlap(&[0.0], &[0.0]), 0.0);
    }

    /// Bright discs whose lungs are the disc: the localiser must follow where the disc goes, the mean cannot.
    #[test]
    fn a_disc_is_followed() {
        let disc = |x: f32, y: f32| Outlined {
            film: deepbreath::Mask::ellipse((x, y), (0.2, 0.2))
                .cells()
                .iter()
                .map(|on| f32::from(u8::from(*on)))
                .collect(),
            lungs: deepbreath::Mask::ellipse((x, y), (0.2, 0.2))
                .cells()
                .iter()
                .map(|on| f32::from(u8::from(*on)))
                .collect(),
            patient: 0,
            source: String::new(),
            test: false,
        };
        let films: Vec<Outlined> =
            (0..9).map(|at| disc(0.4 + 0.1 * (at % 3) as f32, 0.4 + 0.1 * (at / 3) as f32)).collect();
        let (x, y): (Vec<_>, Vec<_>) = films.iter().enumerate().map(|(index, film)| pairs(film, index as u64)).unzip();
        let fitted = fit((x.concat(), y.concat()));
        let new = disc(0.44, 0.56);
        let found = overlap(&enlarge(&fitted.draw(&standardise(shrink(&new.film)))), &new.lungs);
        let usual = overlap(&enlarge(&fitted.lungs), &new.lungs);
        assert!(found > 0.85 && found > usual + 0.05, "{found} {usual}");
    }
}
