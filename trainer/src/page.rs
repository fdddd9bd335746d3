//! The report as one HTML page: no script, nothing fetched, light and dark, readable on a phone and by a student.

use crate::bootstrap::Estimate;
use crate::failures;
use crate::plots::Figure;
use crate::report::Report;
use crate::svg::escape;
use crate::tables::{self, Cell, Table};
use std::fmt::Write;

const STYLE: &str = include_str!("page.css");

/// What stands on every page of this project.
pub const DISCLAIMER: &str = "For education and research, never a diagnosis. These figures hold for the films listed here \
    and not for a patient in front of you.";

/// Words of the report in plain language.
const GLOSSARY: [(&str, &str); 15] = [
    (
        "Finding, label",
        "A finding is what the model says; the label is what the people who collected the film wrote down. Labels can be wrong, and then the model is marked down for being right.",
    ),
    (
        "Accuracy",
        "The share of films where the most probable finding is the label. If 90 of 100 films are normal, always saying normal scores 0.90, so never read it alone.",
    ),
    (
        "Balanced accuracy",
        "The sensitivity of every finding, averaged. Rare findings count as much as common ones. Guessing among three findings gives 0.33.",
    ),
    (
        "Sensitivity (recall)",
        "Of the films that have the finding, the share that is found. What is missing to 1 was overlooked.",
    ),
    (
        "Specificity",
        "Of the films that do not have the finding, the share that is left in peace. What is missing to 1 were false alarms.",
    ),
    (
        "Precision",
        "Of the films that were called so, the share that really has it. It depends on how common the finding is: in a place where it is rarer, it is lower.",
    ),
    ("F1", "One number between precision and sensitivity; low if either of them is low."),
    (
        "AUROC",
        "Take one film with the finding and one without: how often does the one with it get the higher probability? 1 is always, 0.5 is a coin.",
    ),
    (
        "Average precision",
        "The area under the precision-recall curve. Guessing gives the share of films that have the finding, not 0.5.",
    ),
    (
        "Calibration error (ECE)",
        "Of the films called with 80 %, about 80 % should be right. This is the average distance from that; 0 is perfect.",
    ),
    (
        "Brier score",
        "The squared distance between the probabilities and the truth, 0 to 2. It punishes wrong and overconfident answers.",
    ),
    (
        "95 % interval",
        "How far the figure could move with other patients from the same places. Where two intervals overlap widely, do not call a winner.",
    ),
    (
        "Operating point",
        "A threshold chosen beforehand on other patients. The screening one finds at least 95 % of those with the finding there and accepts more false alarms.",
    ),
    (
        "Prediction set, coverage",
        "All findings that stay possible. Coverage is the share of films whose set holds the label; a set with every finding is always right and says nothing, so read it with the mean size.",
    ),
    (
        "Source, shortcut",
        "The hospital or collection of a film. If all films of one finding come from one place, a model can learn the place: the rows of each source show whether it did.",
    ),
];

const FEW: &str = "* fewer than 30 films: too few to conclude from.";

/// A whole document around its body; the policy forbids scripts and every request.
pub fn document(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\">\n<meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
         </head>\n<body>\n<main>\n<h1>{title}</h1>\n{body}</main>\n</body>\n</html>\n"
    )
}

/// The page of one evaluation.
pub fn evaluation(report: &Report, figures: &[Figure]) -> String {
    document("Evaluation of a chest X\u{2011}ray classifier", &(lead(report) + &sections(report, figures)))
}

fn lead(report: &Report) -> String {
    let percent = |v: f64| format!("{:.1}", 100.0 * v);
    let mut text = String::new();
    if let Some(value) = report.accuracy.value {
        let interval = match (report.accuracy.low, report.accuracy.high) {
            (Some(low), Some(high)) => {
                format!(" (95\u{a0}% interval {} to {}\u{a0}%)", percent(low), percent(high))
            }
            _ => String::new(),
        };
        let _ = writeln!(
            text,
            "<p class=\"lead\">On {} films of {} patients, the most probable of {} findings was the right one in \
             <b>{}\u{a0}%</b>{interval}.</p>",
            report.n,
            report.patients,
            report.classes.len(),
            percent(value),
        );
    }
    let Report { protocol, .. } = report;
    let (split, weights, date) = (escape(&protocol.split), escape(&protocol.weights), escape(&protocol.date));
    let _ = writeln!(text, "<p class=\"soft\">Split {split}, weights <code>{weights}</code>, measured {date}.</p>");
    text + &format!("<p class=\"note\"><b>Not a diagnosis.</b> {DISCLAIMER}</p>\n")
}

