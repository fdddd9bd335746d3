//! From logits to an answer: calibrated probabilities, then a call at the measured operating points, or none.
//!
//! The rule: a finding is *reached* when its probability is at least its balanced threshold. Exactly one reached
//! finding is the call; with none or several there is no call, and the reason says so. An image that the
//! out-of-distribution gate refuses gets no call either.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::weights::{Conformal, Flaw, GateModel, Metadata, OperatingPoint};

/// The answer for one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// One probability for each class, in the order of the classes; their sum is 1.
    pub probabilities: Vec<f32>,
    /// The findings that stay possible, in the order of the classes, see [`prediction_set`]; `None` if the weights have
    /// no thresholds for it or the image was refused.
    pub prediction_set: Option<Vec<String>>,
    /// The finding that is called, if any.
    pub call: Option<String>,
    /// Whether the image was refused as out of distribution; then there is no call.
    pub refused: bool,
    /// Why there is no call; empty when there is one.
    pub reasons: Vec<Reason>,
}

/// What the network makes of one input.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// In the order of the classes.
    pub logits: Vec<f32>,
    /// The verdict of the gate, if the weights have one.
    pub gate: Option<Gate>,
    /// Whether the image is of next to one grey only.
    pub blank: bool,
}

impl Judgement {
    /// Whether the image gets no answer.
    pub fn refused(&self) -> bool {
        self.blank || self.gate.as_ref().is_some_and(Gate::refuses)
    }

    /// Why the image gets no answer; empty if it gets one.
    fn refusal(&self) -> Vec<Reason> {
        if self.blank {
            return vec![Reason::Blank];
        }
        let Some(gate) = self.gate.filter(Gate::refuses) else { return Vec::new() };
        [Reason::OutOfDistribution(gate)].into_iter().chain(gate.flaw.map(Reason::Flawed)).collect()
    }
}

/// How unlike the training films an image is, against the limit for an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gate {
    /// Distance of the image; larger is stranger.
    pub distance: f32,
    /// The image is refused beyond this distance.
    pub limit: f32,
    /// The flaw that explains the distance best; `None` if another kind of image does.
    pub flaw: Option<Flaw>,
}

impl Gate {
    /// The verdict of `model` from its scores: that of other images, then one for each flaw.
    ///
    /// # Panics
    /// If there are no scores.
    pub fn new(model: &GateModel, scores: &[f32]) -> Self {
        let best = (1..scores.len()).fold(0, |best, at| if scores[at] > scores[best] { at } else { best });
        let sum: f32 = scores.iter().map(|score| (score - scores[best]).exp()).sum();
        let flaw = best.checked_sub(1).map(|index| model.flaws[index].flaw);
        Self { distance: scores[best] + sum.ln(), limit: model.limit, flaw }
    }

    /// Whether the image gets no answer.
    pub fn refuses(&self) -> bool {
        self.distance > self.limit
    }
}

/// Why there is no call. Serialises as `{"code": .., "text": ..}`: the code for programs, the text for people.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// The gate refused the image.
    OutOfDistribution(Gate),
    /// What is wrong with the film that the gate refused; stands beside [`Self::OutOfDistribution`].
    Flawed(Flaw),
    /// The image is of next to one grey only.
    Blank,
    /// No finding reaches its threshold.
    NoFindingReached,
    /// Several findings reach their thresholds.
    SeveralFindingsReached(Vec<String>),
    /// The weights hold no balanced threshold for these findings, so nothing can be called.
    NoOperatingPoint(Vec<String>),
}

