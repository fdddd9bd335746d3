//! The words of `tutorial.html`: what was done, and where it is flawed.

use std::fmt::Write;

use super::bank::POOL;
use super::report::TutorialReport;
use crate::svg::escape;

/// Where the protocol is flawed, in plain words, with what this run measured of it.
pub(super) fn flaws(report: &TutorialReport) -> String {
    let mut text = String::from(
        "<h2>Where the protocol is flawed</h2>\n<p class=\"soft\">It is kept as it is, so that its figures can be \
         compared. Do not copy it.</p>\n<ul>\n",
    );
    let [first, second] = [0, 1].map(|label| escape(&report.classes[label]));
    for (heading, words) in [
        ("The test films are also the validation films", validation(report)),
        ("Films are split, not patients", patients(report)),
        ("The two labels come from different worlds", ages(report)),
        ("Ten test films", few(report)),
        (
            "The pool sees one corner",
            format!(
                "The backbone ends in a map of 7\u{a0}x\u{a0}7 cells. A pool of {POOL}\u{a0}x\u{a0}{POOL} without \
                 padding fits once: it averages the upper left {} of 49 cells, and the rest never reaches the head. \
                 Through their receptive fields these cells still see somewhat beyond that quarter, but most of the \
                 lower and right part of the chest is ignored. For VGG16 in the tutorial it is the same.",
                POOL * POOL
            ),
        ),
        (
            "Grey values that the backbone was not trained with",
            "Pixels are divided by 255 and nothing else. This backbone was trained on (255\u{a0}x\u{a0}-\u{a0}127)\u{a0}/\
             \u{a0}128, VGG16 on colours with their means subtracted; frozen layers cannot adapt to another scale."
                .into(),
        ),
        (
            "A high figure does not mean that the disease was seen",
            format!(
                "With {first} and {second} from different collections, every trace of a collection (age, cropping, \
                 markers, compression) tells the labels apart. Only films of both labels from the same hospital can \
                 show what is left.{}",
                report.frame.map_or(String::new(), |frame| format!(
                    " The control above measures a part of it: {:.3} by a new last layer that is trained and tested on \
                     the rims of the films alone, where a coin gives about a half.",
                    frame.mean
                ))
            ),
        ),
    ] {
        let _ = writeln!(text, "<li><b>{heading}.</b> {words}</li>");
    }
    text + "</ul>\n"
}

fn validation(report: &TutorialReport) -> String {
    let mut text = String::from(
        "The tutorial watches its loss and accuracy after every epoch and then reports on the same films, so whatever \
         was tuned by looking, was tuned on them.",
    );
    if let (Some(best), Some(accuracy)) = (report.best_epoch, report.figures.get("accuracy")) {
        let _ = write!(
            text,
            " Here nothing was tuned, and the last epoch counts: mean accuracy {:.3}.",
            accuracy.seeds.mean
        );
        let _ = if best.mean > accuracy.seeds.mean {
            write!(
                text,
                " Had every seed kept the epoch that was best on its test films, it would read {:.3}.",
                best.mean
            )
        } else {
            write!(text, " Keeping the epoch that is best on the test films would gain nothing here.")
        };
    }
    text
}

fn patients(report: &TutorialReport) -> String {
    let films: usize = report.films.values().sum();
    let (Some(patients), Some(shared)) = (&report.patients, report.shared_patients) else {
        return format!(
            "Several films of one patient look alike. Whose the {films} films are is unknown here (no patient_id in the \
             manifest, no list of the pool beside it), so nobody can say how many patients are on both sides."
        );
    };
    let each: Vec<String> = report
        .films
        .iter()
        .map(|(class, films)| format!("the {films} {} films are of {} patients", escape(class), patients[class]))
        .collect();
    let affected = report.seeds.iter().filter(|seed| seed.shared.is_some_and(|shared| shared.patients > 0)).count();
    format!(
        "Several films of one patient look alike: {}. In {affected} of {} seeds at least one patient was on both sides of \
         the split, {:.1} on average; there the network may have recognised the patient.",
        each.join(", "),
        report.seeds.len(),
        shared.mean
    )
}

