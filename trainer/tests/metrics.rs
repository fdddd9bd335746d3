//! Closed forms and brute force for every measure.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use trainer::calibrate::{ece, reliability};
use trainer::metrics::*;

fn prediction(label: usize, probabilities: &[f32]) -> Prediction {
    Prediction {
        file: "a.png".into(),
        label,
        source: "here".into(),
        patient_id: String::new(),
        view: None,
        age_group: None,
        logits: probabilities.iter().map(|p| p.ln()).collect(),
        probabilities: probabilities.to_vec(),
        set: Vec::new(),
        distance: None,
        refused: false,
    }
}

fn close(a: Option<f64>, b: f64) {
    assert!(a.is_some_and(|a| (a - b).abs() < 1e-6), "{a:?} is not {b}");
}

#[test]
fn auroc_in_closed_form() {
    struct Case(&'static str, &'static [f64], &'static [bool], Option<f64>);
    let cases = [
        Case("perfect", &[0.9, 0.8, 0.2, 0.1], &[true, true, false, false], Some(1.0)),
        Case("inverted", &[0.1, 0.2, 0.8, 0.9], &[true, true, false, false], Some(0.0)),
        Case("all tied", &[0.5, 0.5, 0.5], &[true, false, false], Some(0.5)),
        Case("one pair of six lost", &[0.9, 0.3, 0.8, 0.2, 0.1], &[true, true, false, false, false], Some(5.0 / 6.0)),
        Case("one tie of six", &[0.9, 0.8, 0.8, 0.2, 0.1], &[true, true, false, false, false], Some(5.5 / 6.0)),
        Case("positives only", &[0.9, 0.1], &[true, true], None),
        Case("negatives only", &[0.9, 0.1], &[false, false], None),
        Case("nothing", &[], &[], None),
    ];
    for Case(name, scores, positive, expected) in cases {
        assert_eq!(auroc(scores, positive), expected, "{name}");
    }
}

#[test]
fn auroc_and_weights_against_brute_force() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for round in 0..50 {
        let n = rng.random_range(2..60);
        // Few distinct scores, so that ties are common.
        let films: Vec<(f64, bool, u32)> = (0..n)
            .map(|_| (f64::from(rng.random_range(0..9)) / 8.0, rng.random_bool(0.4), rng.random_range(0..4)))
            .collect();
        let (mut won, mut pairs) = (0.0, 0.0);
        for (a, _, wa) in films.iter().filter(|film| film.1) {
            for (b, _, wb) in films.iter().filter(|film| !film.1) {
                let weight = f64::from(wa * wb);
                pairs += weight;
                won += weight
                    * if a > b {
                        1.0
                    } else if a == b {
                        0.5
                    } else {
                        0.0
                    };
            }
        }
        let ranking = Ranking::new(films.iter().enumerate().map(|(i, (s, p, _))| (i, *s, *p)));
        let measured = ranking.auroc(|film| films[film].2);
        if pairs == 0.0 {
            assert_eq!(measured, None, "round {round}");
        } else {
            close(measured, won / pairs);
        }
        // A weight is the same as repeating the film.
        let repeated = films.iter().flat_map(|film| std::iter::repeat_n(film, film.2 as usize));
        let repeated = Ranking::new(repeated.enumerate().map(|(i, (s, p, _))| (i, *s, *p)));
        assert_eq!(repeated.auroc(|_| 1), measured);
        assert_eq!(repeated.average_precision(|_| 1).is_some(), measured.is_some());
        if let Some(expected) = repeated.average_precision(|_| 1) {
            close(ranking.average_precision(|film| films[film].2), expected);
        }
    }
}

#[test]
fn the_trapezoids_under_the_roc_curve_are_the_auroc() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let scores: Vec<f64> = (0..200).map(|_| f64::from(rng.random_range(0..40))).collect();
    let positive: Vec<bool> = scores.iter().map(|s| rng.random_bool(0.1 + s / 50.0)).collect();
    let curve = Ranking::new((0..200).map(|i| (i, scores[i], positive[i]))).curve();
    let area: f64 = curve
        .windows(2)
        .map(|w| (w[0].specificity - w[1].specificity) * (w[0].sensitivity + w[1].sensitivity) / 2.0)
        .sum();
    close(auroc(&scores, &positive), area);
    assert_eq!(curve.len(), 41);
    assert_eq!((curve[40].sensitivity, curve[40].specificity), (1.0, 0.0));
    assert!(Ranking::new([(0, 0.5, true)].into_iter()).curve().is_empty());
}

#[test]
fn average_precision_in_closed_form() {
    let of = |positive: &[bool]| {
        let n = positive.len();
        Ranking::new((0..n).map(|i| (i, (n - i) as f64, positive[i]))).average_precision(|_| 1)
    };
    close(of(&[true, true, false]), 1.0);
    close(of(&[false, false, true]), 1.0 / 3.0);
    close(of(&[true, false, true, false]), (1.0 + 2.0 / 3.0) / 2.0);
    assert_eq!(of(&[true, true]), None);
    // All tied: the prevalence.
    close(Ranking::new((0..8).map(|i| (i, 0.3, i < 2))).average_precision(|_| 1), 0.25);
}

