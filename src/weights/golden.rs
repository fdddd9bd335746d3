//! Known inputs: drawn by integer arithmetic, so they are equal to the bit on every machine.

use crate::preprocess::{ModelInput, SIDE, resize};
use serde::{Deserialize, Serialize};

/// A known input and what the weights answer to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// The input.
    pub pattern: Pattern,
    /// [`Pattern::digest`]: tells apart a changed preprocessing from a wrong network.
    pub digest: String,
    /// The logits, in the order of the classes.
    pub logits: Vec<f32>,
    /// How far a logit may lie from the one stored here.
    pub tolerance: f32,
}

/// A synthetic image of 8-bit grey values, drawn by code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pattern {
    /// 300 x 260: two crossing triangular waves, smooth and of high contrast.
    Waves,
    /// 150 x 400: a wave under noise of a linear congruential generator.
    Noise,
}

impl Pattern {
    /// Every pattern.
    pub const ALL: [Self; 2] = [Self::Waves, Self::Noise];

    /// Width, height and `width * height` grey values, row-major.
    pub fn draw(self) -> (usize, usize, Vec<u8>) {
        let (width, height) = match self {
            Self::Waves => (300, 260),
            Self::Noise => (150, 400),
        };
        let mut state = 1u32;
        let mut pixels = Vec::with_capacity(width * height);
        for y in 0..height as u32 {
            for x in 0..width as u32 {
                pixels.push(match self {
                    Self::Waves => ((wave(3 * x + y) + wave(2 * y + 70)) / 2) as u8,
                    Self::Noise => {
                        // Constants of Numerical Recipes (3rd edition, section 7.1.4); the upper bits are the good ones.
                        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        ((wave(2 * x + y) + (state >> 24)) / 2) as u8
                    }
                });
            }
        }
        (width, height, pixels)
    }

    /// The pattern after the preprocessing of every image.
    pub fn input(self) -> ModelInput {
        let (width, height, pixels) = self.draw();
        let grey: Vec<f32> = pixels.iter().map(|pixel| f32::from(*pixel) / 255.0).collect();
        ModelInput::from_plane(resize(&grey, width, height, SIDE, SIDE))
    }

    /// [`ModelInput::digest`] of [`Self::input`].
    pub fn digest(self) -> String {
        self.input().digest()
    }
}

/// A triangle: 0 at multiples of 512, 255 half-way.
fn wave(position: u32) -> u32 {
    let phase = position % 512;
    if phase < 256 { phase } else { 511 - phase }
}

#[cfg(test)]
mod tests {
    use crate::digest::sha256;

    use super::*;

    #[test]
    fn the_wave_is_a_triangle() {
        assert_eq!([0, 1, 255, 256, 511, 512].map(wave), [0, 1, 255, 255, 0, 0]);
    }

    #[test]
    fn patterns_are_fixed() {
        let sum = |pattern: Pattern| {
            let (width, height, pixels) = pattern.draw();
            assert_eq!(pixels.len(), width * height);
            sha256(&[&pixels])[..12].to_owned()
        };
        // Computed by a second program in another language.
        assert_eq!(Pattern::ALL.map(sum), ["e2eb8e8b819f", "17e03a882c7d"]);
    }

    #[test]
    fn inputs_differ_and_are_finite() {
        let [one, other] = Pattern::ALL.map(Pattern::input);
        assert_eq!(one.values.len(), 3 * SIDE * SIDE);
        assert_ne!(one, other);
        assert!(one.values.iter().chain(&other.values).all(|value| value.is_finite()));
        assert_ne!(Pattern::Waves.digest(), Pattern::Noise.digest());
    }
}