fn ages(report: &TutorialReport) -> String {
    let of = |class: &String| {
        let groups = report.age_groups.get(class).into_iter().flatten();
        let groups: Vec<String> = groups.map(|(group, count)| format!("{count} {}", escape(group))).collect();
        format!("{}: {}", escape(class), groups.join(", "))
    };
    let each: Vec<String> = report.classes.iter().map(of).collect();
    format!(
        "The tutorial's normal films are of children from one to five years in one hospital, its COVID-19 films of adults \
         from journals and websites. A network that tells children from adults would look as good. Age groups here: {}.",
        each.join("; ")
    )
}

fn few(report: &TutorialReport) -> String {
    let interval = |name: &str, published: bool| {
        let figure = &report.figures[name];
        let estimate = if published { figure.published } else { figure.one_test };
        format!("{:.2} to {:.2}", estimate.low.unwrap_or(0.0), estimate.high.unwrap_or(1.0))
    };
    if report.figures.len() < 3 {
        return String::from("A share of ten says little.");
    }
    format!(
        "One film more or less is ten points of accuracy, and twenty of sensitivity. The tutorial's 9 of 10 are compatible \
         with anything from {} (95\u{a0}% Wilson), its 5 of 5 {} found with {}. More seeds narrow the mean over splits of \
         these {} films; they do not make them more films.",
        interval("accuracy", true),
        escape(&report.classes[0]),
        interval("sensitivity", true),
        report.films.values().sum::<usize>()
    )
}

/// What was done, and in what it differs from the tutorial.
pub(super) fn protocol(report: &TutorialReport) -> String {
    let p = &report.protocol;
    let films: Vec<String> = report.films.iter().map(|(class, count)| format!("{count} {}", escape(class))).collect();
    let last = p.first_seed + p.seeds.saturating_sub(1) as u64;
    let mut text = String::from("<h2>What was done</h2>\n<dl class=\"facts\">\n");
    for (name, value) in [
        ("Films", format!("{} (manifest SHA-256 <code>{}</code>)", films.join(", "), escape(&report.manifest_digest))),
        ("Input", "224 x 224, aspect ratio dropped, divided by 255, no further normalisation".into()),
        ("Backbone", format!("{} (the tutorial: VGG16)", escape(&report.backbone))),
        (
            "Head",
            format!(
                "average pool {POOL} x {POOL}, stride {POOL}, flatten, dense {}, ReLU, dropout {}, dense 2, softmax; Glorot \
                 uniform initial weights",
                p.hidden, p.dropout
            ),
        ),
        (
            "Training",
            format!(
                "Adam, learning rate {} / (1 + {} / {} x updates), binary cross entropy on one-hot labels, {} epochs, batch \
                 {}",
                p.learning_rate, p.learning_rate, p.epochs, p.epochs, p.batch
            ),
        ),
        (
            "Augmentation",
            format!("rotation within {} degrees, the nearest pixel fills what comes from outside", p.rotation),
        ),
        ("Split", format!("{:.0} % of the films of each label are tested on, drawn by film", 100.0 * p.test_share)),
        ("Seeds", format!("{} to {last}", p.first_seed)),
    ] {
        let _ = writeln!(text, "<dt>{name}</dt><dd>{value}</dd>");
    }
    let _ = writeln!(text, "</dl>\n<p>In what this differs from the tutorial:</p>\n<ul>");
    for line in [
        "The backbone is the one of this project instead of VGG16.".to_owned(),
        format!(
            "Rotations are drawn from the {} whole angles from -{} to {} degrees, so that the frozen features of each film \
             are computed once for all seeds.",
            2 * p.rotation + 1,
            p.rotation,
            p.rotation
        ),
        "The two controls are added.".into(),
        "Films are read as grey and shrunk with an antialiased filter; the tutorial reads colours and shrinks without one.".into(),
        "The same normal films cannot be had: the tutorial drew its own at random and does not list them.".into(),
        "Random numbers are this project's, so that seed 42 draws another split than scikit-learn's 42.".into(),
    ] {
        let _ = writeln!(text, "<li>{line}</li>");
    }
    text + "</ul>\n"
}
