//! The figures of a report, as SVG text.

use crate::bootstrap::Estimate;
use crate::calibrate::RELIABILITY_BINS;
use crate::metrics::{CurvePoint, Prediction, Ranking};
use crate::report::Report;
use crate::svg::{Frame, Svg, series};
use serde::{Deserialize, Serialize};

const WIDTH: f64 = 424.0;
const HEIGHT: f64 = 396.0;

/// A figure of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// File name without `.svg`.
    pub name: &'static str,
    /// Heading.
    pub title: &'static str,
    /// How to read it, in one or two sentences.
    pub caption: &'static str,
    /// The drawing.
    pub svg: String,
}

/// All figures of a report; `predictions` are the ones it was measured on.
pub fn figures(report: &Report, predictions: &[Prediction]) -> Vec<Figure> {
    vec![
        Figure {
            name: "confusion",
            title: "Confusion matrix",
            caption: "Each row is a true label and adds up to 100 %. The diagonal is what was called right; every other \
                      cell is a kind of mistake.",
            svg: confusion(report),
        },
        Figure {
            name: "roc",
            title: "ROC curves",
            caption: "Each point of a curve is one possible threshold. The closer a curve comes to the upper left corner, the \
                      better; the dotted diagonal is guessing.",
            svg: roc(report, predictions),
        },
        Figure {
            name: "precision-recall",
            title: "Precision and recall",
            caption: "How many of the called films really have the finding, while more and more of those that have it are \
                      found. The dotted lines are guessing, at the share of each finding among these films.",
            svg: precision_recall(report, predictions),
        },
        Figure {
            name: "reliability",
            title: "Reliability",
            caption: "Does 80 % mean 80 %? Each dot is a group of films with similar probability; on the dotted diagonal the \
                      probability is honest, below it too sure. Bars: how many films each dot stands for.",
            svg: reliability(report),
        },
        Figure {
            name: "sources",
            title: "Accuracy by source",
            caption: "Accuracy with its interval for each hospital or collection. A model that holds only where its training \
                      films came from shows it here.",
            svg: sources(report),
        },
    ]
}

fn unit_frame() -> Frame {
    Frame { area: (62.0, 14.0, 348.0, 330.0), x: (0.0, 1.0), y: (0.0, 1.0) }
}

fn with_interval(label: &str, estimate: Estimate) -> String {
    match (estimate.value, estimate.low, estimate.high) {
        (Some(value), Some(low), Some(high)) => {
            format!("{label} {value:.3} ({low:.3} to {high:.3})")
        }
        (Some(value), ..) => format!("{label} {value:.3}"),
        _ => format!("{label}: undefined"),
    }
}

/// Curves of every finding, with a key in the given corner.
fn curves(
    report: &Report,
    predictions: &[Prediction],
    svg: &mut Svg,
    point: impl Fn(&CurvePoint) -> (f64, f64),
    legend: Vec<String>,
    bottom: bool,
) {
    let frame = unit_frame();
    for (class, _) in report.classes.iter().enumerate() {
        let curve = Ranking::one_vs_rest(predictions.iter().enumerate(), class).curve();
        svg.path(curve.iter().map(&point).map(|(x, y)| frame.at(x, y)), &series(class));
    }
    let widest = legend.iter().map(|entry| entry.chars().count()).max().unwrap_or(0) as f64;
    let width = (50.0 + 6.4 * widest).min(336.0);
    let height = 20.0 * legend.len() as f64 + 8.0;
    let (x, _) = if bottom { frame.at(1.0, 0.0) } else { frame.at(0.0, 0.0) };
    let x = if bottom { x - width - 6.0 } else { x + 8.0 };
    svg.legend(x, frame.at(0.0, 0.0).1 - height - 8.0, width, &legend);
}

/// True against false positive rate of every finding, over all thresholds.
pub fn roc(report: &Report, predictions: &[Prediction]) -> String {
    let mut svg = Svg::new(WIDTH, HEIGHT, "ROC curve of every finding");
    let frame = unit_frame();
    frame.axes(&mut svg, "1 - specificity (false alarms)", "sensitivity (found)");
    svg.line(frame.at(0.0, 0.0), frame.at(1.0, 1.0), "guide");
    let legend = report.classes.iter().map(|label| with_interval(label, report.findings[label].auroc));
    let point = |p: &CurvePoint| (1.0 - p.specificity, p.sensitivity);
    let legend = legend.collect();
    curves(report, predictions, &mut svg, point, legend, true);
    svg.finish()
}

