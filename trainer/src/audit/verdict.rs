//! What the figures of an audit amount to: alarms, nothing found, or nothing that can be told.

use std::collections::BTreeMap;

use super::measure::FEW_OF_A_LABEL;
use super::place::SEEN;
use super::report::{Alarm, AlarmCode, AuditReport, GAP_LIMIT, Gap, HIDDEN_LIMIT};
use super::views::View;
use crate::bootstrap::Estimate;

impl AuditReport {
    /// The pair of labels that the weights tell apart best in this view, with its AUROC: at the sources that training
    /// saw, if there are others, since that is where shortcuts were learned. Only pairs with enough films have one.
    pub(super) fn best(&self, view: View) -> Option<(f64, &str)> {
        let figures = self.pairs(view)?.iter().filter_map(|(pair, figure)| Some((figure.value?, pair.as_str())));
        figures.max_by(|a, b| a.0.total_cmp(&b.0))
    }

    fn pairs(&self, view: View) -> Option<&BTreeMap<String, Estimate>> {
        let network = &self.view(view)?.network;
        Some(network.within.get(SEEN).unwrap_or(&network.auroc))
    }

    /// What the alarms amount to; none without alarms. A fall alone can have other reasons than a shortcut.
    pub(super) fn verdict(&self) -> Option<&'static str> {
        self.alarms.first()?;
        let hidden = self.alarms.iter().any(|alarm| alarm.code == AlarmCode::LungsHidden);
        Some(if hidden { "uses shortcuts" } else { "may use shortcuts" })
    }

    /// Sets [`Self::alarms`] to what the figures say against the weights: at most one for each way to hide the lungs, and
    /// one for each kind of fall, that of the weights themselves and that of networks made without a source.
    pub fn find_alarms(&mut self) {
        let hidden = [View::LungsHidden, View::ChestHidden].into_iter().filter_map(|view| self.hidden_alarm(view));
        let falls = [true, false].into_iter().filter_map(|own| self.unseen_alarm(own));
        let alarms = hidden.chain(falls).collect();
        self.alarms = alarms;
    }

    /// The greatest fall of the weights' `own` figures, or of those of networks made without a source. A gap without one
    /// of its figures, or with fewer than [`FEW_OF_A_LABEL`] films of the rarer label, counts as not measured.
    pub(super) fn greatest_fall(&self, own: bool) -> Option<(f64, &Gap)> {
        let enough = |gap: &&Gap| self.rarer(gap).is_none_or(|films| films >= FEW_OF_A_LABEL);
        let gaps = self.gaps.iter().filter(|gap| gap.is_of_the_weights() == own).filter(enough);
        gaps.filter_map(|gap| Some((gap.fall()?, gap))).max_by(|a, b| a.0.total_cmp(&b.0))
    }

    /// Why the lack of alarms says nothing, a sentence each; empty where it says that no shortcut was found.
    pub(super) fn cannot_tell(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        let whole = self.view(View::Whole).map(|seen| seen.network.macro_auroc);
        if !whole.is_some_and(|whole| whole.low.is_some_and(|low| low > 0.5)) {
            reasons.push(
                "On the whole films the classifier is not shown to rank better than a coin: there is nothing yet that a \
                 shortcut could explain."
                    .to_owned(),
            );
        }
        let hidden = self.pairs(View::LungsHidden).into_iter().flat_map(BTreeMap::values);
        match hidden.filter_map(|figure| figure.high).reduce(f64::max) {
            None => reasons.push("There are too few films to ask what is left with the lungs hidden.".to_owned()),
            Some(high) if high > HIDDEN_LIMIT => reasons.push(format!(
                "With the lungs hidden the AUROC of a pair of labels may be as high as {high:.2}, beyond the limit of \
                 {HIDDEN_LIMIT:.2}: more films are needed to rule that out."
            )),
            Some(_) => {}
        }
        reasons
    }

    fn hidden_alarm(&self, view: View) -> Option<Alarm> {
        let (value, pair) = self.best(view).filter(|(value, _)| *value > HIDDEN_LIMIT)?;
        let (how, rest) = match view {
            View::LungsHidden => {
                ("the lungs blacked out", ", though strips of them and the outline of the black remain")
            }
            _ => ("the whole chest blacked out", ""),
        };
        let text = format!(
            "With {how} the classifier still ranks the films of {pair} with an AUROC of {value:.2} (a coin: 0.50, our \
             limit: {HIDDEN_LIMIT:.2}). What it goes by then is hardly in the lungs{rest}."
        );
        Some(Alarm { code: AlarmCode::LungsHidden, text })
    }

    fn unseen_alarm(&self, own: bool) -> Option<Alarm> {
        let (fall, gap) = self.greatest_fall(own).filter(|(fall, _)| *fall > GAP_LIMIT)?;
        let text = format!(
            "At collections that training saw the AUROC for {} is {:.2}, at one that it did not {:.2}: a fall of {fall:.2} \
             ({}). {}",
            gap.pair,
            gap.seen.value?,
            gap.unseen.value?,
            self.where_of(gap),
            self.caveat(gap)
        );
        Some(Alarm { code: AlarmCode::UnseenSource, text })
    }
}
