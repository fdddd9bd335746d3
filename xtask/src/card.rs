//! What the page says about the weights, from `weights/`: the model card as a page, and the measured rates as a module.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd, html};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::run::{Place, RELEASED_WEIGHTS};

const CARD: &str = "weights/MODEL_CARD.md";
const REPORT: &str = "weights/report/report.json";
/// The module that the page imports; kept in the repository, so that the page runs without a build.
const MODULE: &str = "www/app/report.js";
/// Where the card goes in `about.html`.
const MARK: &str = "<!-- MODEL_CARD -->";

/// Puts the model card into the `about.html` of a finished site.
pub(crate) fn about(place: &Place, site: &Path) -> Result<()> {
    let page = site.join("about.html");
    let frame = fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
    ensure!(frame.contains(MARK), "about.html has no {MARK}");
    let card = fs::read_to_string(place.root.join(CARD)).with_context(|| format!("cannot read {CARD}"))?;
    let served = fs::read(place.generated().join(RELEASED_WEIGHTS)).context("cannot read the site's weights")?;
    let text = of_weights(&card, &id(&served));
    fs::write(&page, frame.replace(MARK, &text)).context("cannot write about.html")
}

/// The card, if it is about the weights that the site serves.
fn of_weights(card: &str, served: &str) -> String {
    let measured = named(card).unwrap_or("without a name");
    if measured == served {
        return render(card);
    }
    format!(
        "<p>This site serves the weights {served}, which nobody measured here: the figures of this project are about the weights \
         {measured}. <code>trainer evaluate</code> and <code>trainer card</code> write those of your own.</p>"
    )
}

/// The weights that a card is about: the first name (see [`id`]) after the word "weights".
fn named(card: &str) -> Option<&str> {
    let words = || card.split_whitespace();
    words().zip(words().skip(1)).filter(|(before, _)| *before == "weights").find_map(|(_, name)| {
        let name = name.trim_end_matches([',', '.', ':', ';']);
        (name.len() == 12 && name.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))).then_some(name)
    })
}

