//! The ways in which an audit shows a film to the network: whole, and with something taken away.

use deepbreath::Radiograph;
use deepbreath::mask::{BORDER, CORNER, Mask, OUTLINE};
use deepbreath::preprocess::{ModelInput, PREPROCESSING, SIDE, resize};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::sampler::stream;

/// Share of films on which a cell is lung, from which on the block over the chest reaches it.
const OFTEN: f32 = 0.3;
/// Cells a side of what is left of a blurred film.
const COARSE: usize = 8;
/// See [`STANDS_OUT`].
const AROUND: usize = 16;

/// A way to show a film.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum View {
    /// As it is.
    Whole,
    /// Its lungs black, outlined by the localiser.
    LungsHidden,
    /// A black block over the place of the lungs, the same on every film.
    ChestHidden,
    /// Nothing but its lungs.
    LungsOnly,
    /// Nothing but the outermost tenth.
    BorderOnly,
    /// Its corners black, and bright marks outside the lungs (letters, side markers) filled with the grey around them.
    MarksErased,
    /// Blurred to 8 x 8 blocks.
    Blurred,
    /// Its pixels in random order, another one for every film.
    Shuffled,
}

impl View {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 8] = [
        Self::Whole,
        Self::LungsHidden,
        Self::ChestHidden,
        Self::LungsOnly,
        Self::BorderOnly,
        Self::MarksErased,
        Self::Blurred,
        Self::Shuffled,
    ];

    /// For reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole film",
            Self::LungsHidden => "lungs blacked out",
            Self::ChestHidden => "whole chest blacked out",
            Self::LungsOnly => "only the lungs",
            Self::BorderOnly => "only the outer border",
            Self::MarksErased => "corners and markers erased",
            Self::Blurred => "blurred to 8 x 8 blocks",
            Self::Shuffled => "pixels shuffled",
        }
    }

    /// What it asks, in a sentence.
    pub fn question(self) -> &'static str {
        match self {
            Self::Whole => "What the classifier is used for.",
            Self::LungsHidden => {
                "Pneumonia is in the lungs. Whatever is still right here was hardly read from them, though strips of them \
                 and the outline of the black remain."
            }
            Self::ChestHidden => {
                "A block over the place of the lungs, the same on every film: hardly anything of their outline is left."
            }
            Self::LungsOnly => "Everything but the lungs is black. A classifier that reads lungs should do well here.",
            Self::BorderOnly => "The outermost tenth: collimator, letters, background. There is hardly any lung in it.",
            Self::MarksErased => "Without side markers and letters. If the figure falls, these were being read.",
            Self::Blurred => {
                "Posture, exposure and size of the patient stay, and so do large opacities, such as a white lung."
            }
            Self::Shuffled => "Nothing but how many pixels are how bright. A control.",
        }
    }

    /// What is covered or filled on `film`, for the views that take a part away.
    pub fn mask(self, film: &Radiograph) -> Option<Mask> {
        match self {
            Self::LungsHidden => Some(Mask::lungs(film, OUTLINE)),
            Self::LungsOnly => Some(Mask::lungs(film, OUTLINE).complement()),
            Self::ChestHidden | Self::BorderOnly => Some(self.fixed()),
            Self::MarksErased => Some(self.fixed().union(&marks(film))),
            Self::Whole | Self::Blurred | Self::Shuffled => None,
        }
    }

    /// Whether what it shows depends on where the lungs are.
    pub(super) fn asks_for_lungs(self) -> bool {
        matches!(self, Self::LungsHidden | Self::ChestHidden | Self::LungsOnly | Self::MarksErased)
    }

    /// What is covered whatever the film.
    pub(super) fn fixed(self) -> Mask {
        match self {
            Self::ChestHidden => block(&Mask::usual_lungs(OFTEN)),
            Self::BorderOnly => Mask::frame(BORDER).complement(),
            Self::MarksErased => Mask::corners(CORNER),
            _ => Mask::empty(),
        }
    }

    /// The network's input for film number `index`.
    pub fn input(self, film: &Radiograph, index: usize) -> ModelInput {
        let mut plane = resize(&film.pixels, film.width, film.height, SIDE, SIDE);
        match (self, self.mask(film)) {
            // A black hole where a letter was would tell of the letter.
            (Self::MarksErased, _) => {
                let (marks, corners) = (marks(film), self.fixed());
                plane
                    .iter_mut()
                    .zip(corners.cells())
                    .filter(|(_, corner)| **corner)
                    .for_each(|(value, _)| *value = 0.0);
                let around = blurred(&plane, AROUND);
                let marked = marks.cells().iter().zip(corners.cells()).map(|(mark, corner)| *mark && !*corner);
                plane
                    .iter_mut()
                    .zip(around.iter().zip(marked))
                    .filter(|(_, (_, marked))| *marked)
                    .for_each(|(value, (around, _))| *value = *around);
            }
            (_, Some(mask)) => return ModelInput::covered(film, &mask),
            (Self::Blurred, _) => plane = blurred(&plane, COARSE),
            (Self::Shuffled, _) => plane.shuffle(&mut stream(0, [7, index as u64, 0])),
            _ => {}
        }
        ModelInput::from_plane(plane)
    }
}