#[test]
fn the_classification_report_by_hand() {
    // Rows: label. Calls: 0 -> 3 right, 1 as class 1; 1 -> 2 right, 2 as class 0; label 2 never occurs, called once.
    let mut confusion = Confusion::new(3);
    for (label, call, n) in [(0, 0, 3), (0, 1, 1), (1, 1, 2), (1, 0, 2), (1, 2, 1)] {
        confusion.add(label, call, n);
    }
    assert_eq!(confusion.rows(), [vec![3, 1, 0], vec![2, 2, 1], vec![0, 0, 0]]);
    close(confusion.accuracy(), 5.0 / 9.0);
    close(confusion.sensitivity(0), 0.75);
    close(confusion.sensitivity(1), 0.4);
    assert_eq!(confusion.sensitivity(2), None);
    close(confusion.specificity(0), 3.0 / 5.0);
    close(confusion.specificity(1), 3.0 / 4.0);
    close(confusion.specificity(2), 8.0 / 9.0);
    close(confusion.precision(0), 0.6);
    close(confusion.precision(2), 0.0);
    close(confusion.f1(0), 2.0 * 0.6 * 0.75 / (0.6 + 0.75));
    assert_eq!(confusion.f1(2), None);
    close(confusion.balanced_accuracy(), (0.75 + 0.4) / 2.0);
}

#[test]
fn perfect_inverted_tied_and_one_class_only() {
    let perfect = [prediction(0, &[1.0, 0.0]), prediction(1, &[0.0, 1.0])];
    let inverted = [prediction(1, &[1.0, 0.0]), prediction(0, &[0.0, 1.0])];
    let tied = [prediction(0, &[0.5, 0.5]), prediction(1, &[0.5, 0.5])];
    let one = [prediction(0, &[0.9, 0.1]), prediction(0, &[0.2, 0.8])];
    let all = |p: &[Prediction]| (accuracy(p, 2), balanced_accuracy(p, 2), macro_auroc(p, 2), pair_auroc(p, 0, 1));
    assert_eq!(all(&perfect), (Some(1.0), Some(1.0), Some(1.0), Some(1.0)));
    assert_eq!(all(&inverted), (Some(0.0), Some(0.0), Some(0.0), Some(0.0)));
    assert_eq!(all(&tied), (Some(0.5), Some(0.5), Some(0.5), Some(0.5)));
    assert_eq!(all(&one), (Some(0.5), None, None, None));
    assert_eq!(all(&[]), (None, None, None, None));
    assert_eq!((perfect[0].brier(), inverted[0].brier(), tied[0].brier()), (0.0, 2.0, 0.5));
    assert_eq!(perfect[0].nll(), 0.0);
    close(Some(tied[0].nll()), std::f64::consts::LN_2);
    close(Some(inverted[0].nll()), 12.0 * std::f64::consts::LN_10);
}

#[test]
fn pairs_ignore_the_third_class() {
    // By the raw probability of class 0 the order is wrong; against class 1 alone it is right.
    let films = [prediction(0, &[0.2, 0.0, 0.8]), prediction(1, &[0.3, 0.7, 0.0]), prediction(2, &[0.0, 0.0, 1.0])];
    assert_eq!(pair_auroc(&films, 0, 1), Some(1.0));
    assert_eq!(class_auroc(&films, 0), Some(0.5));
    assert_eq!(films[2].pair_score(0, 1), 0.5);
}

#[test]
fn ece_of_known_miscalibration() {
    let at = |confidence, right: u32, n: u32| (0..n).map(move |i| (confidence, i < right, 1));
    assert_eq!(ece(&reliability(at(1.0, 10, 10))), Some(0.0));
    close(ece(&reliability(at(1.0, 0, 10))), 1.0);
    close(ece(&reliability(at(0.8, 6, 10))), 0.2);
    // Two bins, 3/4 of the films 0.2 too sure, 1/4 of them 0.1 too modest.
    close(ece(&reliability(at(0.8, 18, 30).chain(at(0.5, 6, 10)))), 0.75 * 0.2 + 0.25 * 0.1);
    assert_eq!(ece(&reliability(std::iter::empty())), None);
    // A bin holds its upper edge: 0.2 = 3/15 is in the third.
    assert_eq!(reliability(at(0.2, 0, 1)).iter().position(|bin| bin.n == 1), Some(2));
}

#[test]
fn ece_of_a_calibrated_model_is_small() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let films: Vec<(f64, bool, u32)> = (0..100_000)
        .map(|_| {
            let confidence = rng.random_range(1.0 / 3.0..1.0);
            (confidence, rng.random_bool(confidence), 1)
        })
        .collect();
    let measured = ece(&reliability(films.into_iter())).unwrap();
    assert!(measured < 0.01, "{measured}");
}

#[test]
fn a_broken_prediction_is_named() {
    let cases = [
        (prediction(2, &[0.5, 0.5]), "label 2"),
        (prediction(0, &[1.0]), "1 probabilities for 2 classes"),
        (prediction(0, &[0.5, 0.4]), "sum 1"),
        (prediction(0, &[f32::NAN, 0.4]), "sum 1"),
        (prediction(0, &[1.5, -0.5]), "sum 1"),
    ];
    for (broken, expected) in cases {
        let message = check(&[prediction(0, &[0.3, 0.7]), broken], 2).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains("a.png"), "{message}");
    }
}
