//! What the seeds say together: `tutorial.json` and `tutorial.html`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::patients::Known;
use super::{Protocol, SeedResult};
use crate::bootstrap::{Estimate, Summary, summary, wilson};
use crate::dataset::Manifest;
use crate::output::write_all;
use crate::page;
use crate::svg::escape;
use crate::tables::{Cell, Table};

/// The tutorial's own figures, from its one draw of test films: name, value, films.
const PUBLISHED: [(&str, f64, usize); 3] = [("accuracy", 0.90, 10), ("sensitivity", 1.00, 5), ("specificity", 0.80, 5)];

/// `tutorial.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TutorialReport {
    /// Version of this form.
    pub version: u32,
    /// What stood in for the tutorial's VGG16.
    pub backbone: String,
    /// The numbers of the protocol.
    pub protocol: Protocol,
    /// SHA-256 of the manifest.
    pub manifest_digest: String,
    /// The two labels; sensitivity is that of the first, specificity that of the second.
    pub classes: Vec<String>,
    /// Films of each label.
    pub films: BTreeMap<String, usize>,
    /// Films of each label by age group, `unknown` included.
    pub age_groups: BTreeMap<String, BTreeMap<String, usize>>,
    /// Patients of each label; null where those of some films are unknown.
    pub patients: Option<BTreeMap<String, usize>>,
    /// `accuracy`, `sensitivity` and `specificity` over the seeds.
    pub figures: BTreeMap<String, Figure>,
    /// Accuracy over the seeds if each kept the epoch that was best on its test films.
    pub best_epoch: Option<Summary>,
    /// [`Controls::frame`] over the seeds.
    ///
    /// [`Controls::frame`]: super::Controls::frame
    pub frame: Option<Summary>,
    /// [`Controls::shuffled`] over the seeds.
    ///
    /// [`Controls::shuffled`]: super::Controls::shuffled
    pub shuffled: Option<Summary>,
    /// Patients on both sides of the split, over the seeds; null where `patients` is.
    pub shared_patients: Option<Summary>,
    /// Each seed.
    pub seeds: Vec<SeedResult>,
}

/// One figure over the seeds, beside the tutorial's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Mean, standard deviation and 95 % t-interval over the seeds. The seeds share their films, so this is the luck of
    /// split and training alone, not that of other films; the interval is not cut at 1.
    pub seeds: Summary,
    /// Lowest of the seeds.
    pub lowest: f64,
    /// Highest of the seeds.
    pub highest: f64,
    /// Test films that one seed measures it on.
    pub n: usize,
    /// The mean with the 95 % interval (Wilson) that `n` films allow.
    pub one_test: Estimate,
    /// The tutorial's figure with the 95 % interval (Wilson) of its own 10 or 5 films.
    pub published: Estimate,
}