/// A plane without anything smaller than one of `cells` x `cells` blocks.
fn blurred(plane: &[f32], cells: usize) -> Vec<f32> {
    resize(&resize(plane, SIDE, SIDE, cells, cells), cells, cells, SIDE, SIDE)
}

/// The smallest rectangle around what `mask` covers.
fn block(mask: &Mask) -> Mask {
    let covered = || mask.cells().iter().enumerate().filter(|(_, covered)| **covered).map(|(cell, _)| cell);
    let span = |at: &dyn Fn(usize) -> usize| {
        let (first, last) = (covered().map(at).min().unwrap_or(0), covered().map(at).max().unwrap_or(0));
        (first as f32 / SIDE as f32, (last + 1) as f32 / SIDE as f32)
    };
    let ((left, right), (top, bottom)) = (span(&|cell| cell % SIDE), span(&|cell| cell / SIDE));
    Mask::from_fn(|x, y| x > left && x < right && y > top && y < bottom)
}

/// Bright marks that were laid over the film (letters, arrows, side markers), outside the place of the lungs, with a
/// margin. What stands in the corners, which are black anyway, changes nothing.
fn marks(film: &Radiograph) -> Mask {
    let seen = ModelInput::covered(film, &View::MarksErased.fixed()).values;
    let plane: Vec<f32> =
        seen[..SIDE * SIDE].iter().map(|value| value * PREPROCESSING.std + PREPROCESSING.mean).collect();
    Mask::marks_in(&plane, &Mask::usual_lungs(OUTLINE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn film(pixel: impl Fn(usize, usize) -> f32) -> Radiograph {
        let pixels = (0..SIDE * SIDE).map(|at| pixel(at / SIDE, at % SIDE)).collect();
        Radiograph { width: SIDE, height: SIDE, pixels, provenance: Default::default() }
    }

    #[test]
    fn a_small_bright_mark_is_found_and_a_bright_half_is_not() {
        // A slope, so that the film has a grey range besides the mark, which is too small to set it.
        let slope = |row: usize| 0.2 + 0.3 * row as f32 / SIDE as f32;
        let marked = film(|row, column| if row < 6 && (100..112).contains(&column) { 1.0 } else { slope(row) });
        let mask = marks(&marked);
        assert!(mask.cells()[3 * SIDE + 105] && mask.cells()[7 * SIDE + 105] && !mask.cells()[30 * SIDE + 105]);
        // Beside the black corners bright tissue stands out as well.
        assert!((0.0025..0.02).contains(&mask.area()), "{}", mask.area());
        let erased = View::MarksErased.input(&marked, 0).values;
        assert!(erased[3 * SIDE + 105] < 0.7, "filled with the grey around it: {}", erased[3 * SIDE + 105]);
        assert!(erased[SIDE + 5] == erased.iter().copied().fold(f32::INFINITY, f32::min), "corners are black");
        let half = marks(&film(|row, _| if row < 40 { 1.0 } else { 0.3 })).area();
        assert!(half < 0.05, "only the edge may be taken for marks: {half}");
    }

    #[test]
    fn views_hide_what_they_say() {
        let noise = film(|row, column| ((row * 7919 + column * 104_729) % 1021) as f32 / 1020.0);
        let area = |view: View| view.mask(&noise).expect("it covers something").area();
        assert!((area(View::BorderOnly) - 0.64).abs() < 0.02);
        assert!((area(View::LungsHidden) + area(View::LungsOnly) - 1.0).abs() < 1e-9);
        assert!((0.5..0.8).contains(&area(View::ChestHidden)), "{}", area(View::ChestHidden));
        let chest = View::ChestHidden.mask(&noise).expect("a block");
        let lungs = Mask::usual_lungs(OFTEN);
        assert!(
            lungs.cells().iter().zip(chest.cells()).all(|(lung, chest)| *chest || !*lung),
            "the block holds all lungs"
        );
        assert_eq!(View::Whole.input(&noise, 0), ModelInput::from_radiograph(&noise));
    }

    #[test]
    fn shuffling_keeps_the_values_and_blurring_keeps_no_detail() {
        let noise = film(|row, column| ((row * 7919 + column * 104_729) % 1021) as f32 / 1020.0);
        let sorted = |view: View, index: usize| {
            let mut values = view.input(&noise, index).values;
            values.sort_by(f32::total_cmp);
            values
        };
        assert_eq!(sorted(View::Shuffled, 3), sorted(View::Whole, 0));
        assert_ne!(View::Shuffled.input(&noise, 3), View::Shuffled.input(&noise, 4));
        assert_eq!(View::Shuffled.input(&noise, 3), View::Shuffled.input(&noise, 3));
        let checks = film(
            |row, column| if (row / 2 + column / 2) % 2 == 0 { 0.4 } else { 0.6 } + if row < 112 { 0.0 } else { 0.4 },
        );
        let blurred = View::Blurred.input(&checks, 0).values;
        assert!((blurred[50 * SIDE + 50] - blurred[50 * SIDE + 52]).abs() < 0.02, "no checks");
        assert!(blurred[200 * SIDE + 50] - blurred[20 * SIDE + 50] > 1.0, "the halves stay");
    }
}
