//! Brightness and a thumbnail: what a logistic regression makes of them is the least that a network has to beat.

use deepbreath::Radiograph;
use deepbreath::preprocess::resize;

/// Side of the thumbnail.
const THUMBNAIL: usize = 8;
/// Number of features: mean, deviation, four corners, border, shares of black and white, thumbnail.
pub const WIDTH: usize = 9 + THUMBNAIL * THUMBNAIL;
/// Corners are this part of the width and height.
const CORNER: usize = 8;
/// The border is this part of the width and height, on each side.
const BORDER: usize = 16;
/// Grey values up to this count as black, from `1 - BLACK` on as white: ten grey levels of 256, for JPEG's noise.
const BLACK: f32 = 10.0 / 255.0;
/// Their name in reports.
pub const METHOD: &str = "trivial features";
/// In words, for reports.
pub const DESCRIPTION: &str = "Trivial features: mean and spread of the grey values, four corners, border, share of \
    black and of white, 8x8 thumbnail; no shape, no network. The same folds, the same logistic regression.";

/// The features of `film`, `[WIDTH]`, each in 0..=1. Width and height do not enter.
pub fn features(film: &Radiograph) -> Vec<f32> {
    let (width, height, pixels) = (film.width, film.height, &film.pixels);
    let mean_where = |inside: &dyn Fn(usize, usize) -> bool| {
        let (mut sum, mut count) = (0.0f64, 0u32);
        for (row, line) in pixels.chunks_exact(width).enumerate() {
            for (_, value) in line.iter().enumerate().filter(|(column, _)| inside(row, *column)) {
                sum += f64::from(*value);
                count += 1;
            }
        }
        (sum / f64::from(count.max(1))) as f32
    };
    let count = pixels.len() as f64;
    let mean = pixels.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
    let variance = pixels.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / count;
    let share = |of: &dyn Fn(f32) -> bool| (pixels.iter().filter(|value| of(**value)).count() as f64 / count) as f32;
    let mut features = vec![mean as f32, variance.sqrt() as f32];
    let (tall, wide) = (height.div_ceil(CORNER), width.div_ceil(CORNER));
    for (bottom, right) in [(false, false), (false, true), (true, false), (true, true)] {
        features.push(mean_where(&|row, column| {
            (if bottom { row >= height - tall } else { row < tall })
                && (if right { column >= width - wide } else { column < wide })
        }));
    }
    let (tall, wide) = (height.div_ceil(BORDER), width.div_ceil(BORDER));
    features
        .push(mean_where(&|row, column| row < tall || row >= height - tall || column < wide || column >= width - wide));
    features.push(share(&|value| value <= BLACK));
    features.push(share(&|value| value >= 1.0 - BLACK));
    features.extend(resize(pixels, width, height, THUMBNAIL, THUMBNAIL));
    features
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bright_corner_is_seen_where_it_is() {
        let (width, height) = (64, 32);
        let bytes = {
            let mut film = image::GrayImage::new(width, height);
            for (column, row) in (0..width / 8).flat_map(|column| (0..height / 8).map(move |row| (column, row))) {
                film.put_pixel(width - 1 - column, row, image::Luma([255]));
            }
            let mut bytes = std::io::Cursor::new(Vec::new());
            film.write_to(&mut bytes, image::ImageFormat::Png).expect("a PNG");
            bytes.into_inner()
        };
        let film = Radiograph::decode("corner.png", &bytes).expect("a film");
        let features = features(&film);
        assert_eq!(features.len(), WIDTH);
        let share = 1.0 / 64.0;
        assert!((features[0] - share).abs() < 1e-6, "mean {}", features[0]);
        assert!((features[1] - (share * (1.0 - share)).sqrt()).abs() < 1e-6, "deviation {}", features[1]);
        assert_eq!(features[2..6], [0.0, 1.0, 0.0, 0.0]);
        assert!((features[7] - (1.0 - share)).abs() < 1e-6 && (features[8] - share).abs() < 1e-6);
        let brightest = (0..64).max_by(|a, b| features[9 + a].total_cmp(&features[9 + b]));
        assert_eq!(brightest, Some(7), "upper right of the thumbnail");
    }
}
