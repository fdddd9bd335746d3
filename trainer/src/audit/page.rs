//! `audit.html`: one audit, readable for a student.

use std::fmt::Write;

use super::chart::{bar, icon};
use super::measure::{FEW_OF_A_LABEL, Figures};
use super::place::Place;
use super::report::{AuditReport, GAP_LIMIT, HIDDEN_LIMIT, SeenBy};
use super::views::View;
use crate::bootstrap::Estimate;
use crate::page;
use crate::svg::escape;
use crate::tables::{Cell, Table};

/// Why a collection left out is no new hospital.
pub(super) const OVERLAPS: &str = "Collections share hospitals: the films of rsna come from the NIH, as those of nih do, and \
                                   those of siim from BIMCV, as those of bimcv do, and from RICORD. So a collection that \
                                   was left out of training is not an unseen hospital.";

/// What the figures with hidden lungs have in common with training.
const SAME_RULE: &str = "<p>The same rule may have taken part in training: a recipe with swapped surroundings \
                         (<code>swapped_surroundings</code>), as that of the second stage of the released weights, cuts out \
                         lungs with it. Then the figures with the lungs hidden or alone, and the share of the map inside \
                         them, are not independent of training: the network was taught on the very outlines that it is \
                         asked about here, with their mistakes.</p>\n";

/// The page of one audit.
pub(super) fn audit(report: &AuditReport) -> String {
    let mut text = banner(report);
    let _ = writeln!(
        text,
        "<p class=\"lead\">A classifier can be right for the wrong reason: if the films of the sick come from one collection \
         and those of the healthy from another, it is enough to recognise the collection. This page asks <b>{}</b> \
         (<code>{}</code>) what it goes by, on {} films of {} patients.</p>\n<p class=\"soft\">AUROC: pick one film with \
         the finding and one without; how often does the classifier rank the first higher? 1.00 is always, 0.50 is a coin \
         (the thin line in each bar). Below each figure: its 95\u{a0}% interval over patients.</p>\n\
         <p class=\"note\"><b>Not a diagnosis.</b> {}</p>",
        escape(&report.name),
        escape(&report.weights),
        report.n,
        report.patients,
        page::DISCLAIMER
    );
    text += &views(report);
    text += &inside(report);
    text += &source(report);
    text += &gaps(report);
    text += &looks(report);
    text += &lungs(report);
    text += &method(report);
    page::document(&format!("Shortcut audit: {}", report.name), &text)
}

/// Red with reasons, green with what was not shown, or neither where the films are too few to tell.
pub(super) fn banner(report: &AuditReport) -> String {
    let Some(verdict) = report.verdict() else {
        let reasons = report.cannot_tell();
        if !reasons.is_empty() {
            return format!(
                "<div class=\"banner open\" role=\"note\"><h2>Cannot be told</h2><p>{} Neither that this classifier uses \
                 shortcuts nor that it does not was shown here.</p></div>\n",
                reasons.join(" ")
            );
        }
        // The same gaps as the alarms judge: one that they leave out was not measured.
        let falls: Vec<String> = [true, false]
            .into_iter()
            .filter_map(|own| report.greatest_fall(own))
            .map(|(_, gap)| {
                format!(
                    "At collections that training did not see the AUROC falls by no more than {GAP_LIMIT:.2}. {}",
                    escape(report.caveat(gap))
                )
            })
            .collect();
        let unseen = if falls.is_empty() {
            "How much the AUROC falls at a collection that training never saw was <b>not measured</b> here.".into()
        } else {
            falls.join(" ")
        };
        return format!(
            "<div class=\"banner calm\" role=\"note\"><h2>No shortcut found</h2><p>With the lungs hidden no pair of \
             labels has an AUROC beyond {HIDDEN_LIMIT:.2}. {unseen} This does <b>not</b> \
             show that the classifier reads lungs, that it is right, or that it would be right elsewhere; only that these \
             tests found no other reason for its answers.</p></div>\n"
        );
    };
    let mut text = format!("<div class=\"banner alarm\" role=\"note\"><h2>This classifier {verdict}</h2>\n<ul>\n");
    for alarm in &report.alarms {
        let _ = writeln!(text, "<li>{}</li>", escape(&alarm.text));
    }
    text + "</ul></div>\n"
}

