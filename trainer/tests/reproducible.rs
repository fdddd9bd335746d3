//! The same seed gives the same weights, file for file, also when a run is stopped and resumed.

#![cfg(unix)]

#[path = "../../tests/common/data.rs"]
mod data;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

const RECIPE: &str = r#"
name = "tiny"
epochs = 2
batch = 3
frozen_blocks = 9
norms = "frozen"
sharpness = 0.0
patience = 2
[head]
steps = 20
"#;

/// Eighteen films to train on and six to validate.
fn films(folder: &Path) -> PathBuf {
    made(folder, 18, 6)
}

/// So many films to train on and to validate, of three labels: noise under a bright bar whose place is the label.
fn made(folder: &Path, train: u32, validation: u32) -> PathBuf {
    let mut manifest = "path,label,patient_id,split,sha256\n".to_owned();
    let mut state = 1_u32;
    for index in 0..train + validation {
        let (label, split) = (index % 3, if index < train { "train" } else { "val" });
        let film = image::GrayImage::from_fn(96, 80, |x, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let bar = if x / 32 == label { 120 } else { 20 };
            image::Luma([bar + (state >> 24) as u8 / 4])
        });
        let path = folder.join(format!("{index}.png"));
        film.save(&path).expect("a film");
        let digest: String =
            Sha256::digest(std::fs::read(path).expect("a film")).iter().map(|byte| format!("{byte:02x}")).collect();
        let label = ["covid", "normal", "pneumonia"][label as usize];
        manifest += &format!("{index}.png,{label},{index},{split},{digest}\n");
    }
    let path = folder.join("films.csv");
    std::fs::write(&path, manifest).expect("a manifest");
    std::fs::write(folder.join("tiny.toml"), RECIPE).expect("a recipe");
    path
}

/// The ImageNet weights, or `None` (said aloud) where nobody has fetched them.
fn imagenet() -> Option<PathBuf> {
    data::imagenet(trainer::pretrained::default_path())
}

/// ImageNet weights where they are, otherwise (said aloud) the released ones, which have no batch norms.
fn init() -> PathBuf {
    imagenet().unwrap_or_else(|| {
        println!("the released weights stand in");
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(trainer::cli::RELEASED_WEIGHTS)
    })
}

