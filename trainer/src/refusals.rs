//! What the gate is worth: images that it should refuse, and films that it should refuse and name.
//!
//! Shares near 1 have Wilson's intervals (1927): a bootstrap of a share of exactly 1 has none.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bootstrap::{Bootstrap, Estimate, patients, wilson};
use crate::metrics::{Prediction, Ranking};
use crate::spoilt::Spoilt;

/// How an image that is no chest X-ray was answered.
#[derive(Clone, Debug, PartialEq)]
pub struct OodImage {
    /// What it shows.
    pub kind: String,
    /// Distance by the gate; infinite if the image is refused without it, `None` without a gate.
    pub distance: Option<f32>,
    /// Whether it got no answer.
    pub refused: bool,
}

/// How many images that are no chest X-rays were refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OodReport {
    /// Images.
    pub n: u64,
    /// Of them refused.
    pub refused: u64,
    /// `refused / n`, with Wilson's interval.
    #[serde(default)]
    pub share: Estimate,
    /// How well the distance tells these images from the films of the report.
    #[serde(default)]
    pub auroc: Estimate,
    /// By kind.
    pub kinds: BTreeMap<String, OodKind>,
    /// Whether the images were only of the half that no gate was fitted on; null in reports that did not note it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<bool>,
}

/// Images of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OodKind {
    /// Images.
    pub n: u64,
    /// Of them refused.
    pub refused: u64,
    /// As in [`OodReport::share`].
    #[serde(default)]
    pub share: Estimate,
    /// As in [`OodReport::auroc`].
    #[serde(default)]
    pub auroc: Estimate,
}

impl OodReport {
    /// Counts, and ranks the images against `films`.
    pub fn new(images: &[OodImage], films: &[Prediction], bootstrap: Bootstrap) -> Self {
        let kinds: Vec<&str> = {
            let mut kinds: Vec<&str> = images.iter().map(|image| image.kind.as_str()).collect();
            kinds.sort_unstable();
            kinds.dedup();
            kinds
        };
        // Units of the bootstrap: the films' patients, then every image for itself.
        let mut units = patients(films);
        let first = units.iter().max().map_or(0, |last| last + 1);
        units.extend((0..images.len()).map(|image| first + image));
        let ranking = |kind: Option<&str>| {
            let inside = films.iter().enumerate().filter_map(|(at, film)| Some((at, f64::from(film.distance?), false)));
            let outside = images.iter().enumerate().filter(|(_, image)| kind.is_none_or(|kind| image.kind == kind));
            let outside = outside.filter_map(|(at, image)| Some((films.len() + at, f64::from(image.distance?), true)));
            Ranking::new(inside.chain(outside))
        };
        let rankings: Vec<Ranking> =
            [None].into_iter().chain(kinds.iter().map(|kind| Some(*kind))).map(ranking).collect();
        let aurocs = bootstrap.estimate(&units, |weights| rankings.iter().map(|r| r.auroc(|at| weights[at])).collect());
        let of_kind = |(kind, auroc): (&str, &Estimate)| {
            let of = || images.iter().filter(|image| image.kind == kind);
            let (n, refused) = (of().count() as u64, of().filter(|image| image.refused).count() as u64);
            (kind.to_owned(), OodKind { n, refused, share: share(refused, n), auroc: *auroc })
        };
        let kinds: BTreeMap<String, OodKind> = kinds.into_iter().zip(&aurocs[1..]).map(of_kind).collect();
        let (n, refused) = (images.len() as u64, kinds.values().map(|kind| kind.refused).sum());
        Self { n, refused, share: share(refused, n), auroc: aurocs[0], kinds, held_out: None }
    }
}

/// How a spoilt film was answered.
#[derive(Clone, Debug, PartialEq)]
pub struct SpoiltFilm {
    /// What was done to it.
    pub way: Spoilt,
    /// Codes of the reasons of its refusal; empty if it got an answer.
    pub reasons: Vec<&'static str>,
    /// Whether reading took it for a negative and turned it back.
    pub corrected: bool,
}

impl SpoiltFilm {
    /// Whether the answer, or its absence, says what was done.
    fn named(&self) -> bool {
        self.reasons.contains(&self.way.code()) || self.repaired()
    }

    /// A negative that was turned back, and said to be, is as good as one that was refused.
    fn repaired(&self) -> bool {
        self.way == Spoilt::Inverted && self.corrected
    }
}

/// Films that were spoilt in one way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpoiltReport {
    /// What was done to them.
    pub way: String,
    /// Films.
    pub n: u64,
    /// Of them refused.
    pub refused: u64,
    /// Of the inverted, turned back while they were read, which the answer says.
    pub repaired: u64,
    /// Refused or repaired, with Wilson's interval.
    pub found: Estimate,
    /// Found, and said to be what they are.
    pub named: Estimate,
}

impl SpoiltReport {
    /// One for each way that some film was spoilt in.
    pub fn of(films: &[SpoiltFilm]) -> Vec<Self> {
        let report = |way: Spoilt| {
            let of = || films.iter().filter(move |film| film.way == way);
            let count = |what: fn(&SpoiltFilm) -> bool| of().filter(|film| what(film)).count() as u64;
            let n = of().count() as u64;
            let found = count(|film| !film.reasons.is_empty() || film.repaired());
            (n > 0).then(|| Self {
                way: way.name().into(),
                n,
                refused: count(|film| !film.reasons.is_empty()),
                repaired: count(SpoiltFilm::repaired),
                found: share(found, n),
                named: share(count(SpoiltFilm::named), n),
            })
        };
        Spoilt::ALL.into_iter().filter_map(report).collect()
    }
}

/// `part / whole` with Wilson's 95 % interval.
///
/// ```
/// use trainer::refusals::share;
/// let all = share(10, 10);
/// // z^2 / (n + z^2) is missing to 1.
/// assert_eq!((all.value, all.high), (Some(1.0), Some(1.0)));
/// assert!((all.low.unwrap() - 10.0 / (10.0 + 1.96f64.powi(2))).abs() < 1e-4);
/// assert_eq!(share(0, 0).value, None);
/// ```
pub fn share(part: u64, whole: u64) -> Estimate {
    if whole == 0 { Estimate::default() } else { wilson(part as f64 / whole as f64, whole as usize) }
}
