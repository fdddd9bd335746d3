//! One error type for everything from bytes to the answer; every message says what to do next.

/// What can go wrong between bytes and an `Assessment`.
///
/// `code()` is stable and goes to JavaScript; the text is for people: which input, what is wrong, what to do.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input has no bytes.
    #[error("{file}: the file is empty. Choose another copy of the image")]
    Empty {
        /// Name of the input.
        file: String,
    },
    /// The input is larger than [`crate::radiograph::MAX_FILE_BYTES`].
    #[error("{file}: {bytes} bytes, more than the limit of {limit}. Export one film at a time, or a smaller copy")]
    FileTooLarge {
        /// Name of the input.
        file: String,
        /// Size of the input, or of what it would unpack to, in bytes.
        bytes: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The image declares more pixels than [`crate::radiograph::MAX_PIXELS`], or a side longer than
    /// [`crate::radiograph::MAX_SIDE`].
    #[error(
        "{file}: {width} x {height} pixels, more than the limit of {limit} in all or {side} on a side. Scale the image down \
         first",
        side = crate::radiograph::MAX_SIDE
    )]
    TooManyPixels {
        /// Name of the input.
        file: String,
        /// Declared columns.
        width: u64,
        /// Declared rows.
        height: u64,
        /// The limit of all pixels together.
        limit: u64,
    },
    /// The bytes are in no format that is read here.
    #[error("{file}: not an image format that is read here ({found}). Use PNG, JPEG, WebP, BMP, TIFF or DICOM")]
    UnknownFormat {
        /// Name of the input.
        file: String,
        /// What the bytes look like instead.
        found: String,
    },
    /// The data end before the image does.
    #[error("{file}: the file ends too early ({reason}). Copy or download it again")]
    Truncated {
        /// Name of the input.
        file: String,
        /// What is missing.
        reason: String,
    },
    /// The data contradict their format.
    #[error("{file}: the file is damaged ({reason}). Export the image again, as PNG or as uncompressed DICOM")]
    Corrupt {
        /// Name of the input.
        file: String,
        /// What does not fit.
        reason: String,
    },
    /// A form of a known raster format that is not read here.
    #[error("{file}: {what} is not read here. Save the image as an 8- or 16-bit grey PNG")]
    UnsupportedImage {
        /// Name of the input.
        file: String,
        /// The form, e.g. `arithmetic-coded JPEG`.
        what: String,
    },
    /// A DICOM transfer syntax without a decoder here.
    #[error(
        "{file}: transfer syntax {uid} ({name}) is not decoded here: {reason}. Transcode the file to Explicit VR Little \
         Endian, e.g. with dcmdjpeg or gdcmconv --raw"
    )]
    UnsupportedTransferSyntax {
        /// Name of the input.
        file: String,
        /// UID of the transfer syntax (DICOM PS3.6, Annex A).
        uid: String,
        /// Its name.
        name: String,
        /// What exactly is not decoded.
        reason: String,
    },
    /// A DICOM pixel layout that is not read here.
    #[error("{file}: {what} is not read here. Export the film as MONOCHROME2 with 8 or 16 bits allocated")]
    UnsupportedPhotometric {
        /// Name of the input.
        file: String,
        /// The layout, e.g. `photometric interpretation PALETTE COLOR`.
        what: String,
    },
    /// A DICOM file that holds no image, such as a report or a directory.
    #[error("{file}: this DICOM file holds no image ({reason}). Choose the file of the film itself")]
    NoPixelData {
        /// Name of the input.
        file: String,
        /// What is missing.
        reason: String,
    },
    /// A DICOM file given to a build without the `dicom` feature.
    #[error("{file}: this build reads no DICOM. Load the build with the `dicom` feature, or convert the film to PNG")]
    DicomNotBuilt {
        /// Name of the input.
        file: String,
    },
    /// The weights file cannot be used.
    #[error("weights {file}: {reason}")]
    Weights {
        /// Name of the weights file.
        file: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A mask that does not lie on the grid of the network's input.
    #[error("mask: {reason}. Give one byte for each cell of the network's input, row by row")]
    Mask {
        /// What does not fit.
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
    /// A known input gave other values than when the weights were written.
    #[error("{backend} backend: {reason}")]
    Verification {
        /// The engine that was running.
        backend: String,
        /// The largest difference, and what to do.
        reason: String,
    },
    /// There is no GPU to run the network on.
    #[error("webgpu backend: no GPU can be used here ({reason}). Use the cpu backend")]
    NoGpu {
        /// What the system said.
        reason: String,
    },
    /// The device that runs the network went away or failed: the classifier is beyond use.
    #[error("{backend} backend: the device was lost ({reason}). Load the classifier again, or use another backend")]
    DeviceLost {
        /// The engine that was running.
        backend: String,
        /// What the system said.
        reason: String,
    },
}

impl Error {
    /// Stable identifier of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty { .. } => "empty",
            Self::FileTooLarge { .. } => "file-too-large",
            Self::TooManyPixels { .. } => "too-many-pixels",
            Self::UnknownFormat { .. } => "unknown-format",
            Self::Truncated { .. } => "truncated",
            Self::Corrupt { .. } => "corrupt",
            Self::UnsupportedImage { .. } => "unsupported-image",
            Self::UnsupportedTransferSyntax { .. } => "unsupported-transfer-syntax",
            Self::UnsupportedPhotometric { .. } => "unsupported-photometric",
            Self::NoPixelData { .. } => "no-pixel-data",
            Self::DicomNotBuilt { .. } => "dicom-not-built",
            Self::Weights { .. } => "weights",
            Self::Mask { .. } => "mask",
            Self::Inference { .. } => "inference",
            Self::Verification { .. } => "verification",
            Self::NoGpu { .. } => "no-gpu",
            Self::DeviceLost { .. } => "device-lost",
        }
    }
}
