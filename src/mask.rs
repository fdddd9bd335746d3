//! Parts of a film that the network shall not see, and the network's input without them.
//!
//! A [`Mask`] lies on the grid of the network's input, 224 x 224 cells over the whole film whatever its shape
//! (preprocessing drops the aspect ratio), so a place on the film is a pair of fractions of its width and height.
//! Covered cells become black *before* the grey range is stretched: the network then gets exactly what it would get for
//! a film with black paper over these parts. For shortcut audits: what is left to a classifier when the lungs are hidden?

use crate::lungs::{Localiser, enlarge};
use crate::preprocess::{ModelInput, SIDE, grey_plane, resize};
use crate::{Error, Radiograph};

/// Number of cells of a mask.
pub const CELLS: usize = SIDE * SIDE;
/// Cells that are lung by at least this are inside the outline, see [`Mask::lungs`].
pub const OUTLINE: f32 = 0.5;
/// Part of the side that counts as border, see [`Mask::frame`].
pub const BORDER: f32 = 0.1;
/// Part of the width and height that counts as a corner, see [`Mask::corners`].
pub const CORNER: f32 = 0.18;

/// A mark is at least this bright (1 is the film's white) ...
const MARK: f32 = 0.9;
/// ... and by this brighter than the film around it, blurred to [`AROUND`] cells a side.
const STANDS_OUT: f32 = 0.3;
/// See [`STANDS_OUT`].
const AROUND: usize = 16;
/// Cells that are covered around a mark.
const MARGIN: usize = 2;

/// Which cells of the input are covered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    /// `CELLS` of them, row-major.
    covered: Vec<bool>,
}

impl Mask {
    /// Covers nothing.
    pub fn empty() -> Self {
        Self { covered: vec![false; CELLS] }
    }