impl TutorialReport {
    pub(crate) fn new(
        manifest: &Manifest,
        protocol: &Protocol,
        known: &[Option<Known>],
        seeds: Vec<SeedResult>,
    ) -> Self {
        let (mut films, mut age_groups) = (BTreeMap::new(), BTreeMap::<String, BTreeMap<String, usize>>::new());
        let mut ids = vec![Vec::new(); manifest.classes.len()];
        for (film, known) in manifest.films.iter().zip(known) {
            let class = &manifest.classes[film.label];
            *films.entry(class.clone()).or_default() += 1;
            let age = known.as_ref().and_then(|known| known.age_group.as_deref()).unwrap_or("unknown");
            *age_groups.entry(class.clone()).or_default().entry(age.to_owned()).or_default() += 1;
            ids[film.label].extend(known.as_ref().map(|known| &known.patient));
        }
        let distinct = |ids: &mut Vec<&String>| {
            ids.sort();
            ids.dedup();
            ids.len()
        };
        let patients = known
            .iter()
            .all(Option::is_some)
            .then(|| manifest.classes.iter().cloned().zip(ids.iter_mut().map(distinct)).collect());
        let values = |name: &str| -> Vec<f64> {
            let read = |seed: &SeedResult| match name {
                "accuracy" => seed.accuracy,
                "sensitivity" => seed.sensitivity,
                _ => seed.specificity,
            };
            seeds.iter().map(read).collect()
        };
        let tested = |name: &str| -> Option<usize> {
            let of = |label: usize| seeds.first().map(|seed| seed.confusion[label].iter().sum::<u64>() as usize);
            match name {
                "accuracy" => Some(of(0)? + of(1)?),
                "sensitivity" => of(0),
                _ => of(1),
            }
        };
        let figure = |(name, published, published_n): (&str, f64, usize)| {
            let values = values(name);
            let (seeds, n) = (summary(&values)?, tested(name)?);
            let figure = Figure {
                lowest: values.iter().copied().fold(f64::INFINITY, f64::min),
                highest: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                one_test: wilson(seeds.mean, n),
                published: wilson(published, published_n),
                seeds,
                n,
            };
            Some((name.to_owned(), figure))
        };
        let best = |seed: &SeedResult| seed.test_accuracy.iter().copied().fold(0.0, f64::max);
        let shared: Option<Vec<f64>> = seeds.iter().map(|seed| Some(seed.shared?.patients as f64)).collect();
        Self {
            version: 1,
            backbone: "EfficientNet-Lite0, ImageNet weights, frozen".into(),
            protocol: protocol.clone(),
            manifest_digest: manifest.digest.clone(),
            classes: manifest.classes.clone(),
            films,
            age_groups,
            patients,
            figures: PUBLISHED.into_iter().filter_map(figure).collect(),
            frame: summary(&seeds.iter().map(|seed| seed.controls.frame).collect::<Vec<_>>()),
            shuffled: summary(&seeds.iter().map(|seed| seed.controls.shuffled).collect::<Vec<_>>()),
            best_epoch: summary(&seeds.iter().map(best).collect::<Vec<_>>()),
            shared_patients: shared.and_then(|counts| summary(&counts)),
            seeds,
        }
    }

    /// Beside the tutorial's own figures.
    fn summary_table(&self) -> Table {
        let count = self.seeds.len();
        let mut table = Table::new(["figure"]);
        table.columns.extend([
            format!("mean of {count} seeds (95 % t-interval)"),
            "standard deviation".into(),
            "lowest to highest seed".into(),
            "one test at this rate (95 % Wilson)".into(),
            "tutorial, 2020 (95 % Wilson)".into(),
        ]);
        for (name, figure) in &self.figures {
            table.rows.push(vec![
                Cell::text(format!("{name} ({} films a seed)", figure.n)),
                Cell::Figure(figure.seeds.share()),
                Cell::text(figure.seeds.sd.map_or("-".into(), |sd| format!("{sd:.3}"))),
                Cell::text(format!("{:.2} to {:.2}", figure.lowest, figure.highest)),
                Cell::Figure(figure.one_test),
                Cell::Figure(figure.published),
            ]);
        }
        table
    }

    /// The protocol's accuracy beside that of its controls.
    fn control_table(&self) -> Table {
        let mut table = Table::new(["accuracy with", "mean of the seeds (95 % t-interval)", "standard deviation"]);
        let accuracy = self.figures.get("accuracy").map(|figure| figure.seeds);
        for (name, summary) in [
            ("the whole film", accuracy),
            ("the frame alone, chest painted over", self.frame),
            ("labels dealt out at random", self.shuffled),
        ] {
            let Some(summary) = summary else { continue };
            let sd = Cell::text(summary.sd.map_or("-".into(), |sd| format!("{sd:.3}")));
            table.rows.push(vec![Cell::text(name), Cell::Figure(summary.share()), sd]);
        }
        table
    }

    fn seed_table(&self) -> Table {
        let [first, second] = [&self.classes[0], &self.classes[1]];
        let mut table = Table::new(["seed", "accuracy", "sensitivity", "specificity"]);
        table.columns.extend([
            format!("{first} called {first} / {second}"),
            format!("{second} called {first} / {second}"),
            "best epoch on the test films".into(),
            "frame alone".into(),
            "shuffled labels".into(),
            "patients on both sides".into(),
            "test films of theirs".into(),
        ]);
        for seed in &self.seeds {
            let row = |label: usize| format!("{} / {}", seed.confusion[label][0], seed.confusion[label][1]);
            let share = |value: f64| Cell::text(format!("{value:.2}"));
            let shared = |read: fn(super::patients::Shared) -> usize| match seed.shared {
                Some(shared) => Cell::Count(read(shared) as u64),
                None => Cell::text("unknown"),
            };
            table.rows.push(vec![
                Cell::Count(seed.seed),
                share(seed.accuracy),
                share(seed.sensitivity),
                share(seed.specificity),
                Cell::text(row(0)),
                Cell::text(row(1)),
                share(seed.test_accuracy.iter().copied().fold(0.0, f64::max)),
                share(seed.controls.frame),
                share(seed.controls.shuffled),
                shared(|shared| shared.patients),
                shared(|shared| shared.test_films),
            ]);
        }
        table
    }

