//! `comparison.html`: several audits side by side, and what they teach.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::away::{Away, away, lowest_in_words};
use super::chart::bar;
use super::page::{OVERLAPS, labelled, two};
use super::place::{Place, SEEN};
use super::report::AuditReport;
use super::views::View;
use crate::bootstrap::Estimate;
use crate::page;
use crate::svg::escape;
use crate::tutorial;

/// What weights from the films of the paper on DarkCovidNet call them.
const DARKCOVIDNET: &str = "darkcovidnet";
/// The recipe of a new last layer on ImageNet features, as the README beside the reports gives it.
const FROZEN: &str = "frozen ImageNet features, new head";

/// The page; the first audit is the one that was just made.
pub(super) fn page(reports: &[AuditReport]) -> String {
    let pair = common_pair(reports);
    let mut text = lead(reports, &pair);
    text += &columns(reports);
    text += &summary(reports, &pair);
    text += &views(reports, &pair);
    text += &lesson(reports, &pair);
    text += &method(reports);
    page::document("Right for the wrong reason: classifiers side by side", &text)
}

/// The first pair of labels that every audit has a figure for.
fn common_pair(reports: &[AuditReport]) -> String {
    let pairs = |report: &AuditReport| -> BTreeSet<String> {
        report.view(View::Whole).map(|seen| seen.network.auroc.keys().cloned().collect()).unwrap_or_default()
    };
    let mut common = reports.first().map(pairs).unwrap_or_default();
    for report in reports {
        common = common.intersection(&pairs(report)).cloned().collect();
    }
    common.into_iter().next().unwrap_or_default()
}

fn lead(reports: &[AuditReport], pair: &str) -> String {
    let (a, b) = pair.split_once('/').unwrap_or((pair, "the rest"));
    format!(
        "<p class=\"lead\">{} classifiers, one question: <b>{}</b> or <b>{}</b>? Each says how sure it is for every film. What \
         follows is not who wins, but what each of them looks at.</p>\n<p class=\"soft\">AUROC: pick one {} film and one {} \
         film; how often is the first ranked higher? 1.00 is always, 0.50 is a coin (the thin line in each bar). Small print: \
         95\u{a0}% interval over patients.</p>\n<p class=\"note\"><b>Not a diagnosis.</b> {}</p>\n",
        match reports.len() {
            2 => "Two",
            3 => "Three",
            4 => "Four",
            _ => "Several",
        },
        escape(a),
        escape(b),
        escape(a),
        escape(b),
        page::DISCLAIMER
    )
}

/// What each column is, a line each.
fn columns(reports: &[AuditReport]) -> String {
    let mut text = String::from("<ul>\n");
    for report in reports {
        let recipe = report.recipe.as_str();
        let what = if recipe == tutorial::RECIPE {
            "weights from the recipe of a tutorial of 2020, trained on its 40 or so films of two collections".to_owned()
        } else if recipe == FROZEN && report.seen.iter().any(|source| source == DARKCOVIDNET) {
            "a linear head on frozen ImageNet features, trained on the DarkCovidNet data set; <b>not</b> the DarkCovidNet \
             network"
                .to_owned()
        } else {
            format!(
                "weights from the recipe <code>{}</code>, trained on films of {}",
                escape(recipe),
                escape(report.seen.join(", "))
            )
        };
        let _ = writeln!(text, "<li><b>{}</b>: {what}.</li>", escape(&report.name));
    }
    text + "</ul>\n"
}

fn header(reports: &[AuditReport], first: &str) -> String {
    let mut text = format!("<div class=\"scroll\"><table><thead><tr><th scope=\"col\">{first}</th>");
    for report in reports {
        let _ = write!(text, "<th scope=\"col\">{}</th>", escape(&report.name));
    }
    text + "</tr></thead><tbody>\n"
}

fn row(text: &mut String, name: &str, explanation: &str, cells: impl Iterator<Item = String>) {
    let small =
        if explanation.is_empty() { String::new() } else { format!("<br><small class=\"wide\">{explanation}</small>") };
    let _ = write!(text, "<tr><th scope=\"row\">{name}{small}</th>");
    *text += &cells.map(|cell| format!("<td>{cell}</td>")).collect::<String>();
    *text += "</tr>\n";
}

/// The figure of the pair for whole films of sources that training saw; of all films where it saw all sources.
fn at_home(report: &AuditReport, pair: &str, view: View) -> Option<Estimate> {
    let figures = &report.view(view)?.network;
    figures.of(SEEN, pair).or_else(|| figures.auroc.get(pair).copied())
}

/// A figure in a table. Whoever reads it first will take one below a coin for a mistake.
fn cell(figure: Option<Estimate>) -> String {
    let below = figure.and_then(|figure| figure.high).is_some_and(|high| high < 0.5);
    let clause = "<small class=\"wide\">below a coin, with its whole interval: it ranks the two labels the wrong way round \
                  here</small>";
    bar(figure) + if below { clause } else { "" }
}

