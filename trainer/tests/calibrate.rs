//! Temperature, operating points and intervals against closed forms.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use trainer::bootstrap::{Bootstrap, patients, summary};
use trainer::calibrate::{self, Calibration, operating_points};
use trainer::metrics::Prediction;

fn film(patient: &str, label: usize, logits: &[f32]) -> Prediction {
    let sum: f32 = logits.iter().map(|z| z.exp()).sum();
    Prediction {
        file: format!("{patient}.png"),
        label,
        source: "here".into(),
        patient_id: patient.into(),
        view: None,
        age_group: None,
        logits: logits.to_vec(),
        probabilities: logits.iter().map(|z| z.exp() / sum).collect(),
        set: Vec::new(),
        distance: None,
        refused: false,
    }
}

/// With every film as much as any other.
fn fit(films: &[Prediction]) -> anyhow::Result<Calibration> {
    calibrate::fit(films, &vec![1.0; films.len()])
}

#[test]
fn temperature_in_closed_form() {
    // Logits (a, 0) and (0, a), a share q of each right: the best probability is q, so T = a / ln(q / (1 - q)).
    for (a, right, n) in [(4.0, 3, 4), (1.0, 9, 10), (2.0, 6, 10)] {
        let mut films: Vec<_> = (0..n).map(|i| film("", usize::from(i >= right), &[a, 0.0])).collect();
        films.extend((0..n).map(|i| film("", usize::from(i < right), &[0.0, a])));
        let q = right as f64 / n as f64;
        let fit = fit(&films).unwrap();
        let expected = f64::from(a) / (q / (1.0 - q)).ln();
        assert!((fit.temperature / expected - 1.0).abs() < 1e-6, "{fit:?}, expected {expected}");
        let entropy = -q * q.ln() - (1.0 - q) * (1.0 - q).ln();
        assert!((fit.nll_after - entropy).abs() < 1e-9 && fit.nll_after <= fit.nll_before);
        assert!(fit.offsets.iter().all(|offset| offset.abs() < 1e-6), "{fit:?}");
    }
}

#[test]
fn offsets_in_closed_form() {
    // Logits that say nothing: the best probabilities are the weighted shares of the labels, here 3 : 1.
    let films = [0, 0, 0, 1].map(|label| film("", label, &[0.0, 0.0, 0.0]));
    let log_odds = |fit: &Calibration| (fit.offsets[0] - fit.offsets[1]) / fit.temperature;
    let plain = fit(&films).unwrap();
    assert!((log_odds(&plain) - 3f64.ln()).abs() < 5e-3, "{plain:?}");
    assert_eq!(plain.offsets[2], 0.0, "no film speaks for or against it");
    assert!((plain.offsets[0] + plain.offsets[1]).abs() < 1e-9);
    let balanced = calibrate::fit(&films, &[1.0, 1.0, 1.0, 3.0]).unwrap();
    assert!(log_odds(&balanced).abs() < 1e-6, "{balanced:?}");
    let message = calibrate::fit(&films, &[1.0]).unwrap_err().to_string();
    assert!(message.contains("1 weights for 4 films"), "{message}");
}

/// Films whose labels follow `softmax(logits / temperature)`.
fn simulated(temperature: f64) -> Vec<Prediction> {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let mut one = || {
        let logits: Vec<f32> = (0..3).map(|_| rng.random_range(-4.0..4.0)).collect();
        let weights: Vec<f64> = logits.iter().map(|z| (f64::from(*z) / temperature).exp()).collect();
        let mut left = rng.random_range(0.0..weights.iter().sum());
        let label = weights.iter().position(|w| {
            left -= w;
            left < 0.0
        });
        film("", label.unwrap_or(2), &logits)
    };
    (0..20_000).map(|_| one()).collect()
}

#[test]
fn temperature_and_offsets_of_a_simulated_model_are_recovered() {
    for truth in [0.5, 1.0, 2.5] {
        let shift = [0.8f32, -0.5, -0.3];
        let mut films = simulated(truth);
        films.iter_mut().for_each(|film| film.logits.iter_mut().zip(shift).for_each(|(z, by)| *z -= by));
        let fit = fit(&films).unwrap();
        assert!((fit.temperature / truth - 1.0).abs() < 0.03, "{fit:?}, truth {truth}");
        for (offset, shift) in fit.offsets.iter().zip(shift) {
            assert!((offset - f64::from(shift)).abs() < 0.1, "{fit:?}, truth {truth}");
        }
    }
}

#[test]
fn temperature_stays_in_bounds_or_says_why_not() {
    let sure = fit(&[film("", 0, &[1.0, 0.0])]).unwrap();
    assert!((sure.temperature - 0.05).abs() < 1e-6, "{sure:?}");
    // Logits that would overflow exp.
    assert!(fit(&[film("", 1, &[1000.0, 0.0])]).unwrap().nll_after.is_finite());
    assert!(fit(&[]).is_err());
    let message = fit(&[film("p", 0, &[f32::NAN, 0.0])]).unwrap_err().to_string();
    assert!(message.contains("p.png"), "{message}");
}