/// A figure as a card with its interval on a scale from 0 to 1.
pub(crate) fn card(name: &str, figure: Estimate, explanation: &str) -> String {
    let value = figure.value.map_or("–".to_owned(), |v| format!("{v:.3}"));
    let mut text = format!("<div class=\"card\"><h3>{name}</h3><b>{value}</b>");
    let place = |v: f64| 100.0 * v.clamp(0.0, 1.0);
    if let (Some(value), Some(low), Some(high)) = (figure.value, figure.low, figure.high) {
        let _ = write!(
            text,
            "<div class=\"track\"><i style=\"left:{:.1}%;width:{:.1}%\"></i><u style=\"left:{:.1}%\"></u></div>\
             <small>{low:.3} to {high:.3}</small>",
            place(low),
            place(high) - place(low),
            place(value),
        );
    }
    text + &format!("<small>{explanation}</small></div>\n")
}

/// Everything after the lead, for any report.
pub fn sections(report: &Report, figures: &[Figure]) -> String {
    let mut text = String::from("<div class=\"cards\">\n");
    text += &card("Accuracy", report.accuracy, "right calls");
    text += &card("Balanced accuracy", report.balanced_accuracy, "every finding counts the same");
    text += &card("Macro AUROC", report.macro_auroc, "ranking; 0.5 is a coin");
    text += &card("Calibration error", report.ece, "smaller is better");
    let (refused, of) = match report.gateless {
        true => (
            "no gate".to_owned(),
            "these weights cannot tell a chest X-ray from another image, and refuse none".to_owned(),
        ),
        false => (
            report.refused.to_string(),
            format!(
                "of {} films did not look like a frontal chest X-ray; they get no call and no prediction set, and count in \
                 every other figure",
                report.n
            ),
        ),
    };
    let _ = writeln!(text, "<div class=\"card\"><h3>Refused</h3><b>{refused}</b><small>{of}</small></div>\n</div>");

    section(&mut text, "By finding", "Each finding against all others.", &tables::findings(report));
    let picture = |text: &mut String, figure: &Figure| {
        let Figure { title, caption, svg, .. } = figure;
        let _ = writeln!(text, "<figure><h3>{title}</h3>\n{svg}<figcaption>{caption}</figcaption></figure>");
    };
    text += "<div class=\"figures\">\n";
    for figure in figures {
        picture(&mut text, figure);
    }
    text += "</div>\n";

    section(
        &mut text,
        "By source",
        "Only the rows of a single source are free of shortcuts between sources: a model that recognises the hospital \
         gains nothing there. a/b: a against b, among the films of these two labels. * fewer than 30 films, too few to conclude from.",
        &tables::groups(report, "source", report.sources.iter()),
    );
    if let Some(table) = tables::without_each_source(report) {
        let explanation = "The same answers without the films of one source in turn: how much the figures of all films rest \
                           on it. The weights are the same throughout; they learned from whatever they learned from.";
        section(&mut text, "Without each source", explanation, &table);
    }
    for (kind, groups) in &report.subgroups {
        let name = kind.replace('_', " ");
        section(
            &mut text,
            &format!("By {name}"),
            if groups.values().any(|group| group.few) { FEW } else { "" },
            &tables::groups(report, &name, groups.iter()),
        );
    }
    if let Some(table) = tables::calls(report) {
        let explanation = "The figures above take the most probable finding of every film. The classifier itself calls a \
                           finding only if it alone reaches its balanced threshold and the film is not refused; otherwise it \
                           makes no call and says why. Called: of the films on which this finding was called, the share that has it \
                           among these films. * fewer than 30 films.";
        section(&mut text, "What it calls", explanation, &table);
    }
    if !report.operating_points.is_empty() {
        section(
            &mut text,
            "Operating points",
            "Thresholds chosen on validation patients, and what they do on these films.",
            &tables::operating_points(report),
        );
    }
    for name in ["balanced", "screening"] {
        let table = tables::predictive_values(report, name);
        if table.rows.is_empty() {
            continue;
        }
        section(
            &mut text,
            &format!("What reaching a threshold is worth where the finding is rarer: {name} thresholds"),
            "Of the films whose probability reaches the threshold, the share that has the finding (PPV), and of the others the \
             share without it (NPV), by Bayes' rule from the rates above. A call asks for more: that no other finding reaches \
             its own, and no refusal. Rates from these films do not hold in another place, and with them these values fall too.",
            &table,
        );
    }
    if let (Some(table), Some(sets)) = (tables::prediction_sets(report), &report.conformal) {
        let explanation = format!(
            "Instead of one call: every finding that stays possible, so that at least {:.0} % of the films of each label \
             have it in their set. A refused film gets no set and is not counted here. Thresholds from {} validation films. The \
             promise is for the same mixture of sources, label \
             by label, and the rows of the labels show whether it held; a single source, or another hospital, has no such \
             promise, and the rows of the sources show by how much it can miss. * fewer than 30 films.",
            100.0 * sets.stated,
            sets.calibrated_on
        );
        section(&mut text, "Prediction sets", &explanation, &table);
    }
    if let Some(table) = tables::calibration_by_finding(report) {
        let explanation = format!(
            "Each finding's own probability against all other findings. The line is the logistic regression of the label on the \
             log-odds of the probability: slope 1 and intercept 0 are perfect, a slope below 1 is too extreme. Where every \
             label is equally frequent, which is what the probabilities are fitted for, the error of the most probable finding is {}.",
            Cell::Figure(report.ece_equal).plain()
        );
        section(&mut text, "Calibration by finding", &explanation, &table);
    }
    section(
        &mut text,
        "Calibration by source",
        "One temperature and one offset for each finding serve all sources. Too sure by: the mean probability of the calls less the share of right ones, \
         below 0 where the model is too modest. The calibration error grows with chance, and more so in the resamples: its \
         interval can lie above the figure.",
        &tables::calibration_by_source(report),
    );
    if let Some(table) = tables::out_of_distribution(report) {
        let explanation = "Images that are not frontal chest X-rays. A good gate refuses all of them. The AUROC ranks them \
                           against the films of this report by their distance. * fewer than 30 images.";
        section(&mut text, "Images that do not belong here", explanation, &table);
    }
    if let Some(table) = tables::spoilt(report) {
        let explanation = "Films of this report as files that were turned, cut to one half, inverted or blanked. A negative \
                           that is recognised is turned back while it is read, which the answer says. Found: refused or turned \
                           back. Named: found, and the answer says what is wrong.";
        section(&mut text, "Films with a flaw", explanation, &table);
    }
    section(
        &mut text,
        "Where it fails",
        "The mistakes that take the largest share of a label's films in a source (labels of at least ten films).",
        &failures::confusions(report),
    );
    section(
        &mut text,
        "Lowest AUROCs",
        "Among sources and subgroups of 30 films or more. *: of fewer than 30 films of the rarer label.",
        &failures::lowest(report),
    );
    if let Some(leakage) = &report.leakage {
        let _ = writeln!(text, "<h2>Do films leak between the splits?</h2>\n<p>{}</p>", escape(leakage.to_string()));
    }
    section(&mut text, "All headline figures", "", &tables::headline(report));
    text + &protocol(report) + &glossary()
}