fn table(text: &mut String, columns: &[String], rows: &[Vec<String>]) {
    *text += "<div class=\"scroll\"><table><thead><tr>";
    *text += &columns.iter().map(|column| format!("<th scope=\"col\">{column}</th>")).collect::<String>();
    *text += "</tr></thead><tbody>\n";
    for row in rows {
        let _ = write!(text, "<tr><th scope=\"row\">{}</th>", row[0]);
        *text += &row[1..].iter().map(|cell| format!("<td>{cell}</td>")).collect::<String>();
        *text += "</tr>\n";
    }
    *text += "</tbody></table></div>\n";
}

/// A view with its drawing, for the first column.
pub(super) fn labelled(view: View) -> String {
    format!("<span class=\"view\">{}<span>{}</span></span>", icon(view), view.name())
}

fn views(report: &AuditReport) -> String {
    let mut text = String::from(
        "<h2>What is left when something is taken away?</h2>\n<p>Each row shows every film in another way. The first figure \
         is the classifier's own; it was never taught on films with black parts, so it may fail because of the black \
         rather than for want of lungs. The second figure takes that excuse away: a new last layer, trained on films shown \
         in the same way and asked about other patients. It tells how much the picture still <i>contains</i>. Both are \
         means over the findings, and both include what recognising the source is worth.</p>\n",
    );
    let columns = ["film shown", "AUROC of the classifier", "AUROC of a new last layer", "covered", "what it asks"];
    let rows: Vec<Vec<String>> = report
        .views
        .iter()
        .map(|seen| {
            vec![
                labelled(seen.view),
                bar(Some(seen.network.macro_auroc)),
                bar(Some(seen.new_head.macro_auroc)),
                seen.covered.map_or("–".into(), |share| format!("{:.0}\u{a0}%", 100.0 * share)),
                format!("<span class=\"wide\">{}</span>", seen.view.question()),
            ]
        })
        .collect();
    let mut rows = rows;
    rows.push(vec![
        "no network at all".into(),
        "–".into(),
        bar(Some(report.trivial.macro_auroc)),
        "–".into(),
        "<span class=\"wide\">Brightness of the film, its corners and border, and an 8 x 8 thumbnail, in which \
         large opacities show. The least that a network has to beat.</span>"
            .into(),
    ]);
    table(&mut text, &columns.map(String::from), &rows);
    text
}

/// The pairs of labels within one source that a whole film has figures for.
fn places<'a>(report: &AuditReport, figures: &'a Figures) -> Vec<(&'a str, &'a str)> {
    let single = |group: &&String| matches!(report.place(group), Place::Source(_));
    let groups = figures.within.keys().filter(single);
    groups.flat_map(|group| figures.within[group].keys().map(move |pair| (group.as_str(), pair.as_str()))).collect()
}

fn inside(report: &AuditReport) -> String {
    let Some(whole) = report.view(View::Whole) else { return String::new() };
    let places = places(report, &whole.network);
    if places.is_empty() {
        return format!(
            "<h2>Inside one collection</h2>\n<p>No source here holds {FEW_OF_A_LABEL} films of two labels: the label and the \
             collection cannot be told apart on these films, and no figure on this page can say which of the two the \
             classifier recognises.</p>\n"
        );
    }
    let mut text = format!(
        "<h2>Inside one collection</h2>\n<p>Among films of a single source, recognising the source is worth nothing: this is \
         the fairer figure. Where even a film without lungs is ranked well, something besides the lungs differs between \
         the sick and the healthy of that source (age, posture, exposure, tubes). Pairs with fewer than \
         {FEW_OF_A_LABEL} films of a label are left out; wide intervals mean few films.</p>\n"
    );
    let mut columns = vec!["film shown".to_owned()];
    columns.extend(places.iter().map(|(group, pair)| format!("{}<br><small>{}</small>", escape(group), escape(pair))));
    let row = |name: String, figures: &Figures| {
        let cells = places.iter().map(|(group, pair)| bar(figures.of(group, pair)));
        [name].into_iter().chain(cells).collect::<Vec<String>>()
    };
    let mut rows: Vec<Vec<String>> = report.views.iter().map(|seen| row(labelled(seen.view), &seen.network)).collect();
    rows.push(row("no network at all".into(), &report.trivial));
    table(&mut text, &columns, &rows);
    text
}

