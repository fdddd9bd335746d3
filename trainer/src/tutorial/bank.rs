//! What the frozen backbone says of every film under every rotation, computed once for all seeds.
//!
//! Legend: `B` images, `C` channels (1280), maps are `[B, 7, 7, C]`.

use anyhow::{Result, bail};
use burn::tensor::{Device, Tensor};
use deepbreath::model::{Model, NormMode, pool};
use deepbreath::preprocess::{ModelInput, SIDE, resize};
use rayon::prelude::*;
use std::sync::atomic::Ordering;

use crate::augment::interpolate;
use crate::dataset::Film;
use crate::films;
use crate::training::INTERRUPTED;

/// Side of the average pool, in cells of the feature map; its stride too.
pub const POOL: usize = 4;
/// Pixels at each edge of the input that [`View::Frame`] leaves, a tenth of the side.
pub const FRAME: usize = SIDE / 10;
/// Images of a forward pass.
const BATCH: usize = 16;

/// How much of a film the backbone gets to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// The film.
    Whole,
    /// The film as this project's preprocessing gives it to every network, and of the last map not a corner but the mean
    /// of all cells: what the weights file for the site is made of, see [`super::weights`].
    Preprocessed,
    /// Its outermost [`FRAME`] pixels; everything within is painted grey. A control: what a head makes of this needs no
    /// lungs.
    Frame,
}

/// Pooled features of each film under each whole angle from `-rotation` to `rotation` degrees.
#[derive(Debug, Clone)]
pub struct Bank {
    rotation: usize,
    /// `[films][angles]` rows of `C`.
    rows: Vec<Vec<Vec<f32>>>,
}

impl Bank {
    /// Decodes the films, rotates what `view` leaves of them and runs `model` (folded, on `device`). `progress` is told
    /// how many images are done.
    ///
    /// # Errors
    /// If a film cannot be decoded (the message names it), or Ctrl-C was pressed.
    pub fn compute(
        films: &[Film],
        view: View,
        rotation: usize,
        model: &Model,
        device: &Device,
        progress: &dyn Fn(usize),
    ) -> Result<Self> {
        let planes: Vec<Vec<f32>> = films.par_iter().map(|film| plane(film, view)).collect::<Result<_>>()?;
        let angles = 2 * rotation + 1;
        let views: Vec<(usize, usize)> = (0..films.len() * angles).map(|view| (view / angles, view % angles)).collect();
        let mut rows = vec![Vec::with_capacity(angles); films.len()];
        let mut done = 0;
        for batch in views.chunks(BATCH) {
            if INTERRUPTED.load(Ordering::Relaxed) {
                bail!("stopped; go on with the same command and --resume");
            }
            let input = |(film, angle): &(usize, usize)| {
                let plane = rotate(&planes[*film], *angle as f32 - rotation as f32);
                if view == View::Preprocessed {
                    return ModelInput::from_plane(plane);
                }
                // Not `ModelInput::from_plane`: the protocol divides by 255 and stops there.
                ModelInput { values: plane.repeat(3), blank: false }
            };
            let inputs: Vec<ModelInput> = batch.par_iter().map(input).collect();
            let map = model.feature_map(ModelInput::to_batch(&inputs, device), NormMode::Frozen);
            let pooled = if view == View::Preprocessed { pool(map) } else { corner_pool(map) };
            let values = pooled.into_data().convert::<f32>().try_into_vec::<f32>().expect("32-bit values");
            for ((film, _), row) in batch.iter().zip(values.chunks_exact(values.len() / batch.len())) {
                rows[*film].push(row.to_vec());
            }
            done += batch.len();
            progress(done);
        }
        Ok(Self { rotation, rows })
    }

    /// Number of angles of a film.
    pub fn angles(&self) -> usize {
        2 * self.rotation + 1
    }

    /// Features `[C]` of a film under the angle `angle - rotation` degrees.
    ///
    /// # Panics
    /// If there is no such film or angle.
    pub fn rotated(&self, film: usize, angle: usize) -> &[f32] {
        &self.rows[film][angle]
    }

    /// Features `[C]` of a film as it is.
    ///
    /// # Panics
    /// If there is no such film.
    pub fn upright(&self, film: usize) -> &[f32] {
        &self.rows[film][self.rotation]
    }
}

/// The film as the protocol scales it: `SIDE * SIDE` values in 0..=1, the aspect ratio dropped, nothing else.
fn plane(film: &Film, view: View) -> Result<Vec<f32>> {
    let film = films::decode(film)?;
    let mut plane = resize(&film.pixels, film.width, film.height, SIDE, SIDE);
    if view == View::Frame {
        paint_over(&mut plane);
    }
    Ok(plane)
}

/// Paints a `SIDE * SIDE` plane middle grey except for the outermost [`FRAME`] pixels.
pub fn paint_over(plane: &mut [f32]) {
    for line in plane.chunks_exact_mut(SIDE).take(SIDE - FRAME).skip(FRAME) {
        line[FRAME..SIDE - FRAME].fill(0.5);
    }
}

/// Rotates a `SIDE * SIDE` plane about its centre; bilinear, and what comes from outside is the nearest pixel of the
/// border (Keras: `fill_mode="nearest"`).
pub fn rotate(plane: &[f32], degrees: f32) -> Vec<f32> {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let centre = (SIDE as f32 - 1.0) / 2.0;
    let mut view = Vec::with_capacity(SIDE * SIDE);
    for row in 0..SIDE {
        for column in 0..SIDE {
            let (u, v) = (column as f32 - centre, row as f32 - centre);
            view.push(interpolate(plane, SIDE, cos * u - sin * v + centre, sin * u + cos * v + centre));
        }
    }
    view
}

/// Average pool of `POOL` x `POOL` cells, stride `POOL`, no padding. On a `[B, 7, 7, C]` map that leaves one cell,
/// the mean of the upper left 16 of 49: `[B, C]`.
///
/// # Panics
/// If the map is smaller than the pool, or so large that more than one cell would be left.
pub fn corner_pool(map: Tensor<4>) -> Tensor<2> {
    let [batch, height, width, channels] = map.dims();
    assert!(height / POOL == 1 && width / POOL == 1, "a {height} x {width} map does not leave one cell");
    let corner = map.slice([0..batch, 0..POOL, 0..POOL, 0..channels]);
    corner.reshape([batch, POOL * POOL, channels]).mean_dim(1).reshape([batch, channels])
}