fn summary(reports: &[AuditReport], pair: &str) -> String {
    let mut text = String::from("<h2>The whole story in one table</h2>\n") + &header(reports, "question");
    row(
        &mut text,
        "How good is it, as papers measure it?",
        "Films of collections that training saw, other patients: AUROC.",
        reports.iter().map(|report| cell(at_home(report, pair, View::Whole))),
    );
    row(
        &mut text,
        "And with the lungs blacked out?",
        "The same films. Whatever is left was hardly read from the lungs; strips of them and the outline of the black \
         remain.",
        reports.iter().map(|report| cell(at_home(report, pair, View::LungsHidden))),
    );
    row(
        &mut text,
        "And the whole chest?",
        "A block over the place of the lungs, the same on every film: hardly anything of their outline is left.",
        reports.iter().map(|report| cell(at_home(report, pair, View::ChestHidden))),
    );
    row(
        &mut text,
        "And with nothing but the border?",
        "The outermost tenth of the film.",
        reports.iter().map(|report| cell(at_home(report, pair, View::BorderOnly))),
    );
    let all: Vec<Vec<Away>> = reports.iter().map(away).collect();
    let places: BTreeSet<&str> = all.iter().flatten().filter(|away| away.pair == pair).map(|away| away.place).collect();
    for place in places {
        let found = |of: &Vec<Away>| {
            of.iter().find(|away| away.place == place && away.pair == pair).map_or_else(
                || cell(None),
                |away| format!("{}<small class=\"wide\">{}</small>", cell(Some(away.figure)), away.origin()),
            )
        };
        let name = match reports[0].place(place) {
            Place::Source(source) => format!("And inside {}, never seen?", escape(source)),
            joined @ Place::Joined(_) => format!("And {}, never seen?", escape(joined.words(&reports[0].films))),
            Place::Seen | Place::Unseen => "And at collections that it never saw?".into(),
        };
        row(&mut text, &name, "Whole films of sources that training did not see.", all.iter().map(found));
    }
    row(
        &mut text,
        "Does it know the collection?",
        "Share of films whose source a linear rule reads from the network's features (chance in brackets).",
        reports.iter().map(|report| {
            report.source.as_ref().map_or("–".into(), |probe| {
                format!(
                    "<b>{:.0}\u{a0}%</b> ({:.0}\u{a0}%)",
                    100.0 * probe.accuracy.value.unwrap_or_default(),
                    100.0 * probe.chance
                )
            })
        }),
    );
    row(
        &mut text,
        "Where does it look?",
        "Share of its map inside the lungs (share of the film that lungs take). Where the shares are alike, the map alone \
         does not expose the shortcut.",
        reports.iter().map(|report| {
            let percent =
                |value: Option<f64>| value.map_or("–".into(), |value| format!("{:.0}\u{a0}%", 100.0 * value));
            format!("<b>{}</b> ({})", percent(report.attention.inside.value), percent(report.attention.area.value))
        }),
    );
    row(
        &mut text,
        "Verdict",
        "",
        reports.iter().map(|report| match report.verdict() {
            None if !report.cannot_tell().is_empty() => "cannot be told".to_owned(),
            None => "<span class=\"calm\">no shortcut found</span>".to_owned(),
            Some(verdict) => format!("<span class=\"alarm\">{verdict}</span>"),
        }),
    );
    text + "</tbody></table></div>\n"
}

fn views(reports: &[AuditReport], pair: &str) -> String {
    let mut text = format!(
        "<h2>What is left when something is taken away</h2>\n<p>AUROC for {}, films of collections that training saw. Without \
         the lungs a classifier that reads them falls towards 0.50. (The rule that finds the \
         lungs also cut them out for the swapped surroundings of the second stage of the released recipe: for weights \
         trained so, these figures are not independent of training.) Coarse views keep large opacities (a white lung shows \
         even in 8 x 8 blocks), so what is left there may be earned. With <i>{}</i> left, or the markers erased, it should \
         stay close to the whole film.</p>\n",
        escape(pair),
        View::LungsOnly.name()
    );
    text += &header(reports, "film shown");
    for view in View::ALL {
        row(&mut text, &labelled(view), "", reports.iter().map(|report| cell(at_home(report, pair, view))));
    }
    text + "</tbody></table></div>\n"
}

