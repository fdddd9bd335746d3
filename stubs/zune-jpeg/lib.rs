//! What `tiff` asks of `zune-jpeg` for the strips and tiles of a JPEG-compressed TIFF, answered by `jpeg-decoder`.

use jpeg_decoder::{ColorTransform, Decoder, PixelFormat};

/// Errors under the name that `tiff` converts from.
pub mod errors {
    pub use jpeg_decoder::Error as DecodeErrors;
}

/// The parts of `zune-core` that `tiff` names.
pub mod zune_core {
    /// Where the bytes come from.
    pub mod bytestream {
        /// The bytes of one strip or tile.
        pub type ZCursor<T> = std::io::Cursor<T>;
    }

    /// What the samples mean.
    pub mod colorspace {
        /// That of the stored samples, whatever it is: the TIFF file says it.
        #[derive(Clone, Copy)]
        pub struct ColorSpace;
    }

    /// How to decode.
    pub mod options {
        /// There is one way here: samples as they are stored.
        #[derive(Clone, Copy, Default)]
        pub struct DecoderOptions;

        impl DecoderOptions {
            /// Asks for samples as they are stored.
            #[must_use]
            pub fn jpeg_set_out_colorspace(self, _: super::colorspace::ColorSpace) -> Self {
                self
            }
        }
    }
}

/// Most bytes of one strip or tile: 64 megapixels of four channels.
const MAX_BYTES: usize = 4 * 64_000_000;

/// Decodes one strip or tile.
pub struct JpegDecoder(Decoder<zune_core::bytestream::ZCursor<Vec<u8>>>);

impl JpegDecoder {
    /// A decoder for these bytes.
    pub fn new(bytes: zune_core::bytestream::ZCursor<Vec<u8>>) -> Self {
        let mut decoder = Decoder::new(bytes);
        decoder.set_max_decoding_buffer_size(MAX_BYTES);
        Self(decoder)
    }

    /// Reads up to the first scan.
    ///
    /// # Errors
    /// If these are not the headers of a JPEG image.
    pub fn decode_headers(&mut self) -> Result<(), errors::DecodeErrors> {
        self.0.read_info()
    }

    /// That of the samples.
    pub fn input_colorspace(&self) -> Option<zune_core::colorspace::ColorSpace> {
        Some(zune_core::colorspace::ColorSpace)
    }

    /// Takes the only options there are.
    pub fn set_options(&mut self, _: zune_core::options::DecoderOptions) {}

    /// The samples as they are stored, interleaved.
    ///
    /// # Errors
    /// If the data are damaged or of a process that is not supported.
    pub fn decode(&mut self) -> Result<Vec<u8>, errors::DecodeErrors> {
        self.0.read_info()?;
        match self.0.info().map(|info| info.pixel_format) {
            // "From RGB" and "from CMYK" are the two that leave the colours alone; the second one inverts them.
            Some(PixelFormat::RGB24) => self.0.set_color_transform(ColorTransform::RGB),
            Some(PixelFormat::CMYK32) => {
                self.0.set_color_transform(ColorTransform::CMYK);
                return Ok(self.0.decode()?.into_iter().map(|ink| 255 - ink).collect());
            }
            _ => {}
        }
        self.0.decode()
    }
}