/// The name of weights: the first 12 hexadecimal digits of the file's SHA-256.
fn id(file: &[u8]) -> String {
    Sha256::digest(file).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

fn read_report(place: &Place) -> Result<Report> {
    let report = fs::read(place.root.join(REPORT)).with_context(|| format!("cannot read {REPORT}"))?;
    serde_json::from_slice(&report).with_context(|| format!("{REPORT} is of another form"))
}

/// The card as HTML. Its title is the page's own; links to files of the repository
/// lead nowhere on a site, so only their text stays; raw HTML is left out. Tables can be scrolled sideways.
pub(crate) fn render(card: &str) -> String {
    let body = card.split_once('\n').map_or(card, |(title, rest)| if title.starts_with("# ") { rest } else { card });
    let mut inside = false;
    let events = Parser::new_ext(body, Options::ENABLE_TABLES).filter_map(|event| match event {
        Event::Html(_) | Event::InlineHtml(_) => None,
        Event::Start(Tag::Link { ref dest_url, .. }) => {
            inside = dest_url.starts_with("https://") || dest_url.starts_with('#');
            inside.then_some(event)
        }
        Event::End(TagEnd::Link) => inside.then_some(event),
        other => Some(other),
    });
    let mut rendered = String::new();
    html::push_html(&mut rendered, events);
    rendered
        .replace("<table>", "<div class=\"table\" tabindex=\"0\" role=\"group\" aria-label=\"Table\"><table>")
        .replace("</table>", "</table></div>")
        // The corner above the names of the rows is no heading.
        .replace("<th></th>", "<td></td>")
        .replace("<th>", "<th scope=\"col\">")
}

/// The parts of `report.json` that the page shows.
#[derive(Deserialize)]
struct Report {
    n: u32,
    patients: u32,
    protocol: Protocol,
    findings: BTreeMap<String, Counted>,
    operating_points: Vec<Tested>,
}

#[derive(Deserialize)]
struct Counted {
    prevalence: f64,
}

#[derive(Deserialize)]
struct Protocol {
    weights: String,
    split: String,
}

#[derive(Deserialize)]
struct Tested {
    chosen: Chosen,
    sensitivity: Interval,
    specificity: Interval,
}

#[derive(Deserialize)]
struct Chosen {
    name: String,
    finding: String,
    threshold: f64,
}

/// Absent where there are too few films to tell.
#[derive(Deserialize)]
struct Interval {
    value: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
}

/// Writes `www/app/report.js` anew if the evaluation report has changed.
pub(crate) fn rates(place: &Place) -> Result<()> {
    let text = module(&read_report(place)?);
    let file = place.root.join(MODULE);
    if fs::read_to_string(&file).is_ok_and(|now| now == text) {
        return Ok(());
    }
    fs::write(file, text).with_context(|| format!("cannot write {MODULE}"))
}

fn module(Report { n, patients, protocol, findings, operating_points }: &Report) -> String {
    let mut text = format!(
        "// Written by `cargo xtask wasm` from {REPORT}. Do not edit.\n\n\
         /** What the page shows of the evaluation report: the rates at each threshold, with 95 % intervals, and the\n \
         * share of the films that have each label. */\n\
         export const report = {{\n  weights: '{}',\n  \
         data: '{n} {} films of {patients} patients from the sources of the training films',\n  \
         prevalence: {{\n",
        escape(&protocol.weights),
        escape(&protocol.split)
    );
    let round = |share: &f64| (share * 1e4).round() / 1e4;
    for (finding, Counted { prevalence }) in findings {
        text += &format!("    '{}': {},\n", escape(finding), round(prevalence));
    }
    text += "  },\n  points: [\n";
    let interval = |Interval { value, low, high }: &Interval| {
        let (value, low, high) = (round(value.as_ref()?), round(low.as_ref()?), round(high.as_ref()?));
        Some(format!("{{ value: {value}, low: {low}, high: {high} }}"))
    };
    for Tested { chosen, sensitivity, specificity } in operating_points {
        // The page says of a threshold without measured rates that there are none.
        let (Some(sensitivity), Some(specificity)) = (interval(sensitivity), interval(specificity)) else { continue };
        text += &format!(
            "    {{\n      name: '{}',\n      finding: '{}',\n      threshold: {},\n      sensitivity: {},\n      \
             specificity: {},\n    }},\n",
            escape(&chosen.name),
            escape(&chosen.finding),
            chosen.threshold,
            sensitivity,
            specificity
        );
    }
    text + "  ],\n};\n"
}

/// A text between single quotes.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_becomes_a_part_of_a_page() {
        let card = "# Title\n\nText with [a file](report/x.html), [a site](https://example.org/) and <b>HTML</b>.\n\n\
                    ## Data\n\n| | b |\n|---|---|\n| 1 | 2 |\n\n<!-- note -->\n";
        let html = render(card);
        assert!(!html.contains("Title") && html.contains("<h2>Data</h2>"), "{html}");
        assert!(
            html.contains("with a file,") && html.contains("<a href=\"https://example.org/\">a site</a>"),
            "{html}"
        );
        assert!(!html.contains("<b>") && !html.contains("note"), "{html}");
        assert!(html.contains("<td></td><th scope=\"col\">b</th>") && html.contains("</table></div>"), "{html}");
    }

    #[test]
    fn other_weights_are_not_given_the_figures_of_the_released_ones() {
        let card = "# Title\n\nThe weights file `a.safetensors`, weights\n0123456789ab, carries them. Figures of weights 999999999999.";
        assert!(of_weights(card, "0123456789ab").contains("Figures"));
        for card in [card, "# Title\n\nFigures of weights that nobody names."] {
            let other = of_weights(card, "ba7816bf8f01");
            assert!(!other.contains("Figures") && other.contains("weights ba7816bf8f01,"), "{other}");
        }
        // The standard's example, FIPS 180-4.
        assert_eq!(id(b"abc"), "ba7816bf8f01");
    }

    #[test]
    fn a_fresh_report_does_not_make_an_old_card_that_of_the_weights() -> Result<()> {
        let root = std::env::temp_dir().join(format!("deepbreath-card-{}", std::process::id()));
        let place = Place { root: root.clone(), ..Place::find()? };
        let site = root.join("site");
        for folder in [&site, &root.join("weights/report"), &place.generated().join("weights")] {
            fs::create_dir_all(folder)?;
        }
        fs::write(root.join(CARD), "# Title\n\nFigures of weights 0123456789ab.")?;
        let report = r#"{"n": 1, "patients": 1, "protocol": {"weights": "ba7816bf8f01", "split": "test"}, "findings": {}, "operating_points": []}"#;
        fs::write(root.join(REPORT), report)?;
        fs::write(place.generated().join(RELEASED_WEIGHTS), "abc")?;
        fs::write(site.join("about.html"), MARK)?;
        about(&place, &site)?;
        let page = fs::read_to_string(site.join("about.html"))?;
        fs::remove_dir_all(root)?;
        assert!(!page.contains("Figures") && page.contains("weights ba7816bf8f01,"), "{page}");
        Ok(())
    }

    #[test]
    fn the_card_in_the_repository_names_its_weights() -> Result<()> {
        let card = fs::read_to_string(Place::find()?.root.join(CARD))?;
        assert!(named(&card).is_some());
        Ok(())
    }

    #[test]
    fn a_point_without_measured_rates_is_left_out() -> Result<()> {
        let rates = |sensitivity: &str| {
            format!(
                r#"{{"n": 2, "patients": 2, "protocol": {{"weights": "w", "split": "test"}}, "findings": {{}}, "operating_points":
                [{{"chosen": {{"name": "balanced", "finding": "a", "threshold": 0.5}}, "sensitivity": {sensitivity},
                "specificity": {{"value": 0.5, "low": 0.25, "high": 0.75}}}}]}}"#
            )
        };
        let shown = |sensitivity| Ok::<_, anyhow::Error>(module(&serde_json::from_str(&rates(sensitivity))?));
        assert!(shown(r#"{"value": 0.5, "low": 0.25, "high": 0.75}"#)?.contains("balanced"));
        assert!(!shown(r#"{"value": 1.0, "low": null, "high": null}"#)?.contains("balanced"));
        Ok(())
    }

    #[test]
    fn the_module_in_the_repository_is_that_of_the_report() -> Result<()> {
        let place = Place::find()?;
        let report = serde_json::from_slice(&fs::read(place.root.join(REPORT))?)?;
        assert_eq!(fs::read_to_string(place.root.join(MODULE))?, module(&report));
        Ok(())
    }

    #[test]
    fn a_quote_in_a_name_stays_a_quote() {
        assert_eq!(escape("it's\\\n"), "it\\'s\\\\\\n");
    }
}