    /// The report for a terminal.
    pub fn terminal_table(&self) -> String {
        let tables = [self.seed_table(), self.summary_table(), self.control_table()];
        tables.map(|table| table.terminal()).join("\n")
    }

    /// Writes `tutorial.json` and `tutorial.html` into `dir`, whole or not at all.
    ///
    /// # Errors
    /// Where the folder cannot be written (named).
    pub fn write(&self, dir: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self)? + "\n";
        write_all(dir, &[("tutorial.html".into(), self.html()), ("tutorial.json".into(), json)])
    }

    fn html(&self) -> String {
        let mut text = self.lead();
        text += "<div class=\"cards\">\n";
        for (name, explanation) in [
            ("accuracy", "called right".to_owned()),
            ("sensitivity", format!("{} found", escape(&self.classes[0]))),
            ("specificity", format!("{} left in peace", escape(&self.classes[1]))),
        ] {
            if let Some(figure) = self.figures.get(name) {
                text += &page::card(
                    name,
                    figure.seeds.share(),
                    &format!("{explanation}, mean of {} seeds", figure.seeds.n),
                );
            }
        }
        text += "</div>\n";
        page::section(
            &mut text,
            "Beside the tutorial",
            "The t-interval says how well the mean over seeds is known: the luck of split and training on these same \
             films. Where every seed gives the same figure it shrinks to a point, which is not certainty. The Wilson \
             interval says what a single test of so few films leaves open; the tutorial published one such test.",
            &self.summary_table(),
        );
        page::section(
            &mut text,
            "What the figure is made of",
            &format!(
                "The same seeds and splits, twice more. Frame alone: everything but the outermost tenth of each film is \
                 painted grey ({} of {} pixels a side are left at each edge; no rotations). What this reaches needs no \
                 lungs. Labels at random: must be near a half, or test films leak into training.",
                super::bank::FRAME,
                deepbreath::preprocess::SIDE
            ),
            &self.control_table(),
        );
        text += &super::words::flaws(self);
        let explanation =
            "Each seed draws the split, the initial weights, the order, the rotations and the dropout again.";
        page::section(&mut text, "Every seed", explanation, &self.seed_table());
        text += &super::words::protocol(self);
        page::document("A COVID\u{2011}19 tutorial of 2020, repeated", &text)
    }

    fn lead(&self) -> String {
        let percent = |share: f64| format!("{:.0}\u{a0}%", 100.0 * share);
        let mut text = String::new();
        if let Some(Figure { seeds, lowest, highest, .. }) = self.figures.get("accuracy") {
            let spread = if lowest < highest {
                format!("from {} to {} by the luck of the seed", percent(*lowest), percent(*highest))
            } else {
                "the same in every seed".into()
            };
            let _ = write!(
                text,
                "<p class=\"lead\">Over {} seeds the tutorial's protocol calls <b>{}</b> of its test films right, {spread}. \
                 The tutorial drew once and reported 90\u{a0}%.",
                seeds.n,
                percent(seeds.mean),
            );
        }
        if let Some(frame) = self.frame {
            let share = percent(frame.mean);
            let _ = write!(
                text,
                " A new last layer, trained and tested on films whose chest is painted over, so that only their rim is \
                 left, calls <b>{share}</b> right."
            );
        }
        text += "</p>\n<p class=\"soft\">A measurement of a method, not of a product: no figure here says that the network sees \
                 the disease. Why, stands below.</p>\n";
        text + &format!("<p class=\"note\"><b>Not a diagnosis.</b> {}</p>\n", page::DISCLAIMER)
    }
}
