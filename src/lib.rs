//! deepbreath: a radiograph goes in as bytes, an honest answer comes out, and it never leaves the machine.
//!
//! For education and research, never a diagnosis.

pub mod classifier;
pub mod decision;
mod digest;
pub mod error;
pub mod lungs;
pub mod mask;
pub mod model;
pub mod ops;
pub mod preprocess;
pub mod radiograph;
pub mod saliency;
#[cfg(target_arch = "wasm32")]
pub mod web;
pub mod weights;

pub use classifier::{Assessment, Classifier, Film, Options};
pub use decision::Judgement;
pub use error::Error;
pub use mask::Mask;
pub use radiograph::Radiograph;