/// A heading, an explanation and a table.
pub fn section(text: &mut String, heading: &str, explanation: &str, table: &Table) {
    let _ = writeln!(text, "<h2>{}</h2>", escape(heading));
    if !explanation.is_empty() {
        let _ = writeln!(text, "<p class=\"soft\">{}</p>", escape(explanation));
    }
    *text += &table.html();
}

fn protocol(report: &Report) -> String {
    let p = &report.protocol;
    let mut text = String::from("<h2>How it was measured</h2>\n<dl class=\"facts\">\n");
    for (name, value) in [
        ("Command", &p.command),
        ("Split", &p.split),
        ("Manifest (SHA-256)", &p.manifest_digest),
        ("Weights", &p.weights),
        ("Date", &p.date),
    ] {
        let _ = writeln!(text, "<dt>{name}</dt><dd><code>{}</code></dd>", escape(value));
    }
    text += "</dl>\n<ul>\n";
    for line in p.method.iter().chain(&p.notes) {
        let _ = writeln!(text, "<li>{}</li>", escape(line));
    }
    text + "</ul>\n"
}

fn glossary() -> String {
    let mut text = String::from("<h2>Glossary</h2>\n<dl class=\"glossary\">\n");
    for (word, meaning) in GLOSSARY {
        let _ = writeln!(text, "<div><dt>{word}</dt><dd>{meaning}</dd></div>");
    }
    text + &format!("</dl>\n<p class=\"note\">{DISCLAIMER}</p>\n")
}
