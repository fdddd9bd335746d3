//! One error type for everything from bytes to the answer; every message says what to do next.

/// What can go wrong between bytes and an `Assessment`.
///
/// `code()` is stable and goes to JavaScript; the text is for people: which input, what is wrong, what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are in no format that is read here.
    #[error("{file}: not an image format that is read here ({found}). Use PNG, JPEG, WebP, BMP, TIFF or DICOM")]
    UnknownFormat {
        /// Name of the input.
        file: String,
        /// What the bytes look like instead.
        found: String,
    },
    /// The weights file cannot be used.
    #[error("weights {file}: {reason}")]
    Weights {
        /// Name of the weights file.
        file: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The network could not be run, or its results are wrong.
    #[error("{backend} backend: {reason}")]
    Inference {
        /// The engine that was running.
        backend: String,
        /// What is wrong, and what to do.
        reason: String,
    },
}

impl Error {
    /// Stable identifier of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownFormat { .. } => "unknown-format",
            Self::Weights { .. } => "weights",
            Self::Inference { .. } => "inference",
        }
    }
}
