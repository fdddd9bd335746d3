//! Where the image data are, for the tests of the library and of the trainer.

use std::path::{Path, PathBuf};

/// The folder of the image data (`DEEPBREATH_DATA`, or `../shared/data` beside the workspace); `None`, said aloud,
/// where it is not there.
#[allow(dead_code, reason = "not every test that includes this file needs image data")]
pub(crate) fn folder(part: &str) -> Option<PathBuf> {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = crate_folder.ancestors().find(|folder| folder.join("Cargo.lock").exists()).unwrap_or(crate_folder);
    let root = std::env::var_os("DEEPBREATH_DATA").map_or_else(|| workspace.join("../shared/data"), PathBuf::from);
    present(root.join(part), "set DEEPBREATH_DATA to the image data")
}

/// `path` if it is there. If not, the test that needs it is skipped, which is said aloud with what to `set`; where
/// `DEEPBREATH_REQUIRE_DATA` is set it fails instead.
pub(crate) fn present(path: PathBuf, set: &str) -> Option<PathBuf> {
    if path.exists() {
        return Some(path);
    }
    let missing = format!("{} is not there; {set}", path.display());
    let required = std::env::var_os("DEEPBREATH_REQUIRE_DATA").is_some_and(|value| !value.is_empty());
    assert!(!required, "{missing}");
    println!("skipped: {missing}");
    None
}