/// Precision against recall of every finding, over all thresholds.
pub fn precision_recall(report: &Report, predictions: &[Prediction]) -> String {
    let mut svg = Svg::new(WIDTH, HEIGHT, "Precision-recall curve of every finding");
    let frame = unit_frame();
    frame.axes(&mut svg, "recall (sensitivity)", "precision");
    for label in &report.classes {
        let share = report.findings[label].prevalence;
        svg.line(frame.at(0.0, share), frame.at(1.0, share), "guide");
    }
    let legend =
        report.classes.iter().map(|label| with_interval(label, report.findings[label].average_precision)).collect();
    let point = |p: &CurvePoint| (p.sensitivity, p.precision);
    curves(report, predictions, &mut svg, point, legend, false);
    svg.finish()
}

/// Accuracy against confidence per bin, above a histogram of the confidences.
pub fn reliability(report: &Report) -> String {
    let mut svg = Svg::new(WIDTH, HEIGHT, "Reliability diagram");
    let frame = Frame { area: (62.0, 14.0, 348.0, 246.0), ..unit_frame() };
    frame.axes(&mut svg, "", "share of right calls");
    svg.line(frame.at(0.0, 0.0), frame.at(1.0, 1.0), "guide");
    let filled = || report.reliability.iter().filter(|bin| bin.n > 0);
    let at = |bin: &crate::calibrate::Bin| frame.at(bin.confidence, bin.accuracy);
    svg.path(filled().map(at), &series(0));
    let most = filled().map(|bin| bin.n).max().unwrap_or(1) as f64;
    for bin in filled() {
        let tip = format!("{} films, mean probability {:.3}, right {:.3}", bin.n, bin.confidence, bin.accuracy);
        svg.dot(at(bin), 3.0 + 4.0 * (bin.n as f64 / most).sqrt(), "f0", &tip);
    }
    let (left, _) = frame.at(0.0, 0.0);
    for (index, bin) in report.reliability.iter().enumerate() {
        let step = 348.0 / RELIABILITY_BINS as f64;
        let height = 54.0 * bin.n as f64 / most;
        let x = left + step * index as f64;
        svg.rect((x + 1.0, 344.0 - height), (step - 2.0, height), "bar", 0.85, &format!("{} films", bin.n));
    }
    svg.line((left, 344.0), (left + 348.0, 344.0), "axis");
    svg.upward(20.0, 317.0, "", "films");
    svg.text(left - 8.0, 300.0, "soft small end", most);
    svg.text(left + 174.0, 368.0, "mid", "probability of the call");
    svg.text(left + 10.0, 36.0, "small", with_interval("calibration error", report.ece));
    svg.finish()
}

/// Counts and row shares of true label against call.
pub fn confusion(report: &Report) -> String {
    let n = report.classes.len().max(1) as f64;
    let mut svg = Svg::new(WIDTH, HEIGHT, "Confusion matrix");
    let (left, top, width, height) = (104.0, 42.0, 308.0, 308.0);
    let (cell_x, cell_y) = (width / n, height / n);
    svg.text(left + width / 2.0, 16.0, "mid", "called");
    svg.upward(18.0, top + height / 2.0, "", "true label");
    for (row, (label, counts)) in report.classes.iter().zip(&report.confusion).enumerate() {
        let total: u64 = counts.iter().sum();
        let middle_y = top + cell_y * (row as f64 + 0.5);
        svg.text(left - 10.0, middle_y + 4.0, "end", shorten(label));
        let middle_x = left + cell_x * (row as f64 + 0.5);
        svg.text(middle_x, top - 9.0, "mid", shorten(label));
        for (column, count) in counts.iter().enumerate() {
            let share = if total > 0 { *count as f64 / total as f64 } else { 0.0 };
            let at = (left + cell_x * column as f64 + 1.5, top + cell_y * row as f64 + 1.5);
            let tip = format!("{label} called {}: {count} of {total}", report.classes[column]);
            let size = (cell_x - 3.0, cell_y - 3.0);
            svg.rect(at, size, "heat", 0.05 + 0.95 * share, &tip);
            let ink = if share > 0.5 { "onheat" } else { "" };
            let middle = at.0 + size.0 / 2.0;
            svg.text(middle, middle_y - 1.0, &format!("mid bold {ink}"), count);
            if n <= 6.0 {
                let percent = format!("{:.0} %", 100.0 * share);
                svg.text(middle, middle_y + 16.0, &format!("mid small {ink}"), percent);
            }
        }
    }
    svg.text(left, 374.0, "small soft", format!("{} films; shade: share of the row", report.n));
    svg.finish()
}

