//! Figures at sources that training did not see, and the lowest of them.

use std::fmt::Write;

use super::page::rests_on;
use super::place::rarer;
use super::report::AuditReport;
use super::views::View;
use crate::bootstrap::Estimate;
use crate::svg::escape;

/// A figure at sources that training did not see.
pub(super) struct Away<'a> {
    /// As in [`super::report::Gap::place`], or the name of a group of films.
    pub(super) place: &'a str,
    /// Labels, `a/b`.
    pub(super) pair: &'a str,
    /// The AUROC.
    pub(super) figure: Estimate,
    /// Films of the rarer label, where known.
    rarer: Option<usize>,
    /// Networks that were trained without these sources; none where the weights themselves never saw them.
    others: Option<String>,
    /// Sources of the same hospitals that those networks were trained on, in a clause; or empty.
    still: String,
}

impl Away<'_> {
    /// Whose figure it is, and on how many films it rests.
    pub(super) fn origin(&self) -> String {
        let whose = match &self.others {
            Some(network) => format!("by {} that never saw it", escape(network)),
            None => "by these weights".into(),
        };
        let whose = if self.still.is_empty() { whose } else { format!("{whose} ({})", escape(&self.still)) };
        let films = self.rarer.map_or(String::new(), |films| format!("; {}", rests_on(films)));
        whose + &films
    }
}

/// All figures at sources that training did not see: by the weights themselves, or by networks that were trained
/// without them.
pub(super) fn away(report: &AuditReport) -> Vec<Away<'_>> {
    let mut all: Vec<Away> = report
        .gaps
        .iter()
        .map(|gap| Away {
            place: &gap.place,
            pair: &gap.pair,
            figure: gap.unseen,
            rarer: report.rarer(gap),
            others: report.left_out_network().filter(|_| !gap.is_of_the_weights()),
            still: if gap.is_of_the_weights() {
                String::new()
            } else {
                report.still_trained(&report.place(&gap.place))
            },
        })
        .collect();
    let whole = report.view(View::Whole).map(|seen| &seen.network);
    for (group, pairs) in whole.map(|figures| &figures.within).into_iter().flatten() {
        let place = report.place(group);
        let seen = |source: &&str| report.seen.iter().any(|seen| seen == source);
        if place.sources().is_empty() || place.sources().iter().any(seen) {
            continue;
        }
        for (pair, figure) in pairs {
            if all.iter().all(|away| away.place != group || away.pair != pair) {
                let rarer = rarer(&report.films, pair, |source| place.sources().contains(&source));
                let (figure, others, still) = (*figure, None, String::new());
                all.push(Away { place: group, pair, figure, rarer, others, still });
            }
        }
    }
    all
}

/// The lowest figure at sources that training did not see, of `pair` or of all pairs.
fn lowest<'a>(report: &'a AuditReport, pair: Option<&str>) -> Option<(f64, Away<'a>)> {
    let wanted = away(report).into_iter().filter(|away| pair.is_none_or(|pair| away.pair == pair));
    let figures = wanted.filter_map(|away| Some((away.figure.value?, away)));
    figures.min_by(|a, b| a.0.total_cmp(&b.0))
}

/// [`lowest`] of `pair`, and of all pairs where that is lower, in words.
pub(super) fn lowest_in_words(report: &AuditReport, pair: &str) -> String {
    let Some((value, away)) = lowest(report, Some(pair)) else { return "not measured".into() };
    let place = |away: &Away| escape(report.place(away.place).words(&report.films));
    let mut text = format!("<b>{value:.2}</b> ({}, {})", place(&away), away.origin());
    if let Some((value, away)) = lowest(report, None).filter(|(any, _)| *any < value) {
        let _ = write!(
            text,
            ", and of all pairs <b>{value:.2}</b> for {} ({}, {})",
            escape(away.pair),
            place(&away),
            away.origin()
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::{figure, report};
    use super::*;

    #[test]
    fn a_source_with_a_plus_in_its_name_is_not_its_parts() {
        let mut report = report(0.5, 0.1);
        let pairs = report.views[0].network.auroc.clone();
        report.views[0].network.within.insert("home+away".into(), pairs);
        // As two sources, one of them is `home`, which training saw.
        let places = |report: &_| away(report).iter().map(|away| away.place.to_owned()).collect::<Vec<_>>();
        assert_eq!(places(&report), ["away"]);
        report.films.insert("home+away".into(), [("covid", 9), ("normal", 7)].map(|(l, n)| (l.into(), n)).into());
        assert_eq!(places(&report), ["away", "home+away"]);
        assert_eq!(away(&report)[1].rarer, Some(7));
    }

    #[test]
    fn the_lowest_figure_is_that_of_all_folds_and_says_where_it_comes_from() {
        let mut report = report(0.5, 0.1);
        report.left_out_by = Some("frozen weights".into());
        report.left_out_recipe = Some("default".into());
        report.gaps[0].rarer = Some(500);
        // Neither has a figure where the source was seen.
        for (place, pair, value) in [("few", "covid/normal", 0.66), ("few", "normal/pneumonia", 0.59)] {
            let mut gap = report.gaps[0].clone();
            (gap.place, gap.pair, gap.rarer) = (place.into(), pair.into(), Some(8));
            (gap.seen, gap.unseen) = (Estimate::default(), figure(value));
            report.gaps.push(gap);
        }
        let of = |pair: Option<&str>| lowest(&report, pair).map(|(value, away)| (value, away.place, away.rarer));
        assert_eq!(of(Some("covid/normal")), Some((0.66, "few", Some(8))));
        assert_eq!(of(None), Some((0.59, "few", Some(8))));
        let words = lowest_in_words(&report, "covid/normal");
        let origin = "by networks trained by the recipe default that never saw it; 8 films of the rarer label";
        assert!(words.starts_with(&format!("<b>0.66</b> (few, {origin})")), "{words}");
        assert!(words.contains("of all pairs <b>0.59</b> for normal/pneumonia"), "{words}");
    }
}