impl Reason {
    /// Stable identifier, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::OutOfDistribution(_) => "out-of-distribution",
            Self::Flawed(Flaw::Turned90 | Flaw::Turned180 | Flaw::Turned270) => "turned",
            Self::Flawed(Flaw::Cropped) => "cropped",
            Self::Flawed(Flaw::Inverted) => "inverted",
            Self::Blank => "blank",
            Self::NoFindingReached => "no-finding-reached",
            Self::SeveralFindingsReached(_) => "several-findings-reached",
            Self::NoOperatingPoint(_) => "no-operating-point",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfDistribution(gate) => write!(
                f,
                "The image does not look like the frontal chest X-rays the model knows (distance {:.2}, limit {:.2}).",
                gate.distance, gate.limit
            ),
            Self::Flawed(flaw) => f.write_str(match flaw {
                // The file, because a viewer turns and inverts only what it shows.
                Flaw::Turned90 | Flaw::Turned270 => {
                    "It may be a chest X-ray lying on its side: save the file itself upright and open it again. \
                     A viewer's tools change only what is shown."
                }
                Flaw::Turned180 => {
                    "It may be a chest X-ray upside down: save the file itself upright and open it again. \
                     A viewer's tools change only what is shown."
                }
                Flaw::Cropped => "It may be a chest X-ray cropped to one lung: the whole chest is needed.",
                Flaw::Inverted => {
                    "It may be a chest X-ray as its negative (air bright, bone dark): save the file itself with air \
                     dark and bone bright, and open it again. A viewer's tools change only what is shown."
                }
            }),
            Self::Blank => f.write_str("The image is blank: there is next to one grey only."),
            Self::NoFindingReached => f.write_str("No finding is likely enough to be called."),
            Self::SeveralFindingsReached(findings) => {
                write!(f, "More than one finding is possible: {}.", findings.join(", "))
            }
            Self::NoOperatingPoint(findings) => {
                write!(f, "These weights come without a measured threshold for {}.", findings.join(", "))
            }
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Plain<'a> {
            code: &'a str,
            text: String,
        }
        Plain { code: self.code(), text: self.to_string() }.serialize(serializer)
    }
}

/// Softmax of `logits / temperature` (Guo et al. 2017, "On Calibration of Modern Neural Networks").
///
/// `temperature` above 0; above 1 it evens the probabilities out. Any finite logits are safe.
pub fn probabilities(logits: &[f32], temperature: f32) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| ((logit - largest) / temperature).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

/// The classes that stay possible, as indices in their order: those whose probability reaches their threshold, and the
/// most probable one (of equals, the first) where none does.
///
/// Split-conformal prediction, class by class (Vovk 2012, "Conditional validity of inductive conformal predictors";
/// Sadinle et al. 2019, "Least ambiguous set-valued classifiers with bounded error levels"; Angelopoulos and Bates 2021,
/// "A gentle introduction to conformal prediction", 4.1): of the films of each class, at least [`Conformal::coverage`]
/// have a set with that class, on average over calibrations, **if** they could be exchanged with the calibration films.
/// Those of another hospital cannot, and nothing is promised for them. Filling empty sets can only raise the coverage.
pub fn prediction_set(probabilities: &[f32], conformal: &Conformal) -> Vec<usize> {
    let reached = |class: &usize| probabilities[*class] >= conformal.thresholds[*class];
    let set: Vec<usize> = (0..probabilities.len()).filter(reached).collect();
    if !set.is_empty() {
        return set;
    }
    let likelier = |best: usize, class: usize| if probabilities[class] > probabilities[best] { class } else { best };
    (0..probabilities.len()).reduce(likelier).into_iter().collect()
}

/// The answer for what the network made of an image; without a gate only blank images are refused.
pub fn decide(judgement: &Judgement, metadata: &Metadata) -> Decision {
    let probabilities = probabilities(&judgement.logits, metadata.temperature);
    let reasons = judgement.refusal();
    if !reasons.is_empty() {
        return Decision { probabilities, prediction_set: None, call: None, refused: true, reasons };
    }
    let (call, reasons) = match call(&probabilities, &metadata.classes, &metadata.operating_points) {
        Ok(finding) => (Some(finding), Vec::new()),
        Err(reason) => (None, vec![reason]),
    };
    let set = metadata.conformal.as_ref().map(|conformal| prediction_set(&probabilities, conformal));
    let prediction_set = set.map(|set| set.into_iter().map(|class| metadata.classes[class].clone()).collect());
    Decision { probabilities, prediction_set, call, refused: false, reasons }
}