    /// From one byte a cell, row-major: 0 leaves a cell as it is, anything else covers it.
    ///
    /// # Errors
    /// [`Error::Mask`] if there are not [`CELLS`] bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() != CELLS {
            return Err(Error::Mask { reason: format!("{} bytes instead of {SIDE} x {SIDE}", bytes.len()) });
        }
        Ok(Self { covered: bytes.iter().map(|byte| *byte != 0).collect() })
    }

    /// Covers the cells whose centre `(x, y)` satisfies `inside`; `x` and `y` are fractions of the film's width and
    /// height, 0 to 1 from the upper left.
    pub fn from_fn(inside: impl Fn(f32, f32) -> bool) -> Self {
        let centre = |cell: usize| (cell as f32 + 0.5) / SIDE as f32;
        Self { covered: (0..CELLS).map(|cell| inside(centre(cell % SIDE), centre(cell / SIDE))).collect() }
    }

    /// Covers a rectangle; `left`, `top`, `width` and `height` are fractions of the film. What lies beyond it is cut off.
    pub fn rectangle(left: f32, top: f32, width: f32, height: f32) -> Self {
        Self::from_fn(|x, y| x >= left && x < left + width && y >= top && y < top + height)
    }

    /// Covers an ellipse with this centre and these radii along the axes, in fractions of the film.
    /// A radius of 0 or below covers nothing.
    pub fn ellipse(centre: (f32, f32), radius: (f32, f32)) -> Self {
        let part = |at: f32, centre: f32, radius: f32| ((at - centre) / radius).powi(2);
        let real = radius.0 > 0.0 && radius.1 > 0.0;
        Self::from_fn(|x, y| real && part(x, centre.0, radius.0) + part(y, centre.1, radius.1) <= 1.0)
    }

    /// Covers the outermost `width` of the film at each edge (a fraction of its side).
    pub fn frame(width: f32) -> Self {
        Self::rectangle(width, width, 1.0 - 2.0 * width, 1.0 - 2.0 * width).complement()
    }

    /// Covers the four corners, `side` of the film's width and height each: where letters and side markers stand.
    pub fn corners(side: f32) -> Self {
        Self::from_fn(|x, y| (x < side || x >= 1.0 - side) && (y < side || y >= 1.0 - side))
    }

    /// Covers the lungs of a film, as far as [`Localiser::fitted`] finds them: cells that are lung by at least `share`.
    /// 0.5 is their outline, less covers somewhat more.
    pub fn lungs(radiograph: &Radiograph, share: f32) -> Self {
        Self { covered: Localiser::fitted().locate(radiograph).iter().map(|lung| *lung >= share).collect() }
    }

    /// Covers where lungs usually lie: the same cells on every film, so that the mask's shape tells nothing about it.
    /// Cells that are inside the outline of at least `share` of the films of [`Localiser`]; 0.5 is the typical lung, 0.05
    /// nearly every lung.
    pub fn usual_lungs(share: f32) -> Self {
        Self { covered: enlarge(&Localiser::fitted().lungs).iter().map(|lungs| *lungs >= share).collect() }
    }

    /// Covers bright marks that were laid over a film (letters, arrows, side markers), outside its lungs, with a margin.
    pub fn marks(radiograph: &Radiograph) -> Self {
        Self::marks_in(&grey_plane(radiograph), &Self::lungs(radiograph, OUTLINE))
    }

    /// The same in a plane of [`CELLS`] grey values from 0 to 1, outside what `spared` covers.
    ///
    /// # Panics
    /// If the plane has another size.
    pub fn marks_in(plane: &[f32], spared: &Self) -> Self {
        let around = resize(&resize(plane, SIDE, SIDE, AROUND, AROUND), AROUND, AROUND, SIDE, SIDE);
        let mut covered = vec![false; CELLS];
        for cell in 0..CELLS {
            if plane[cell] < MARK || plane[cell] - around[cell] < STANDS_OUT || spared.covered[cell] {
                continue;
            }
            let near = |at: usize| at.saturating_sub(MARGIN)..=(at + MARGIN).min(SIDE - 1);
            for row in near(cell / SIDE) {
                covered[row * SIDE..][near(cell % SIDE)].fill(true);
            }
        }
        Self { covered }
    }

    /// Covers what this mask leaves, and leaves what it covers.
    pub fn complement(mut self) -> Self {
        self.covered.iter_mut().for_each(|covered| *covered = !*covered);
        self
    }

    /// Covers what either mask covers.
    pub fn union(mut self, other: &Self) -> Self {
        self.covered.iter_mut().zip(&other.covered).for_each(|(covered, other)| *covered |= other);
        self
    }

    /// Whether each cell is covered: [`CELLS`] values, row-major.
    pub fn cells(&self) -> &[bool] {
        &self.covered
    }

    /// Share of the film that is covered, 0 to 1.
    pub fn area(&self) -> f64 {
        self.covered.iter().filter(|covered| **covered).count() as f64 / CELLS as f64
    }
}