fn source(report: &AuditReport) -> String {
    let heading = "<h2>Does it know the collection?</h2>\n";
    let Some(probe) = &report.source else {
        return format!("{heading}<p>These films are of one source only, so this cannot be asked.</p>\n");
    };
    let percent = |value: Option<f64>| value.map_or("–".into(), |value| format!("{:.0}\u{a0}%", 100.0 * value));
    format!(
        "{heading}<p>Nobody ever told the network where a film comes from. Yet from the very numbers that it computes for \
         its answer, a linear rule names the source (one of {}) of <b>{}</b> of the films of other patients ({} to {}). \
         Always naming the commonest source would be right for {}. Mean AUROC over the sources: {} ({} to {}). What \
         the network knows, its answer can use.</p>\n",
        probe.sources,
        percent(probe.accuracy.value),
        percent(probe.accuracy.low),
        percent(probe.accuracy.high),
        percent(Some(probe.chance)),
        two(probe.macro_auroc.value),
        two(probe.macro_auroc.low),
        two(probe.macro_auroc.high),
    )
}

pub(super) fn two(value: Option<f64>) -> String {
    value.map_or("–".into(), |value| format!("{value:.2}"))
}

fn gaps(report: &AuditReport) -> String {
    let mut text = format!("<h2>At a collection that training never saw</h2>\n<p class=\"soft\">{OVERLAPS}</p>\n");
    if report.gaps.is_empty() {
        return text
            + "<p><b>Not measured.</b> The weights were trained on every source of these films, and no report of a \
               cross-validation that leaves sources out was given (<code>--cross-validation</code>). The figures above \
               hold for the sources that training saw.</p>\n";
    }
    text += "<p>On the left other patients of sources that training saw, as in the test splits of most papers. On the right \
             a source that it did not see. A fall may come from a shortcut that is worth nothing there, but also from \
             films, patients or labels of another kind.";
    if let (Some(network), Some(by)) = (report.left_out_network(), &report.left_out_by) {
        text += &match &report.seen_by {
            SeenBy::Weights => format!(
                " Where a source is named, <b>the two figures come from two networks</b>: the left one from these weights, \
                 the right one from {}, made anew without it ({}). So a part of the fall may be the difference between \
                 the networks; how large a part is not known.",
                escape(&network),
                escape(by)
            ),
            SeenBy::Folds(folds) => format!(
                " Where a source is named, both figures come from {} ({}): the right one made anew without the source, the \
                 left one with it. They are not these weights, which may lose more or less. Sources that were left out \
                 together have no figure of their own on the left. How the left ones were made: {}",
                escape(&network),
                escape(by),
                escape(folds)
            ),
        };
    }
    text += "</p>\n";
    let columns = ["place", "labels", "trained on it (other patients)", "never seen", "fall"].map(String::from);
    let rows: Vec<Vec<String>> = report
        .gaps
        .iter()
        .map(|gap| {
            let fall = gap.fall().map_or("–".into(), |fall| format!("{fall:+.2}").replace('-', "\u{2212}"));
            let place = escape(report.where_of(gap));
            let films =
                report.rarer(gap).map_or(String::new(), |films| format!("<br><small>{}</small>", rests_on(films)));
            vec![place, escape(&gap.pair) + &films, bar(Some(gap.seen)), bar(Some(gap.unseen)), fall]
        })
        .collect();
    table(&mut text, &columns, &rows);
    text
}

/// How many films of the rarer label a figure rests on.
pub(super) fn rests_on(films: usize) -> String {
    format!("{films} {} of the rarer label", if films == 1 { "film" } else { "films" })
}

fn looks(report: &AuditReport) -> String {
    let attention = &report.attention;
    let percent = |estimate: &Estimate| {
        let part = |value: Option<f64>| value.map_or("–".into(), |value| format!("{:.0}", 100.0 * value));
        format!("{}\u{a0}% ({} to {})", part(estimate.value), part(estimate.low), part(estimate.high))
    };
    let aim = match (attention.above.low, attention.above.high) {
        (Some(low), _) if low > 0.0 => "more than a map without any aim would have",
        (_, Some(high)) if high < 0.0 => "less than a map without any aim would have",
        _ => "no more than a map without any aim would have",
    };
    let mut text = format!(
        "<h2>Where it looks</h2>\n<p>The class activation map of the most probable finding has <b>{}</b> of its mass inside the \
         lungs, which take {} of the film: {aim}. The map has 7 x 7 cells, so it is blurred over the \
         edges of the lungs.</p>\n<p>Does the map show the network or just the picture? Layers lose what they learned to \
         random numbers, the last first; the map is compared with the original by rank (1: the same, 0: unrelated). A map \
         that depends on what was learned falls to about 0 (Adebayo et al. 2018).</p>\n",
        percent(&attention.inside),
        percent(&attention.area),
    );
    let mut table = Table::new(["made random", "films", "rank correlation of the map"]);
    for stage in &report.randomised {
        table.rows.push(vec![
            Cell::text(&stage.what),
            Cell::Count(stage.films as u64),
            Cell::Figure(stage.correlation),
        ]);
    }
    text += &table.html();
    text
}