fn shorten(label: &str) -> String {
    if label.chars().count() <= 13 {
        return label.to_owned();
    }
    label.chars().take(12).chain(['…']).collect()
}

/// Accuracy of every source with its interval.
pub fn sources(report: &Report) -> String {
    let rows = report.sources.len() as f64;
    let height = 34.0 * rows + 70.0;
    let mut svg = Svg::new(WIDTH, height, "Accuracy by source with 95 % intervals");
    let frame = Frame { area: (104.0, 12.0, 248.0, 34.0 * rows + 6.0), x: (0.0, 1.0), y: (0.0, 1.0) };
    let bottom = frame.area.1 + frame.area.3;
    for x in crate::svg::ticks(0.0, 1.0) {
        let (at, _) = frame.at(x, 0.0);
        svg.line((at, frame.area.1), (at, bottom), "grid");
        svg.text(at, bottom + 17.0, "soft small mid", format!("{x:.1}"));
    }
    if let Some(overall) = report.accuracy.value {
        let (x, _) = frame.at(overall, 0.0);
        svg.line((x, frame.area.1), (x, bottom), "guide");
    }
    svg.text(frame.area.0 + frame.area.2 / 2.0, bottom + 37.0, "mid", "accuracy (dotted: all films)");
    for (row, (name, group)) in report.sources.iter().enumerate() {
        let y = frame.area.1 + 34.0 * (row as f64 + 0.5) + 3.0;
        svg.text(96.0, y + 4.0, "end", shorten(name));
        if let (Some(low), Some(high)) = (group.accuracy.low, group.accuracy.high) {
            svg.line((frame.at(low, 0.0).0, y), (frame.at(high, 0.0).0, y), "whisker");
        }
        if let Some(value) = group.accuracy.value {
            let tip = with_interval(name, group.accuracy);
            svg.dot((frame.at(value, 0.0).0, y), 5.0, "f0", &tip);
        }
        let few = if group.few { "*" } else { "" };
        svg.text(420.0, y + 4.0, "soft small end", format!("n {}{few}", group.n));
    }
    svg.finish()
}

/// One epoch of training, as a line of `metrics.jsonl`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// From 1.
    pub epoch: usize,
    /// Mean training loss.
    pub train_loss: f64,
    /// Mean validation loss.
    pub validation_loss: Option<f64>,
    /// Macro AUROC on validation films.
    pub validation_macro_auroc: Option<f64>,
}

/// Loss and validation macro AUROC by epoch.
pub fn training_curves(epochs: &[EpochRecord]) -> String {
    let mut svg = Svg::new(640.0, 560.0, "Training curves: loss and validation macro AUROC by epoch");
    let last = epochs.iter().map(|e| e.epoch).max().unwrap_or(1).max(2) as f64;
    type Line = fn(&EpochRecord) -> Option<f64>;
    let lines: [(&str, Line); 3] = [
        ("training loss", |e| Some(e.train_loss)),
        ("validation loss", |e| e.validation_loss),
        ("validation macro AUROC", |e| e.validation_macro_auroc),
    ];
    let panels: [(&[usize], &str, f64); 2] = [(&[0, 1], "loss", 16.0), (&[2], "macro AUROC", 290.0)];
    for (shown, name, top) in panels {
        let of = |line: usize| epochs.iter().filter_map(move |e| lines[line].1(e).map(|v| (e.epoch as f64, v)));
        let values: Vec<f64> =
            shown.iter().flat_map(|line| of(*line)).map(|(_, v)| v).filter(|v| v.is_finite()).collect();
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let y = if low < high {
            let room = 0.06 * (high - low);
            (low - room, high + room)
        } else if low == high {
            (low - 0.1, high + 0.1)
        } else {
            (0.0, 1.0)
        };
        let frame = Frame { area: (66.0, top, 556.0, 210.0), x: (1.0, last), y };
        frame.axes(&mut svg, "epoch", name);
        for (index, line) in shown.iter().enumerate() {
            let finite = of(*line).filter(|(_, v)| v.is_finite());
            svg.path(finite.map(|(x, v)| frame.at(x, v)), &series(index));
        }
        let legend: Vec<String> = shown.iter().map(|line| lines[*line].0.to_owned()).collect();
        let at = if shown.len() > 1 { top + 6.0 } else { top + 176.0 };
        svg.legend(432.0, at, 184.0, &legend);
    }
    svg.finish()
}