fn lesson(reports: &[AuditReport], pair: &str) -> String {
    let value = |estimate: Option<Estimate>| two(estimate.and_then(|estimate| estimate.value));
    let each = |of: &dyn Fn(&AuditReport) -> String| {
        let parts: Vec<String> =
            reports.iter().map(|report| format!("{}: <b>{}</b>", escape(&report.name), of(report))).collect();
        parts.join("; ")
    };
    let whole = each(&|report| value(at_home(report, pair, View::Whole)));
    let border = each(&|report| value(at_home(report, pair, View::BorderOnly)));
    let lowest: Vec<String> =
        reports.iter().map(|report| format!("{}: {}", escape(&report.name), lowest_in_words(report, pair))).collect();
    let lowest = lowest.join("; ");
    format!(
        "<h2>What to learn from this</h2>\n<ol>\n<li><b>A high figure is not knowledge.</b> By the usual test, on other \
         patients of the same collections, the figures are {whole}. Nothing in these figures says how they come about.</li>\n\
         <li><b>Take away what should matter.</b> If the answer stays right when the lungs are gone, it never needed them. \
         With the border of the film alone, which holds hardly any lung: {border}. A coin has 0.50.</li>\n<li><b>Ask where \
         the two labels come from.</b> In the tutorial every COVID-19 film comes from journals and websites, every \
         normal film a child's from one hospital. Telling these two worlds apart is easy, and looks like medicine.</li>\n\
         <li><b>Go to another collection.</b> The lowest figure for {} at a collection that training never saw: {lowest}. \
         Few films make it uncertain, and no AUROC says how often a single patient gets a right answer. {OVERLAPS}</li>\n\
         <li><b>Test your own.</b> <code>trainer audit</code> makes this page for any weights; the Shortcut lab on the \
         site lets you black out parts of a film and watch the answer move.</li>\n</ol>\n<p class=\"soft\">None of this is new: Maguolo and Nanni (2020) got the same scores with the lungs \
         painted over, DeGrave, Janizek and Lee (2021) saw AUROCs of 0.99 fall to 0.70 at other hospitals, and Roberts et al. \
         (2021) found none of 62 published models fit for use.</p>\n",
        escape(pair)
    )
}

fn method(reports: &[AuditReport]) -> String {
    let mut text = String::from("<h2>What was compared</h2>\n<dl class=\"facts\">\n");
    for report in reports {
        let left_out = report.left_out_by.as_ref().map_or(String::new(), |by| {
            format!(
                " Collections left out: not these weights but {}, made anew without the collection ({}).",
                escape(report.left_out_network().unwrap_or_default()),
                escape(by)
            )
        });
        let _ = writeln!(
            text,
            "<dt>{}</dt><dd>Weights <code>{}</code>, recipe {}, trained on {}; asked about {} films of {} patients, split \
             {}, {}.{left_out}</dd>",
            escape(&report.name),
            escape(&report.weights),
            escape(&report.recipe),
            escape(report.seen.join(", ")),
            report.n,
            report.patients,
            escape(&report.protocol.split),
            escape(&report.protocol.date)
        );
    }
    text + "</dl>\n<p>Films differ in number where weights know fewer labels or were trained on some of the films. How each \
            figure is made stands on the page of each audit.</p>\n"
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::{figure, report};
    use super::*;

    #[test]
    fn each_audit_has_a_column_and_its_own_verdict() {
        let (mut good, bad) = (report(0.5, 0.0), report(0.8, 0.3));
        good.name = "good & fair".into();
        let page = page(&[good, bad]);
        assert!(page.contains("good &amp; fair") && page.contains("Two classifiers"));
        assert!(page.contains("no shortcut found") && page.contains("uses shortcuts"));
        assert!(page.contains("inside away, never seen?"), "{page}");
    }

    #[test]
    fn a_figure_below_a_coin_is_explained_where_its_interval_is_too() {
        assert!(cell(Some(figure(0.4))).contains("the wrong way round"));
        assert!(!cell(Some(figure(0.46))).contains("the wrong way round"));
        assert!(!cell(None).contains("the wrong way round"));
    }

    #[test]
    fn columns_say_what_was_trained_on_what() {
        let [mut one, mut two, mut three] = [0.5; 3].map(|hidden| report(hidden, 0.0));
        one.recipe = "default".into();
        two.recipe = tutorial::RECIPE.into();
        three.recipe = FROZEN.into();
        three.seen = vec![DARKCOVIDNET.into()];
        let text = columns(&[one, two, three]);
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("<li>")).collect();
        assert!(lines[0].contains("<code>default</code>, trained on films of home"), "{text}");
        assert!(lines[1].contains("40 or so films"), "{text}");
        assert!(lines[2].contains("<b>not</b> the DarkCovidNet network"), "{text}");
    }

    #[test]
    fn figures_at_home_are_those_of_seen_sources_where_there_are_others() {
        let mut report = report(0.5, 0.0);
        assert_eq!(at_home(&report, "covid/normal", View::Whole), Some(figure(0.9)));
        let seen = [("covid/normal".to_owned(), figure(0.95))].into();
        let unseen = [("covid/normal".to_owned(), figure(0.55))].into();
        let within = &mut report.views[0].network.within;
        within.insert("seen".into(), seen);
        within.insert("siim".into(), unseen);
        assert_eq!(at_home(&report, "covid/normal", View::Whole), Some(figure(0.95)));
        let places: Vec<&str> = away(&report).into_iter().map(|away| away.place).collect();
        assert_eq!(places, ["away", "siim"]);
        assert_eq!(common_pair(&[report]), "covid/normal");
    }
}