fn call(probabilities: &[f32], classes: &[String], points: &[OperatingPoint]) -> Result<String, Reason> {
    let mut reached = Vec::new();
    let mut unknown = Vec::new();
    for (finding, probability) in classes.iter().zip(probabilities) {
        match points.iter().find(|point| point.finding == *finding && point.name == OperatingPoint::BALANCED) {
            Some(point) if *probability >= point.threshold => reached.push(finding.clone()),
            Some(_) => {}
            None => unknown.push(finding.clone()),
        }
    }
    if !unknown.is_empty() {
        return Err(Reason::NoOperatingPoint(unknown));
    }
    match reached.len() {
        0 => Err(Reason::NoFindingReached),
        1 => Ok(reached.remove(0)),
        _ => Err(Reason::SeveralFindingsReached(reached)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::FlawModel;

    fn point(finding: &str, threshold: f32) -> OperatingPoint {
        OperatingPoint {
            name: OperatingPoint::BALANCED.into(),
            finding: finding.into(),
            threshold,
            sensitivity: 0.8,
            specificity: 0.8,
            n: 10,
            data: "made up".into(),
        }
    }

    fn classes() -> Vec<String> {
        ["covid", "normal", "pneumonia"].map(String::from).to_vec()
    }

    #[test]
    fn softmax_closed_forms() {
        let ln = |values: [f32; 3]| values.map(f32::ln);
        for (logits, temperature, expected) in [
            ([0.0, 0.0, 0.0], 1.0, [1.0 / 3.0; 3]),
            (ln([1.0, 2.0, 5.0]), 1.0, [0.125, 0.25, 0.625]),
            // Twice the temperature takes the square root of each ratio.
            (ln([1.0, 4.0, 25.0]), 2.0, [0.125, 0.25, 0.625]),
            ([500.0, 500.0 + 3.0f32.ln(), -1e4], 1.0, [0.25, 0.75, 0.0]),
            ([-3e38, 0.0, 3e38], 1.0, [0.0, 0.0, 1.0]),
        ] {
            let result = probabilities(&logits, temperature);
            for (value, expected) in result.iter().zip(expected) {
                assert!((value - expected).abs() < 2e-5, "{logits:?} at {temperature}: {result:?}");
            }
        }
    }

    #[test]
    fn calls_and_abstentions() {
        let points = [point("covid", 0.4), point("normal", 0.3), point("pneumonia", 0.5)];
        let both = Reason::SeveralFindingsReached(vec!["covid".into(), "normal".into()]);
        for (probabilities, expected) in [
            ([0.8, 0.1, 0.1], Ok("covid".to_owned())),
            ([0.4, 0.29, 0.31], Ok("covid".to_owned())),
            ([0.39, 0.2, 0.41], Err(Reason::NoFindingReached)),
            ([0.5, 0.4, 0.1], Err(both.clone())),
            ([0.1, 0.1, 0.8], Ok("pneumonia".to_owned())),
        ] {
            assert_eq!(call(&probabilities, &classes(), &points), expected, "{probabilities:?}");
        }
        let missing = Reason::NoOperatingPoint(vec!["normal".into(), "pneumonia".into()]);
        assert_eq!(call(&[0.8, 0.1, 0.1], &classes(), &points[..1]), Err(missing));
        let other = OperatingPoint { name: "sensitive".into(), ..point("covid", 0.1) };
        let points = [other, points[0].clone(), points[1].clone(), points[2].clone()];
        assert_eq!(
            call(&[0.2, 0.1, 0.7], &classes(), &points),
            Ok("pneumonia".to_owned()),
            "only balanced points call"
        );
    }

    #[test]
    fn sets_hold_what_reaches_its_threshold_and_are_never_empty() {
        let conformal = Conformal { coverage: 0.9, thresholds: vec![0.2, 0.5, 0.3], n: 30, data: "made up".into() };
        for (probabilities, expected) in [
            ([0.2, 0.5, 0.3], vec![0, 1, 2]),
            ([0.25, 0.45, 0.3], vec![0, 2]),
            ([0.1, 0.8, 0.1], vec![1]),
            ([0.19, 0.49, 0.29], vec![1]),
            ([0.1, 0.1, 0.1], vec![0]),
        ] {
            assert_eq!(prediction_set(&probabilities, &conformal), expected, "{probabilities:?}");
        }
        let metadata = Metadata { conformal: Some(conformal), ..crate::weights::tests::metadata() };
        let judged = |gate| Judgement { logits: vec![0.0, 1.0, 1.0], gate, blank: false };
        let set = |gate| decide(&judged(gate), &metadata).prediction_set;
        assert_eq!(set(None), Some(vec!["pneumonia".to_owned()]));
        assert_eq!(set(Some(Gate { distance: 2.0, limit: 1.0, flaw: None })), None);
        assert_eq!(decide(&judged(None), &crate::weights::tests::metadata()).prediction_set, None);
    }

    #[test]
    fn the_gate_refuses_beyond_its_limit_only() {
        let metadata = crate::weights::tests::metadata();
        let judged = |gate, blank| Judgement { logits: vec![4.0, 0.0, 0.0], gate, blank };
        for (distance, refused) in [(0.9, false), (1.0, false), (1.1, true)] {
            let decision = decide(&judged(Some(Gate { distance, limit: 1.0, flaw: None }), false), &metadata);
            assert_eq!((decision.refused, decision.call.is_none()), (refused, refused), "{distance}");
            assert_eq!(decision.reasons.is_empty(), !refused);
        }
        let open = decide(&judged(None, false), &metadata);
        assert_eq!((open.call.as_deref(), open.refused), (Some("covid"), false));
        let codes = |judgement| -> Vec<_> { decide(&judgement, &metadata).reasons.iter().map(Reason::code).collect() };
        assert_eq!(codes(judged(None, true)), ["blank"]);
        for (flaw, code) in [
            (Flaw::Turned90, "turned"),
            (Flaw::Turned180, "turned"),
            (Flaw::Turned270, "turned"),
            (Flaw::Cropped, "cropped"),
            (Flaw::Inverted, "inverted"),
        ] {
            let gate = |distance| Some(Gate { distance, limit: 1.0, flaw: Some(flaw) });
            assert_eq!(codes(judged(gate(2.0), false)), ["out-of-distribution", code]);
            assert_eq!(codes(judged(gate(0.5), false)), [""; 0], "a flaw within the limit refuses nothing");
        }
    }

    #[test]
    fn a_film_the_wrong_way_round_is_to_be_saved_anew() {
        for flaw in [Flaw::Turned90, Flaw::Turned180, Flaw::Turned270, Flaw::Inverted] {
            let text = Reason::Flawed(flaw).to_string();
            assert!(text.contains("save the file itself") && text.contains("only what is shown"), "{text}");
        }
    }

    #[test]
    fn the_distance_is_the_log_odds_of_all_kinds_together() {
        let row = |flaw| FlawModel { flaw, weight: Vec::new(), bias: 0.0 };
        let mut model = GateModel { weight: Vec::new(), bias: 0.0, limit: 1.0, data: String::new(), flaws: Vec::new() };
        assert_eq!(Gate::new(&model, &[0.75]), Gate { distance: 0.75, limit: 1.0, flaw: None });
        model.flaws = vec![row(Flaw::Cropped), row(Flaw::Turned180)];
        // ln(1 + 2 + 5) = ln 8, mostly upside down; the largest first is another image.
        let gate = Gate::new(&model, &[0.0, 2f32.ln(), 5f32.ln()]);
        assert!((gate.distance - 8f32.ln()).abs() < 1e-6 && gate.flaw == Some(Flaw::Turned180), "{gate:?}");
        assert_eq!(Gate::new(&model, &[3.0, 1.0, 2.0]).flaw, None);
        assert!(Gate::new(&model, &[300.0, -300.0, 0.0]).distance.is_finite());
    }

    #[test]
    fn reasons_serialise_with_code_and_text() {
        let reason = Reason::SeveralFindingsReached(vec!["a".into(), "b".into()]);
        assert_eq!(
            serde_json::to_string(&reason).unwrap(),
            r#"{"code":"several-findings-reached","text":"More than one finding is possible: a, b."}"#
        );
    }
}
