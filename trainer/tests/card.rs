//! The card in the repository is the one that the command writes, and the checklists point to what is there.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use trainer::card::{OtherFilms, Sources, fill, readme, values};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn card_and_readme_are_those_that_the_command_writes() {
    let sources = Sources::read(&root().join("weights")).unwrap();
    let card = fill(&read("weights/MODEL_CARD.in.md"), &values(&sources)).unwrap();
    let rewrite = "run `trainer card weights/ --readme README.md`";
    assert!(card == read("weights/MODEL_CARD.md"), "MODEL_CARD.md is out of date: {rewrite}");
    let text = read("README.md");
    assert!(readme(&text, &sources).unwrap() == text, "the figures of README.md are out of date: {rewrite}");
    // No figure is left to hand or to chance.
    for missing in ["NaN", "{{"] {
        assert!(!card.contains(missing), "{missing}");
    }
}

/// A folder of weights with nothing but the released weights and their evaluation.
fn weights_alone() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("report")).unwrap();
    for file in ["deepbreath.safetensors", "report/report.json"] {
        fs::copy(root().join("weights").join(file), dir.path().join(file)).unwrap();
    }
    dir
}

#[test]
fn a_card_needs_no_cross_validation_and_says_what_was_not_measured() {
    let dir = weights_alone();
    let sources = Sources::read(dir.path()).unwrap();
    assert!(sources.left_out.is_empty() && sources.darkcovidnet.is_none() && sources.tutorial.is_none());
    let texts = values(&sources);
    for name in ["left_out", "published", "ablation"] {
        assert_eq!(texts[name].trim(), "Not measured.", "{name}");
    }
    let card = fill(&read("weights/MODEL_CARD.in.md"), &texts).unwrap();
    assert!(card.contains("macro AUROC") && !card.contains("fine-tune, 5 epochs, swapped surroundings` |"));
    assert!(!readme(&read("README.md"), &sources).unwrap().contains("left out of training ("));
}

#[test]
fn a_cross_validation_on_other_films_is_refused() {
    let dir = weights_alone();
    let folder = dir.path().join("report/leave-one-source-out");
    fs::create_dir(&folder).unwrap();
    let mut json: Value =
        serde_json::from_str(&read("weights/report/leave-one-source-out/cross-validation.json")).unwrap();
    let file = folder.join("cross-validation.json");
    fs::write(&file, json.to_string()).unwrap();
    assert_eq!(Sources::read(dir.path()).unwrap().left_out.len(), 1);
    json["pooled"]["protocol"]["manifest_digest"] = "0123".into();
    fs::write(&file, json.to_string()).unwrap();
    let error = Sources::read(dir.path()).err().expect("it is of other films");
    let error = error.downcast_ref::<OtherFilms>().expect("a typed error");
    assert_eq!((error.its.as_str(), &error.file), ("0123", &file));
    assert!(error.to_string().contains("trainer cross-validate") && error.to_string().contains("take it out"));
}

#[test]
fn a_readme_without_its_marks_is_refused() {
    let sources = Sources::read(&root().join("weights")).unwrap();
    assert!(readme("# A title\n", &sources).unwrap_err().to_string().contains("figures"));
}

/// The anchors of a Markdown file's headings, as GitHub makes them.
fn anchors(markdown: &str) -> Vec<String> {
    let headings = markdown
        .lines()
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')));
    let anchor = |heading: &str| {
        let kept =
            heading.to_lowercase().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>();
        kept.replace(' ', "-")
    };
    headings.map(anchor).collect()
}

/// The part of a Markdown file below a heading, to the next heading of any level but for the parts of it; one line.
fn section(markdown: &str, anchor: &str) -> String {
    let level = |line: &str| line.chars().take_while(|c| *c == '#').count();
    let mut lines = markdown.lines().skip_while(|line| level(line) == 0 || anchors(line) != [anchor]);
    let Some(heading) = lines.next() else { return String::new() };
    let body = lines.take_while(|line| level(line) == 0 || level(line) > level(heading));
    body.collect::<Vec<_>>().join(" ")
}

#[test]
fn every_item_of_the_checklists_is_answered_or_said_not_to_apply() {
    let json: Value = serde_json::from_str(&read("weights/report/checklist.json")).unwrap();
    let lists = json["lists"].as_array().unwrap();
    // CLAIM has 44 items; TRIPOD+AI 27, with their parts 52.
    assert_eq!(lists.iter().map(|list| list["items"].as_array().unwrap().len()).collect::<Vec<_>>(), [44, 52]);
    for list in lists {
        let mut seen = Vec::new();
        for item in list["items"].as_array().unwrap() {
            let name = format!("{} {}", list["name"], item["item"]);
            assert!(!seen.contains(&&item["item"]), "{name} stands twice");
            seen.push(&item["item"]);
            assert!(item["asks"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
            if item["applies"] == false {
                assert!(item["why"].as_str().is_some_and(|text| text.len() > 10), "{name} does not say why");
                continue;
            }
            let pointer = item["answered"].as_str().unwrap_or_else(|| panic!("{name} is not answered"));
            let (path, anchor) = pointer.split_once('#').unwrap_or((pointer, ""));
            let text = read(path);
            assert_eq!(path.ends_with(".md"), !anchor.is_empty(), "{name}: a heading for Markdown, and only for it");
            assert!(
                anchor.is_empty() || anchors(&text).iter().any(|known| known == anchor),
                "{name}: no heading {pointer}"
            );
            // A heading alone promises too little: words of the answer.
            let words = item["says"].as_str().filter(|words| !words.is_empty());
            let words = words.unwrap_or_else(|| panic!("{name} does not say which words answer it"));
            let place = if anchor.is_empty() { text } else { section(&text, anchor) };
            assert!(place.contains(words), "{name}: {pointer} does not say {words:?}");
        }
    }
}

#[test]
fn a_section_ends_at_the_next_heading_of_its_level() {
    let text = "# A\n## One\nfirst\nline\n### Part\nof it\n## Two\nsecond\n";
    assert_eq!(section(text, "one"), "first line ### Part of it");
    assert_eq!((section(text, "two").as_str(), section(text, "none").as_str()), ("second", ""));
}

#[test]
fn anchors_are_made_as_github_makes_them() {
    assert_eq!(
        anchors("# A title: one, two\ntext # no\n## Second-level `x`\n#none\n"),
        ["a-title-one-two", "second-level-x"]
    );
}
