//! Where the image data are, for the tests of the library and of the trainer.

use std::io::Write;
use std::path::{Path, PathBuf};

/// The folder of the image data (`DEEPBREATH_DATA`, or `../shared/data` beside the workspace); `None`, said aloud,
/// where it is not there. With `DEEPBREATH_REQUIRE_DATA` the test fails instead.
#[allow(dead_code, reason = "not every test that includes this file needs image data")]
pub(crate) fn folder(part: &str) -> Option<PathBuf> {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = crate_folder.ancestors().find(|folder| folder.join("Cargo.lock").exists()).unwrap_or(crate_folder);
    let root = std::env::var_os("DEEPBREATH_DATA").map_or_else(|| workspace.join("../shared/data"), PathBuf::from);
    present(root.join(part), "set DEEPBREATH_DATA to the image data", true)
}

/// The ImageNet weights at `path`; `None`, said aloud, where nobody has fetched them, which takes Python and a network.
/// With `DEEPBREATH_REQUIRE_DATA` the test fails instead where `DEEPBREATH_INIT` names them.
#[allow(dead_code, reason = "not every test that includes this file needs ImageNet weights")]
pub(crate) fn imagenet(path: PathBuf) -> Option<PathBuf> {
    present(path, "set DEEPBREATH_INIT to the ImageNet weights", std::env::var_os("DEEPBREATH_INIT").is_some())
}

/// `path` if it is there. If not, the test that needs it is skipped, which is said with what to `set`; what is `promised`
/// fails it instead where `DEEPBREATH_REQUIRE_DATA` is set.
fn present(path: PathBuf, set: &str, promised: bool) -> Option<PathBuf> {
    if path.exists() {
        return Some(path);
    }
    let missing = format!("{} is not there; {set}", path.display());
    let required = std::env::var_os("DEEPBREATH_REQUIRE_DATA").is_some_and(|value| !value.is_empty());
    assert!(!(required && promised), "{missing}");
    // Test threads have the name of their test. The test harness holds back what macros print, unless the test fails.
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "skipped: {name}: {missing}");
    None
}
