//! Chest films with a flaw that the gate should refuse and name, made from films as they should be.

use std::io::Cursor;

use anyhow::Result;
use deepbreath::Radiograph;
use deepbreath::preprocess::ModelInput;
use deepbreath::radiograph::polarity;
use deepbreath::weights::Flaw;
use image::{GrayImage, ImageFormat};

/// Ways to spoil a film.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Spoilt {
    /// Clockwise by this many quarter turns.
    Turned(u8),
    /// To its left or right half: one lung.
    LeftHalf,
    /// As [`Self::LeftHalf`].
    RightHalf,
    /// To its negative.
    Inverted,
    /// To nothing but its mean grey.
    Blank,
}

impl Spoilt {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Turned(1),
        Self::Turned(2),
        Self::Turned(3),
        Self::LeftHalf,
        Self::RightHalf,
        Self::Inverted,
        Self::Blank,
    ];

    /// The name in `report.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Turned(1) => "turned by 90°",
            Self::Turned(2) => "turned by 180°",
            Self::Turned(_) => "turned by 270°",
            Self::LeftHalf => "left half only",
            Self::RightHalf => "right half only",
            Self::Inverted => "inverted",
            Self::Blank => "blank",
        }
    }

    /// The flaw by which the gate should name it; `None` for a blank film, which needs no gate.
    pub fn flaw(self) -> Option<Flaw> {
        match self {
            Self::Turned(1) => Some(Flaw::Turned90),
            Self::Turned(2) => Some(Flaw::Turned180),
            Self::Turned(_) => Some(Flaw::Turned270),
            Self::LeftHalf | Self::RightHalf => Some(Flaw::Cropped),
            Self::Inverted => Some(Flaw::Inverted),
            Self::Blank => None,
        }
    }

    /// The code by which the refusal should name it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Turned(_) => "turned",
            Self::LeftHalf | Self::RightHalf => "cropped",
            Self::Inverted => "inverted",
            Self::Blank => "blank",
        }
    }

    /// The spoilt `film`, as a file would hold it.
    pub fn apply(self, film: &Radiograph) -> Radiograph {
        let (width, height) = (film.width, film.height);
        let half = (width / 2).max(1);
        let columns = |from: usize| -> Vec<f32> {
            film.pixels.chunks_exact(width).flat_map(|row| row[from..from + half].iter().copied()).collect()
        };
        let (width, height, pixels) = match self {
            Self::Turned(quarters) => {
                let (mut width, mut height, mut pixels) = (width, height, film.pixels.clone());
                for _ in 0..quarters {
                    // Row y, column x of the turned film: the rows were columns, read from the bottom.
                    let from = |at: usize| (height - 1 - at % height) * width + at / height;
                    pixels = (0..pixels.len()).map(|at| pixels[from(at)]).collect();
                    (width, height) = (height, width);
                }
                (width, height, pixels)
            }
            Self::LeftHalf => (half, height, columns(0)),
            Self::RightHalf => (half, height, columns(width - half)),
            Self::Inverted => (width, height, film.pixels.iter().map(|value| 1.0 - value).collect()),
            Self::Blank => {
                let mean = film.pixels.iter().map(|value| f64::from(*value)).sum::<f64>() / film.pixels.len() as f64;
                (width, height, vec![mean as f32; film.pixels.len()])
            }
        };
        Radiograph { width, height, pixels, provenance: film.provenance.clone() }
    }

    /// The network's input for the spoilt `film`. A film that reading takes for a negative is turned back, as it would be;
    /// but a negative stays one, to learn from those that reading does not find.
    pub fn input(self, film: &Radiograph) -> ModelInput {
        let mut spoilt = self.apply(film);
        if self != Self::Inverted && polarity::is_inverted(&spoilt) {
            spoilt.pixels.iter_mut().for_each(|value| *value = 1.0 - *value);
        }
        ModelInput::from_radiograph(&spoilt)
    }

    /// The spoilt `film` as a PNG file of 8 bits.
    ///
    /// # Errors
    /// If the film has no pixels.
    pub fn file(self, film: &Radiograph) -> Result<Vec<u8>> {
        let Radiograph { width, height, pixels, .. } = self.apply(film);
        let grey = pixels.iter().map(|value| (value * 255.0).round() as u8).collect();
        let image = GrayImage::from_raw(width as u32, height as u32, grey).expect("as many pixels as the size says");
        let mut file = Cursor::new(Vec::new());
        image.write_to(&mut file, ImageFormat::Png)?;
        Ok(file.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn film() -> Radiograph {
        let pixels = [1, 2, 3, 4, 5, 6].map(|value| value as f32 / 10.0).to_vec();
        Radiograph { width: 3, height: 2, pixels, provenance: Default::default() }
    }

    #[test]
    fn each_way_in_closed_form() {
        for (spoilt, width, expected) in [
            (Spoilt::Turned(1), 2, vec![4, 1, 5, 2, 6, 3]),
            (Spoilt::Turned(2), 3, vec![6, 5, 4, 3, 2, 1]),
            (Spoilt::Turned(3), 2, vec![3, 6, 2, 5, 1, 4]),
            (Spoilt::Turned(4), 3, vec![1, 2, 3, 4, 5, 6]),
            (Spoilt::LeftHalf, 1, vec![1, 4]),
            (Spoilt::RightHalf, 1, vec![3, 6]),
            (Spoilt::Inverted, 3, vec![9, 8, 7, 6, 5, 4]),
        ] {
            let result = spoilt.apply(&film());
            let tenths: Vec<i32> = result.pixels.iter().map(|value| (value * 10.0).round() as i32).collect();
            assert_eq!(
                (result.width, result.width * result.height, tenths),
                (width, expected.len(), expected),
                "{spoilt:?}"
            );
        }
        assert!(Spoilt::Blank.apply(&film()).pixels.iter().all(|value| (value - 0.35).abs() < 1e-6));
        assert!(Spoilt::Blank.input(&film()).blank && !Spoilt::Turned(1).input(&film()).blank);
    }

    #[test]
    fn a_spoilt_file_is_read_as_what_it_shows() {
        let read = Radiograph::decode("spoilt.png", &Spoilt::Turned(1).file(&film()).unwrap()).unwrap();
        let expected = Spoilt::Turned(1).apply(&film());
        assert_eq!((read.width, read.height), (2, 3));
        let off = read.pixels.iter().zip(&expected.pixels).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off <= 0.5 / 255.0 + 1e-6, "{off}");
    }

    #[test]
    fn what_the_gate_names_has_the_code_of_the_refusal() {
        for spoilt in Spoilt::ALL {
            let code = spoilt.flaw().map_or("blank", |flaw| deepbreath::decision::Reason::Flawed(flaw).code());
            assert_eq!(code, spoilt.code(), "{spoilt:?}");
        }
    }
}
