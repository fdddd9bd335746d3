//! Small drawings of an audit: what a view leaves of a film, and a figure on a scale.

use std::fmt::Write;

use deepbreath::lungs::{Localiser, THUMBNAIL};
use deepbreath::mask::Mask;
use deepbreath::preprocess::SIDE;
use rand::seq::SliceRandom;

use super::views::View;
use crate::bootstrap::Estimate;
use crate::sampler::stream;

/// The scale of AUROCs: a coin is at 0.5.
const SCALE: (f64, f64) = (0.3, 1.0);
/// Cells a side of a drawing.
const CELLS: usize = THUMBNAIL;
/// Body, lungs, a letter in the corner, and black paper.
const COLOURS: [&str; 4] = ["#a9b3be", "#55616e", "#ffffff", "#000000"];

/// An AUROC with its interval, on a scale from 0.3 to 1 with a mark at 0.5.
pub(super) fn bar(estimate: Option<Estimate>) -> String {
    let Some(Estimate { value: Some(value), low, high }) = estimate else {
        return "<span class=\"none\" title=\"not measured, or too few films\">–</span>".into();
    };
    let place = |value: f64| 100.0 * ((value - SCALE.0) / (SCALE.1 - SCALE.0)).clamp(0.0, 1.0);
    let mut text = format!("<b>{value:.2}</b>");
    if let (Some(low), Some(high)) = (low, high) {
        let _ = write!(
            text,
            "<div class=\"track\"><s style=\"left:{:.1}%\"></s><i style=\"left:{:.1}%;width:{:.1}%\"></i><u \
             style=\"left:{:.1}%\"></u></div><small>{low:.2} to {high:.2}</small>",
            place(0.5),
            place(low),
            place(high) - place(low),
            place(value)
        );
    }
    text
}

/// What `view` leaves of a film, as a drawing: a grey body, darker lungs, a white letter. No film is shown.
pub(super) fn icon(view: View) -> String {
    let lungs = &Localiser::fitted().lungs;
    let mut cells: Vec<usize> = (0..CELLS * CELLS).map(|cell| usize::from(lungs[cell] >= 0.5)).collect();
    for cell in (2..5).flat_map(|row| (23..26).map(move |column| row * CELLS + column)) {
        cells[cell] = 2;
    }
    let cover = |cells: &mut Vec<usize>, mask: &Mask| {
        let step = SIDE / CELLS;
        for (cell, colour) in cells.iter_mut().enumerate() {
            let (row, column) = (cell / CELLS * step + step / 2, cell % CELLS * step + step / 2);
            if mask.cells()[row * SIDE + column] {
                *colour = 3;
            }
        }
    };
    match view {
        View::LungsHidden => cover(&mut cells, &Mask::usual_lungs(0.5)),
        View::LungsOnly => cover(&mut cells, &Mask::usual_lungs(0.5).complement()),
        View::Shuffled => cells.shuffle(&mut stream(0, [8, 0, 0])),
        // These cover the same on every film.
        View::ChestHidden | View::BorderOnly | View::MarksErased => cover(&mut cells, &view.fixed()),
        View::Whole | View::Blurred => {}
    }
    let mut paths = String::new();
    for (colour, name) in COLOURS.iter().enumerate() {
        let mut path = String::new();
        for (row, line) in cells.chunks_exact(CELLS).enumerate() {
            let mut column = 0;
            for run in line.chunk_by(|a, b| a == b) {
                if run[0] == colour {
                    let _ = write!(path, "M{column} {row}h{}v1h-{}z", run.len(), run.len());
                }
                column += run.len();
            }
        }
        if !path.is_empty() {
            let _ = write!(paths, "<path fill=\"{name}\" d=\"{path}\"/>");
        }
    }
    let blur = if view == View::Blurred { " style=\"filter:blur(5px)\"" } else { "" };
    format!(
        "<svg class=\"icon\" viewBox=\"0 0 {CELLS} {CELLS}\" shape-rendering=\"crispEdges\" \
         aria-hidden=\"true\"{blur}>{paths}</svg>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_lie_where_the_figure_says() {
        let half = Estimate { value: Some(0.65), low: Some(0.3), high: Some(1.0) };
        let text = bar(Some(half));
        assert!(text.contains("<b>0.65</b>") && text.contains("<u style=\"left:50.0%\">"), "{text}");
        assert!(text.contains("left:0.0%;width:100.0%"), "{text}");
        assert!(bar(None).contains("too few"));
    }

    #[test]
    fn icons_differ_and_hold_no_film() {
        let icons: Vec<String> = View::ALL.into_iter().map(icon).collect();
        for (index, one) in icons.iter().enumerate() {
            assert!(icons[index + 1..].iter().all(|other| other != one), "{:?}", View::ALL[index]);
            assert!(one.len() < 20_000 && !one.contains("<image"));
        }
    }
}
