//! A film's lungs within another film's surroundings, so that the surroundings tell nothing of the label.
//!
//! What lies around the lungs (borders, collimation, arms, captions, the grey of the neck) names the hospital, and the
//! hospital often names the label. A film keeps its label and its lungs, and gets all else from another film of any label
//! and source, as in cut-and-paste augmentation (Dwibedi et al. 2017) and background swaps (Xiao et al. 2021, "Noise or
//! signal"). Lungs are found by the library's localiser, so their outline is rough; both films' lungs are taken from the
//! one film, so that nothing of the other's disease comes along.

use deepbreath::Radiograph;
use deepbreath::lungs::{Localiser, THUMBNAIL, thumbnail};
use deepbreath::preprocess::resize;

/// Shares of lung in a cell between which the seam fades; the outline of a lung is at 0.5.
const SEAM: [f32; 2] = [0.1, 0.35];
/// The surroundings' contrast is changed by no more than this factor either way.
const MOST_CONTRAST: f32 = 2.0;

/// `film` with all but the lungs from `other`; both are squares of `side`, values in 0..=1, row-major.
///
/// The surroundings take the grey scale that gives their own film's lungs the mean and spread of the first film's.
///
/// # Panics
/// If a plane has another size.
pub fn swap_surroundings(film: &[f32], other: &[f32], side: usize) -> Vec<f32> {
    let (own, others) = (lungs(film, side), lungs(other, side));
    let (mean, spread) = grey_within(film, &own);
    let (other_mean, other_spread) = grey_within(other, &others);
    let contrast = (spread / other_spread.max(1e-3)).clamp(1.0 / MOST_CONTRAST, MOST_CONTRAST);
    let scaled = other.iter().map(|value| ((value - other_mean) * contrast + mean).clamp(0.0, 1.0));
    let share = own.iter().zip(&others).map(|(own, others)| fade(own.max(*others)));
    film.iter().zip(scaled).zip(share).map(|((film, other), share)| share * film + (1.0 - share) * other).collect()
}

/// How much of each pixel is lung, about 0 to 1.
fn lungs(plane: &[f32], side: usize) -> Vec<f32> {
    assert_eq!(plane.len(), side * side, "the plane must be {side} x {side}");
    let film = Radiograph { width: side, height: side, pixels: plane.to_vec(), provenance: Default::default() };
    resize(&Localiser::fitted().draw(&thumbnail(&film)), THUMBNAIL, THUMBNAIL, side, side)
}

/// 0 below the seam, 1 above it.
fn fade(lung: f32) -> f32 {
    ((lung - SEAM[0]) / (SEAM[1] - SEAM[0])).clamp(0.0, 1.0)
}

/// Mean and standard deviation of the grey values, weighed by `weights`; negative weights count as 0.
fn grey_within(plane: &[f32], weights: &[f32]) -> (f32, f32) {
    let weights = || weights.iter().map(|weight| weight.max(0.0));
    let total = weights().sum::<f32>().max(1e-6);
    let mean = plane.iter().zip(weights()).map(|(value, weight)| value * weight).sum::<f32>() / total;
    let variance =
        plane.iter().zip(weights()).map(|(value, weight)| weight * (value - mean).powi(2)).sum::<f32>() / total;
    (mean, variance.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 256;

    /// Dark lungs where lungs usually lie, in a body of grey `body`, between borders of grey `border`.
    fn film(lung: f32, body: f32, border: f32) -> Vec<f32> {
        let usual = resize(&Localiser::fitted().lungs, THUMBNAIL, THUMBNAIL, SIDE, SIDE);
        let pixel = |at: usize| match (at % SIDE, usual[at]) {
            (x, _) if !(20..SIDE - 20).contains(&x) => border,
            (x, share) => body + (lung - body) * share.clamp(0.0, 1.0) + 0.02 * (x % 7) as f32 / 7.0,
        };
        (0..SIDE * SIDE).map(pixel).collect()
    }

    #[test]
    fn lungs_stay_and_all_else_comes_from_the_other_film() {
        let (one, other) = (film(0.25, 0.6, 0.1), film(0.25, 0.6, 0.9));
        let swapped = swap_surroundings(&one, &other, SIDE);
        let at = |x: usize, y: usize| y * SIDE / 100 * SIDE + x * SIDE / 100;
        for lung in [at(28, 45), at(72, 45)] {
            assert_eq!(swapped[lung], one[lung]);
        }
        for border in [at(2, 50), at(98, 50), at(3, 3)] {
            // Far from the film's own 0.1; not 0.9, as the other film is brought to the first one's grey scale.
            assert!(swapped[border] > 0.5, "{}", swapped[border]);
        }
        assert!(swapped.iter().all(|value| (0.0..=1.0).contains(value)));
    }

    #[test]
    fn a_film_in_its_own_surroundings_is_itself() {
        let one = film(0.3, 0.7, 0.0);
        let same = swap_surroundings(&one, &one, SIDE);
        assert!(one.iter().zip(&same).all(|(one, same)| (one - same).abs() < 1e-5));
    }

    #[test]
    fn a_darker_film_s_surroundings_are_brightened_alike() {
        let one = film(0.4, 0.7, 0.2);
        let darker: Vec<f32> = one.iter().map(|value| value * 0.6 + 0.05).collect();
        let swapped = swap_surroundings(&one, &darker, SIDE);
        let apart = one.iter().zip(&swapped).map(|(one, swapped)| (one - swapped).abs()).fold(0.0, f32::max);
        assert!(apart < 0.01, "{apart}");
    }

    #[test]
    fn flat_films_give_numbers() {
        let swapped = swap_surroundings(&vec![0.5; SIDE * SIDE], &film(0.2, 0.8, 0.0), SIDE);
        assert!(swapped.iter().all(|value| (0.0..=1.0).contains(value)));
    }
}