fn command(manifest: &Path, out: &Path, further: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainer"));
    command.arg("train").arg(manifest).arg("--out").arg(out);
    if !further.contains(&"--init") {
        command.arg("--init").arg(init());
    }
    command.arg("--recipe").arg(manifest.with_file_name("tiny.toml")).args(further);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn train(manifest: &Path, out: &Path, further: &[&str]) {
    let done = command(manifest, out, further).output().expect("the trainer starts");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Starts a run and presses Ctrl-C when a line of its output begins with `line`.
fn stop_at(line: &str, manifest: &Path, out: &Path, further: &[&str]) {
    stop_after(line, command(manifest, out, further), || ());
}

/// As [`stop_at`]; does something else once the run has begun.
fn stop_after(line: &str, mut command: Command, begun: impl FnOnce()) {
    let mut child = command.spawn().expect("the trainer starts");
    begun();
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    lines.find(|found| found.as_ref().is_ok_and(|found| found.starts_with(line))).expect(line).expect("a line");
    let stopped = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(stopped.success());
    lines.for_each(drop);
    let end = child.wait_with_output().expect("an end");
    let message = String::from_utf8_lossy(&end.stderr);
    assert!(!end.status.success() && message.contains("--resume"), "{message}");
}

/// Starts a run and kills it, as a lost machine would, when a line of its output begins with `line`.
fn kill_at(line: &str, manifest: &Path, out: &Path, further: &[&str]) {
    let mut child = command(manifest, out, further).spawn().expect("the trainer starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    lines.find(|found| found.as_ref().is_ok_and(|found| found.starts_with(line))).expect(line).expect("a line");
    child.kill().expect("SIGKILL");
    assert_eq!(child.wait().expect("an end").code(), None, "it ended by itself");
}

/// Epochs that are over at the last checkpoint of a run, and steps of the next one.
fn progress(out: &Path) -> (usize, usize) {
    let progress = trainer::checkpoint::Progress::of(out).expect("readable").expect("a checkpoint");
    (progress.epoch, progress.step)
}

/// The trainer refuses these arguments with exit code 2; returns what it says.
fn refused(arguments: &[&str]) -> String {
    let done = Command::new(env!("CARGO_BIN_EXE_trainer")).args(arguments).output().expect("the trainer starts");
    assert_eq!(done.status.code(), Some(2), "{arguments:?}");
    String::from_utf8_lossy(&done.stderr).into_owned()
}

/// Puts a named pipe in the place of a film, and returns the film.
fn pipe(path: &Path) -> Vec<u8> {
    let film = std::fs::read(path).expect("a film");
    std::fs::remove_file(path).expect("a film less");
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo").success());
    film
}

/// Starts a run. When it reads the `film` by the pipe at `path`, presses Ctrl-C and gives it the film after it has taken
/// notice.
fn stop_in_pipe(path: &Path, film: &[u8], mut command: Command) -> String {
    let mut child = command.spawn().expect("the trainer starts");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut pipe = File::options().write(true).open(path).expect("a reader");
    let stopped = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(stopped.success());
    let mut errors = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut noticed = String::new();
    while !noticed.contains("stopping") {
        assert_ne!(errors.read_line(&mut noticed).expect("a line"), 0, "it ended: {noticed}");
    }
    pipe.write_all(film).expect("a reader");
    drop(pipe);
    let mut message = String::new();
    errors.read_to_string(&mut message).expect("text");
    lines.for_each(drop);
    assert_eq!(child.wait().expect("an end").code(), Some(2), "{message}");
    message
}

/// Digest of the best weights, and the metrics without the speed.
fn result(out: &Path) -> (Vec<u8>, Vec<serde_json::Value>) {
    let weights = std::fs::read(out.join("best.safetensors")).expect("the best weights");
    let metrics = std::fs::read_to_string(out.join("metrics.jsonl")).expect("metrics");
    let line = |line: &str| {
        let mut metrics: serde_json::Value = serde_json::from_str(line).expect("JSON");
        metrics.as_object_mut().expect("an object").remove("images_per_s").expect("a speed");
        metrics
    };
    (Sha256::digest(weights).to_vec(), metrics.lines().map(line).collect())
}

#[test]
fn weights_without_batch_norms_are_refused_by_a_recipe_that_needs_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = films(folder.path());
    let recipe = RECIPE.replace("\"frozen\"", "\"batch\"");
    std::fs::write(manifest.with_file_name("tiny.toml"), recipe).expect("a recipe");
    let released = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(trainer::cli::RELEASED_WEIGHTS);
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainer"));
    command.arg("train").arg(&manifest).arg("--out").arg(folder.path().join("run")).arg("--init").arg(released);
    let done = command.arg("--recipe").arg(manifest.with_file_name("tiny.toml")).output().expect("the trainer starts");
    let error = String::from_utf8_lossy(&done.stderr);
    assert!(!done.status.success() && error.contains("--recipe fine-tune"), "{error}");
}

#[test]
fn running_statistics_and_swapped_surroundings_are_resumed_too() {
    if imagenet().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = films(folder.path());
    let recipe = RECIPE
        .replace("\"frozen\"", "\"batch\"")
        .replace("sharpness = 0.0", "sharpness = 0.05\nswapped_surroundings = 0.5");
    std::fs::write(manifest.with_file_name("tiny.toml"), recipe).expect("a recipe");
    let [whole, stopped] = ["whole", "stopped"].map(|name| folder.path().join(name));
    train(&manifest, &whole, &[]);
    stop_at("epoch  1", &manifest, &stopped, &[]);
    train(&manifest, &stopped, &["--resume"]);
    assert_eq!(result(&stopped), result(&whole));
}

#[test]
fn a_run_stopped_in_its_validations_is_resumed_to_the_same_weights() {
    let folder = tempfile::tempdir().expect("a folder");
    // One film more than a batch of the forward pass, so that there is something to stop before.
    let manifest = made(folder.path(), 18, 17);
    let [whole, stopped] = ["whole", "stopped"].map(|name| folder.path().join(name));
    train(&manifest, &whole, &[]);
    let path = manifest.with_file_name("18.png");
    let film = pipe(&path);
    let progress = || progress(&stopped);
    let message = stop_in_pipe(&path, &film, command(&manifest, &stopped, &[]));
    assert!(message.contains("--resume") && progress() == (0, 0), "{message}");
    let resumed = || command(&manifest, &stopped, &["--resume"]);
    // A process reads the film once, in its first validation: one is stopped within an epoch, the next in its validation.
    let give = || std::fs::write(&path, &film).expect("a reader");
    stop_after("head on frozen features", resumed(), give);
    let message = stop_in_pipe(&path, &film, resumed());
    assert!(message.contains("--resume") && progress() == (0, 18 / 3), "{message}");
    assert!(!stopped.join("metrics.jsonl").exists(), "the epoch is not over");
    stop_after("epoch  1", resumed(), give);
    let message = stop_in_pipe(&path, &film, resumed());
    assert!(message.contains("--resume") && progress() == (1, 18 / 3), "{message}");
    std::fs::remove_file(&path).expect("a pipe less");
    std::fs::write(&path, &film).expect("a film");
    // A pipe has no size: the film in its place is another file.
    let refused = resumed().output().expect("the trainer starts");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("films"));
    pipe(&path);
    let mut last = resumed().spawn().expect("the trainer starts");
    std::fs::write(&path, &film).expect("a reader");
    assert!(last.wait().expect("an end").success());
    assert_eq!(result(&stopped), result(&whole));
}

#[test]
fn a_run_stopped_while_it_decodes_films_can_begin_again() {
    let folder = tempfile::tempdir().expect("a folder");
    // More films than are decoded at a time.
    let manifest = made(folder.path(), 66, 6);
    let (out, path) = (folder.path().join("run"), manifest.with_file_name("0.png"));
    let film = pipe(&path);
    let message = stop_in_pipe(&path, &film, command(&manifest, &out, &["--epochs", "1"]));
    assert!(message.contains("film cache") && message.contains("stopped by Ctrl-C"), "{message}");
    assert_eq!(std::fs::read_dir(out.join("films")).expect("a folder").count(), 0, "no part of a cache");
    std::fs::remove_file(&path).expect("a pipe less");
    std::fs::write(&path, &film).expect("a film");
    train(&manifest, &out, &["--epochs", "1"]);
}

#[test]
fn equal_runs_and_a_resumed_one_give_equal_weights() {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = films(folder.path());
    let [first, again, stopped, other] = ["first", "again", "stopped", "other"].map(|name| folder.path().join(name));
    train(&manifest, &first, &["--seed", "7"]);
    let wanted = result(&first);
    assert_eq!(wanted.1.len(), 2, "a line for each epoch");
    train(&manifest, &again, &["--seed", "7"]);
    assert_eq!(result(&again), wanted, "the same run again");
    // Within the first epoch, then within the second.
    stop_at("head on frozen features", &manifest, &stopped, &["--seed", "7"]);
    assert!(!stopped.join("metrics.jsonl").exists(), "no epoch is over");
    let unfinished = |epochs: &str| {
        let none = folder.path().join("none");
        let [first, stopped, out] = [&first, &stopped, &none].map(|path| path.to_str().expect("UTF-8"));
        for arguments in [vec!["export", stopped], vec!["average", first, stopped]] {
            let message = refused(&[arguments, vec!["--out", out]].concat());
            let says = [&format!("the run {stopped} is unfinished"), epochs, "seed 7", "--resume"];
            assert!(says.iter().all(|words| message.contains(*words)), "{message}");
        }
        assert!(!Path::new(out).exists());
    };
    unfinished("0 of 2 epochs");
    stop_at("epoch  1", &manifest, &stopped, &["--seed", "7", "--resume"]);
    unfinished("1 of 2 epochs");
    train(&manifest, &stopped, &["--seed", "7", "--resume"]);
    assert_eq!(result(&stopped), wanted, "stopped twice and resumed");
    // Killed without a warning: what is lost is the work since the last checkpoint.
    let killed = folder.path().join("killed");
    kill_at("head on frozen features", &manifest, &killed, &["--seed", "7"]);
    assert!(progress(&killed) == (0, 0) && !killed.join("metrics.jsonl").exists(), "only the head is over");
    kill_at("epoch  1", &manifest, &killed, &["--seed", "7", "--resume"]);
    assert!(progress(&killed) >= (0, 18 / 3), "the steps of the first epoch are kept");
    train(&manifest, &killed, &["--seed", "7", "--resume"]);
    assert_eq!(result(&killed), wanted, "killed twice and resumed");
    train(&manifest, &other, &["--seed", "8", "--epochs", "1"]);
    assert_ne!(result(&other).1[0], wanted.1[0], "another seed");
    let record = std::fs::read_to_string(other.join("run.json")).expect("a record");
    assert!(record.contains("tiny, epochs=1"), "{record}");

    // A finished run is neither overwritten nor gone on with as another.
    let record = std::fs::read(first.join("run.json")).expect("a record");
    let tutorial = Path::new(env!("CARGO_MANIFEST_DIR")).join("../weights/tutorial.safetensors");
    let regrouped = manifest.with_file_name("regrouped.csv");
    let text = std::fs::read_to_string(&manifest).expect("the manifest");
    std::fs::write(&regrouped, text.replace("0.png,covid,0,", "0.png,covid,one,")).expect("a manifest");
    let cases: [(&Path, &[&str], &str); 4] = [
        (&manifest, &["--seed", "8"], "already holds a run"),
        (&manifest, &["--seed", "8", "--resume"], "another recipe, seed, initial weights"),
        (&manifest, &["--seed", "7", "--resume", "--init", tutorial.to_str().expect("a path")], "initial weights"),
        (&regrouped, &["--seed", "7", "--resume"], "films"),
    ];
    for (manifest, arguments, says) in cases {
        let refused = command(manifest, &first, arguments).output().expect("the trainer starts");
        let message = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(2) && message.contains(says), "{arguments:?}: {message}");
        assert!(
            std::fs::read(first.join("run.json")).expect("a record") == record,
            "{arguments:?}: the record changed"
        );
    }
    assert_eq!(result(&first), wanted);

    // A further stage starts from the run's average and says so; it may not test on what the first one learned from.
    let (second, from) =
        (folder.path().join("second"), ["--seed", "7", "--epochs", "1", "--init", first.to_str().expect("a path")]);
    train(&manifest, &second, &from);
    let record = trainer::train::RunRecord::read(&second).expect("a record");
    assert_eq!(record.recipes(), "tiny, then tiny, epochs=1");
    assert_ne!(result(&second).1[0], wanted.1[0], "it does not start anew");
    let refused = command(&regrouped, &folder.path().join("third"), &from).output().expect("the trainer starts");
    let message = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(2) && message.contains("learned from another manifest"), "{message}");
}

#[test]
fn one_label_is_nothing_to_tell_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = films(folder.path());
    let rows = std::fs::read_to_string(&manifest).expect("rows");
    let one: String = rows
        .lines()
        .filter(|row| !row.contains(",normal,") && !row.contains(",pneumonia,"))
        .fold(String::new(), |all, row| all + row + "\n");
    std::fs::write(&manifest, one).expect("a manifest");
    let out = folder.path().join("run");
    let done = command(&manifest, &out, &[]).output().expect("the trainer starts");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(!done.status.success() && said.contains("all films to train on are labelled `covid`"), "{said}");
    assert!(said.contains("too few validation films: 2 of `covid`"), "{said}");
    let unmarked = std::fs::read_to_string(&manifest).expect("rows").replace(",val,", ",train,");
    std::fs::write(&manifest, unmarked).expect("a manifest");
    let done = command(&manifest, &out, &[]).output().expect("the trainer starts");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(said.contains("of the 8 marked `train` were taken to validate on"), "{said}");
    assert!(!out.exists(), "nothing was begun");
}