impl ModelInput {
    /// As [`ModelInput::from_radiograph`], with the cells of `mask` painted black (0) before the grey range is stretched.
    pub fn covered(radiograph: &Radiograph, mask: &Mask) -> Self {
        let mut plane = resize(&radiograph.pixels, radiograph.width, radiograph.height, SIDE, SIDE);
        for (value, covered) in plane.iter_mut().zip(&mask.covered) {
            if *covered {
                *value = 0.0;
            }
        }
        Self::from_plane(plane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(mask: &Mask) -> usize {
        mask.cells().iter().filter(|covered| **covered).count()
    }

    #[test]
    fn shapes_cover_their_area() {
        let quarter = Mask::rectangle(0.25, 0.5, 0.5, 0.5);
        assert_eq!(count(&quarter), CELLS / 4);
        let cell = |row: usize, column: usize| quarter.cells()[row * SIDE + column];
        assert!(cell(112, 56) && cell(223, 167) && !cell(111, 56) && !cell(112, 55) && !cell(112, 168));
        for (mask, area) in [
            (Mask::empty(), 0.0),
            (Mask::rectangle(-1.0, -1.0, 9.0, 9.0), 1.0),
            (Mask::rectangle(0.5, 0.5, 0.0, 0.5), 0.0),
            (Mask::ellipse((0.5, 0.5), (0.5, 0.25)), std::f64::consts::PI / 8.0),
            (Mask::ellipse((0.5, 0.5), (0.0, 0.25)), 0.0),
            (Mask::frame(0.125), 1.0 - 0.75 * 0.75),
            (Mask::corners(0.25), 0.25),
        ] {
            assert!((mask.area() - area).abs() < 2e-3, "{} instead of {area}", mask.area());
        }
    }

    #[test]
    fn complement_and_union() {
        let (left, right) = (Mask::rectangle(0.0, 0.0, 0.5, 1.0), Mask::rectangle(0.5, 0.0, 0.5, 1.0));
        assert_eq!(left.clone().complement(), right);
        assert_eq!(left.clone().union(&right).area(), 1.0);
        assert_eq!(left.clone().union(&Mask::empty()), left);
    }

    #[test]
    fn bytes_are_read_and_counted() {
        let mut bytes = vec![0; CELLS];
        bytes[SIDE + 2] = 7;
        let mask = Mask::from_bytes(&bytes).unwrap();
        assert_eq!((count(&mask), mask.cells()[SIDE + 2]), (1, true));
        let error = Mask::from_bytes(&bytes[1..]).unwrap_err();
        assert_eq!(error.code(), "mask");
        assert!(error.to_string().contains("50175"), "{error}");
    }

    /// Half white, half grey; with the white half covered the grey becomes the brightest of the film.
    #[test]
    fn covered_cells_are_black_before_the_stretch() {
        let pixels = (0..2 * CELLS).map(|at| if at % (2 * SIDE) < SIDE { 1.0 } else { 0.5 }).collect();
        let film = Radiograph { width: 2 * SIDE, height: SIDE, pixels, provenance: Default::default() };
        let seen = ModelInput::covered(&film, &Mask::rectangle(0.0, 0.0, 0.5, 1.0)).values;
        let (black, white) = (-127.0 / 128.0, 1.0);
        for row in seen.chunks_exact(SIDE) {
            assert!(row[..SIDE / 2 - 1].iter().all(|value| (value - black).abs() < 1e-6), "{row:?}");
            assert!(row[SIDE / 2 + 1..].iter().all(|value| (value - white).abs() < 1e-6), "{row:?}");
        }
        assert_eq!(ModelInput::covered(&film, &Mask::empty()), ModelInput::from_radiograph(&film));
        let nothing = ModelInput::covered(&film, &Mask::empty().complement()).values;
        assert!(nothing.iter().all(|value| (value - black).abs() < 1e-6));
    }

    #[test]
    fn a_letter_is_covered_with_its_margin_and_a_bright_part_of_the_film_is_not() {
        let film = |pixel: &dyn Fn(usize, usize) -> f32| Radiograph {
            width: SIDE,
            height: SIDE,
            pixels: (0..CELLS).map(|at| pixel(at / SIDE, at % SIDE)).collect(),
            provenance: Default::default(),
        };
        let ground = |row: usize| 0.2 + 0.6 * row as f32 / SIDE as f32;
        let letter = |row: usize, column: usize| (4..10).contains(&row) && (100..112).contains(&column);
        let marked = Mask::marks(&film(&|row, column| if letter(row, column) { 1.0 } else { ground(row) }));
        assert_eq!(count(&marked), (6 + 2 * MARGIN) * (12 + 2 * MARGIN));
        assert!(marked.cells()[7 * SIDE + 105] && !marked.cells()[20 * SIDE + 105]);
        assert_eq!(Mask::marks(&film(&|row, _| ground(row))), Mask::empty());
    }

    #[test]
    fn lungs_take_their_part_of_the_film() {
        let typical = Mask::usual_lungs(0.5).area();
        assert!((0.25..0.5).contains(&typical), "{typical}");
        assert!(Mask::usual_lungs(0.05).area() > typical);
        assert_eq!(Mask::usual_lungs(1.5), Mask::empty());
        // A film without any contrast has the mean film's lungs or close to it.
        let flat = Radiograph { width: 8, height: 8, pixels: vec![0.5; 64], provenance: Default::default() };
        assert!((0.15..0.7).contains(&Mask::lungs(&flat, 0.5).area()));
        assert!(Mask::lungs(&flat, 0.2).area() > Mask::lungs(&flat, 0.5).area());
    }
}
