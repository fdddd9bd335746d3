//! Where the image data are.

use std::path::PathBuf;

/// The folder of the image data (`DEEPBREATH_DATA`, or `../shared/data` beside the workspace); `None`, said aloud,
/// where it is not there.
pub(crate) fn folder(part: &str) -> Option<PathBuf> {
    let root = std::env::var_os("DEEPBREATH_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    let part = root.join(part);
    if part.exists() {
        return Some(part);
    }
    println!("skipped: {} is not there; set DEEPBREATH_DATA to the image data", part.display());
    None
}
