//! Where the weights fail, as counts: no film of a patient is shown.

use crate::report::{FEW_FILMS, Report};
use crate::tables::{self, Cell, Table};

/// Rows of each table.
const ROWS: usize = 8;
/// Fewer films of a label in a source are left out.
const LABEL_FILMS: u64 = 10;

/// The kinds of mistake that take the largest share of a label's films within a source.
pub fn confusions(report: &Report) -> Table {
    let mut mistakes = Vec::new();
    for (source, group) in &report.sources {
        for (label, counts) in report.classes.iter().zip(&group.confusion) {
            let films: u64 = counts.iter().sum();
            for (call, count) in report.classes.iter().zip(counts).filter(|(call, _)| *call != label) {
                if films >= LABEL_FILMS && *count > 0 {
                    mistakes.push((crate::refusals::share(*count, films), source, label, call, *count, films));
                }
            }
        }
    }
    mistakes.sort_by(|a, b| b.0.value.unwrap_or_default().total_cmp(&a.0.value.unwrap_or_default()));
    let mut table = Table::new(["source", "label", "called", "films", "share of the label's films"]);
    for (share, source, label, call, count, films) in mistakes.into_iter().take(ROWS) {
        table.rows.push(vec![
            Cell::text(source),
            Cell::text(label),
            Cell::text(call),
            Cell::text(format!("{count} of {films}")),
            Cell::Figure(share),
        ]);
    }
    table
}

/// The lowest AUROCs among sources and subgroups of at least [`FEW_FILMS`] films.
pub fn lowest(report: &Report) -> Table {
    let sources = report.sources.iter().map(|(name, group)| (format!("source {name}"), group));
    let subgroups = report.subgroups.iter().flat_map(|(kind, groups)| {
        groups.iter().map(move |(value, group)| (format!("{} {value}", kind.replace('_', " ")), group))
    });
    let mut figures = Vec::new();
    for (name, group) in sources.chain(subgroups).filter(|(_, group)| group.n >= FEW_FILMS) {
        for (pair, auroc) in &group.auroc {
            let cell = tables::pair_cell(&group.auroc, &group.labels, pair);
            figures.extend(auroc.value.map(|value| (value, name.clone(), pair, cell)));
        }
    }
    figures.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut table = Table::new(["films", "pair", "AUROC"]);
    for (_, name, pair, auroc) in figures.into_iter().take(ROWS) {
        table.rows.push(vec![Cell::text(name), Cell::text(pair), auroc]);
    }
    table
}