#[test]
fn operating_points_by_hand() {
    let classes = ["a".to_string(), "b".to_string(), "never".to_string()];
    // Probability of b rises with the logit. Labels from the lowest: a a a b a b b b b b b b b b b (11 of b).
    let labels = [0, 0, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1];
    let films: Vec<_> =
        labels.iter().enumerate().map(|(i, label)| film("", *label, &[0.0, i as f32 * 0.2 - 1.0, -50.0])).collect();
    let points = operating_points(&films, &classes);
    let names: Vec<_> = points.iter().map(|p| (p.finding.as_str(), p.name.as_str())).collect();
    assert_eq!(names, [("a", "screening"), ("a", "balanced"), ("b", "screening"), ("b", "balanced")]);
    let (screening, balanced) = (&points[2], &points[3]);
    // 10 of 11 are 0.909, too few for 0.95: the film at index 3 is the last needed, with one false alarm of 4 (index 4).
    assert_eq!(screening.threshold, f64::from(films[3].probabilities[1]));
    assert_eq!((screening.sensitivity, screening.specificity, screening.n), (1.0, 0.75, 15));
    // 10 of 11 without a false alarm have the greatest sum, 1.91.
    assert_eq!(balanced.threshold, f64::from(films[5].probabilities[1]));
    assert!((balanced.sensitivity - 10.0 / 11.0).abs() < 1e-12);
    // For a, all four are needed for 0.95 of 4, at one false alarm (index 3): also the greatest sum, 1.91.
    assert_eq!(points[0].sensitivity, 1.0);
    assert_eq!(points[0].threshold, f64::from(films[4].probabilities[0]));
    assert!((points[0].specificity - 10.0 / 11.0).abs() < 1e-12);
    assert_eq!(points[1].threshold, f64::from(films[4].probabilities[0]));
}

#[test]
fn the_interval_of_a_proportion_is_the_binomial_one() {
    // 80 right of 200 patients: normal interval 0.4 +- 1.96 sqrt(0.4 0.6 / 200) = 0.332 .. 0.468.
    let share = |weights: &[u32]| {
        let n: u32 = weights.iter().sum();
        let right: u32 = weights[..80].iter().sum();
        vec![(n > 0).then(|| f64::from(right) / f64::from(n)), None]
    };
    let alone: Vec<usize> = (0..200).collect();
    let bootstrap = Bootstrap::default();
    let estimates = bootstrap.estimate(&alone, share);
    let half = 1.96 * (0.4 * 0.6 / 200.0f64).sqrt();
    assert_eq!(estimates[0].value, Some(0.4));
    assert!((estimates[0].low.unwrap() - (0.4 - half)).abs() < 0.012, "{estimates:?}");
    assert!((estimates[0].high.unwrap() - (0.4 + half)).abs() < 0.012, "{estimates:?}");
    assert_eq!((estimates[1].value, estimates[1].low), (None, None));
    assert_eq!(bootstrap.estimate(&alone, share), estimates, "seeded");
    // Four films a patient that all agree: the interval is twice as wide (sqrt 4), n is as good as 50.
    let by_four: Vec<usize> = (0..200).map(|film| film / 4).collect();
    let wide = bootstrap.estimate(&by_four, share)[0];
    let ratio = (wide.high.unwrap() - wide.low.unwrap()) / (2.0 * half);
    assert!((1.8..2.2).contains(&ratio), "{ratio}");
    // One patient says nothing about others.
    assert_eq!(bootstrap.estimate(&[0; 200], share)[0].low, None);
}

#[test]
fn intervals_cover_the_truth_about_as_often_as_they_say() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let bootstrap = Bootstrap { resamples: 400, seed: 1 };
    let covered = (0..300)
        .filter(|_| {
            let right: Vec<u32> = (0..120).map(|_| u32::from(rng.random_bool(0.7))).collect();
            let estimate = bootstrap.estimate(&(0..120).collect::<Vec<_>>(), |weights| {
                let sum: u32 = weights.iter().zip(&right).map(|(w, r)| w * r).sum();
                vec![Some(f64::from(sum) / 120.0)]
            })[0];
            estimate.low.unwrap() <= 0.7 && 0.7 <= estimate.high.unwrap()
        })
        .count();
    assert!((270..=297).contains(&covered), "{covered} of 300, 285 expected");
}

#[test]
fn patients_are_numbered_and_the_nameless_are_alone() {
    let films: Vec<_> = ["x", "", "y", "x", ""].iter().map(|id| film(id, 0, &[0.0])).collect();
    assert_eq!(patients(&films), [0, 1, 2, 0, 3]);
}

#[test]
fn summary_of_runs() {
    // scipy: t.interval(0.95, 4, mean, sem) of 1..5 is 1.0368, 4.9632.
    let five = summary(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
    assert_eq!((five.n, five.mean), (5, 3.0));
    assert!((five.sd.unwrap() - 2.5f64.sqrt()).abs() < 1e-12);
    assert!((five.low.unwrap() - 1.0368).abs() < 1e-3 && (five.high.unwrap() - 4.9632).abs() < 1e-3);
    // 41 values -20..=20: sd sqrt(143.5), t(40) = 2.0211.
    let many: Vec<f64> = (-20..=20).map(f64::from).collect();
    let many = summary(&many).unwrap();
    assert!((many.high.unwrap() - 2.0211 * (143.5f64 / 41.0).sqrt()).abs() < 1e-3, "{many:?}");
    assert_eq!(summary(&[0.9]).unwrap().low, None);
    assert!(summary(&[]).is_none());
}