fn lungs(report: &AuditReport) -> String {
    let fit = &report.lungs;
    let with =
        |estimate: &Estimate| format!("{} ({} to {})", two(estimate.value), two(estimate.low), two(estimate.high));
    format!(
        "<h2>How the lungs are found</h2>\n<p>A small linear rule draws the lungs from a 28 x 28 thumbnail; it shares nothing \
         with the network. It was fitted to outlines that radiologists drew. On patients that it was not fitted to, it \
         overlaps their outlines with a Dice coefficient of <b>{}</b> (1: the same; the mean outline alone: {}). {} outlines \
         of {} patients, all of them films of {} with COVID-19 or pneumonia, mostly of adults: on films without disease and on \
         other sources it was never measured, and hardly on children. For that reason the block over the whole chest stands \
         beside it.</p>\n{SAME_RULE}",
        with(&fit.dice),
        with(&fit.dice_usual),
        fit.films,
        fit.patients,
        escape(fit.sources.join(", ")),
    )
}

fn method(report: &AuditReport) -> String {
    let mut text = String::from("<h2>How it was measured</h2>\n<dl class=\"facts\">\n");
    let films: Vec<String> = report
        .films
        .iter()
        .map(|(source, labels)| {
            let labels: Vec<String> = labels.iter().map(|(label, count)| format!("{count} {label}")).collect();
            format!("{source}: {}", labels.join(", "))
        })
        .collect();
    let left_out: Vec<String> = report.left_out.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    let facts = [
        ("Command", report.protocol.command.clone()),
        ("Films", films.join("; ")),
        ("Left out", if left_out.is_empty() { "none".into() } else { left_out.join("; ") }),
        ("Trained on", report.seen.join(", ")),
        ("Split", report.protocol.split.clone()),
        ("Manifest (SHA-256)", report.protocol.manifest_digest.clone()),
        ("Weights", format!("{}, recipe {}", report.weights, report.recipe)),
        ("Date", report.protocol.date.clone()),
    ];
    for (name, value) in facts {
        let _ = writeln!(text, "<dt>{name}</dt><dd>{}</dd>", escape(value));
    }
    let _ = writeln!(
        text,
        "</dl>\n<ul>\n<li>Intervals: 95\u{a0}% percentile bootstrap over patients, {} resamples. They cover other patients of \
         these sources, not other collections or hospitals, wrong labels or another training run.</li>\n<li>Covered \
         parts become black before the film's grey range is stretched; the network gets what it would get for a film with \
         black paper on it.</li>\n<li>New last layer and source: logistic regression on the network's pooled features, every label the same \
         weight, five folds, no patient in two.</li>\n<li>Alarms: a pair of labels with an AUROC beyond {HIDDEN_LIMIT:.2} with \
         lungs or chest hidden (at the sources that training saw, at least {FEW_OF_A_LABEL} films of either label), or a \
         fall of more than {GAP_LIMIT:.2} at a source that training did not see.</li>\n</ul>",
        report.protocol.bootstrap.resamples
    );
    text
}

impl AuditReport {
    /// The audit for a terminal.
    pub(super) fn terminal(&self, weights: &str) -> String {
        let mut table = Table::new(["film shown", "macro AUROC", "new last layer"]);
        for seen in &self.views {
            let figures = [seen.network.macro_auroc, seen.new_head.macro_auroc].map(Cell::Figure);
            table.rows.push([Cell::text(seen.view.name())].into_iter().chain(figures).collect());
        }
        let mut text = format!("{} films, weights {weights}\n\n{}\n", self.n, table.terminal());
        for alarm in &self.alarms {
            let _ = writeln!(text, "ALARM: {}", alarm.text);
        }
        if self.alarms.is_empty() {
            let reasons = self.cannot_tell();
            text += &match reasons.is_empty() {
                true => "No shortcut found, which does not show that the lungs are read.\n".to_owned(),
                false => format!("Cannot be told: {}\n", reasons.join(" ")),
            };
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::*;

    #[test]
    fn the_banner_is_red_with_reasons_or_says_what_was_not_shown() {
        let red = banner(&report(0.8, 0.2));
        assert!(red.contains("banner alarm") && red.matches("<li>").count() == 2, "{red}");
        let calm = banner(&report(0.5, 0.0));
        assert!(calm.contains("banner calm") && calm.contains("<b>not</b> show") && !calm.contains("not measured"));
        assert!(calm.contains("Both figures are of these weights"), "{calm}");
        let mut unmeasured = report(0.5, 0.0);
        unmeasured.gaps.clear();
        assert!(banner(&unmeasured).contains("not measured"));
        assert!(audit(&unmeasured).contains("Not measured."));
        // A fall that is no alarm for want of films is not said to be none.
        let mut few = report(0.5, 0.3);
        few.gaps[0].rarer = Some(FEW_OF_A_LABEL - 1);
        few.find_alarms();
        let few = banner(&few);
        assert!(few.contains("banner calm") && few.contains("not measured") && !few.contains("falls by no more"));
        // Nothing is green where the classifier ranks no better than a coin, or the films are too few.
        for (view, low, high, said) in
            [(View::Whole, 0.5, 0.9, "better than a coin"), (View::LungsHidden, 0.4, 0.61, "as high as 0.61")]
        {
            let mut open = report(0.5, 0.0);
            let seen = open.views.iter_mut().find(|seen| seen.view == view).unwrap();
            let figure = Estimate { low: Some(low), high: Some(high), ..seen.network.macro_auroc };
            seen.network.macro_auroc = figure;
            seen.network.auroc.values_mut().for_each(|of_pair| *of_pair = figure);
            let text = banner(&open);
            assert!(text.contains("Cannot be told") && text.contains(said) && !text.contains("calm"), "{text}");
            assert!(open.terminal("0123").contains("Cannot be told: "));
        }
        assert!(report(0.5, 0.0).terminal("0123").contains("No shortcut found"));
        let mut unasked = report(0.5, 0.0);
        unasked.views.retain(|seen| seen.view != View::LungsHidden);
        assert!(banner(&unasked).contains("too few films to ask"));
        let fall = banner(&report(0.5, 0.2));
        assert!(fall.contains("may use shortcuts"), "{fall}");
    }

    #[test]
    fn joined_sources_are_not_inside_one_collection() {
        let mut report = report(0.5, 0.0);
        let pairs = report.views[0].network.auroc.clone();
        for group in ["home", "ill+well", "seen"] {
            report.views[0].network.within.insert(group.into(), pairs.clone());
        }
        assert_eq!(places(&report, &report.views[0].network), [("home", "covid/normal")]);
        let mut named = report.clone();
        named.films.insert("ill+well".into(), [("covid".to_owned(), 9), ("normal".to_owned(), 9)].into());
        let inside = places(&named, &named.views[0].network);
        assert_eq!(inside, [("home", "covid/normal"), ("ill+well", "covid/normal")]);
        for source in ["ill", "well"] {
            report.films.entry(source.into()).or_default().insert(source.into(), 9);
        }
        report.gaps[0].place = "ill+well".into();
        assert!(gaps(&report).contains("between ill and well, one label each"));
    }

    #[test]
    fn a_gap_names_what_was_still_trained_on() {
        let mut report = report(0.5, 0.2);
        report.left_out_by = Some("frozen weights".into());
        report.films.insert("bimcv".into(), [("covid".to_owned(), 9)].into());
        report.gaps[0].place = "siim".into();
        report.find_alarms();
        let still = "bimcv, of the same hospitals as siim, was still in training";
        assert!(gaps(&report).contains(still) && banner(&report).contains(still));
    }

    #[test]
    fn the_table_of_falls_says_whose_figures_it_compares() {
        let mut report = report(0.5, 0.2);
        report.left_out_by = Some("frozen weights".into());
        report.gaps[0].rarer = Some(8);
        let text = gaps(&report);
        assert!(text.contains("the two figures come from two networks") && text.contains("8 films of the rarer label"));
        report.seen_by = SeenBy::Folds("5 folds by patient".into());
        report.gaps[0].seen = Estimate::default();
        let text = gaps(&report);
        assert!(text.contains("both figures come from linear heads") && text.contains("5 folds by patient"), "{text}");
        assert!(text.contains("<td>–</td>"), "no fall without a figure: {text}");
    }
}
