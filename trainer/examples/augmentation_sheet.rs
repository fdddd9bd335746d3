//! Random views of a film side by side, as the network gets them. `augmentation_sheet FILM OUT.png [SEED]`

use anyhow::{Context, Result};
use deepbreath::Radiograph;
use deepbreath::preprocess::{ModelInput, PREPROCESSING, SIDE, resize};
use trainer::augment::Augmentation;
use trainer::films::STORED_SIDE;
use trainer::sampler::stream;

const COLUMNS: usize = 5;
const ROWS: usize = 3;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, film, out, ..] = &arguments[..] else { anyhow::bail!("usage: augmentation_sheet FILM OUT.png [SEED]") };
    let seed = arguments.get(3).map_or(Ok(42), |seed| seed.parse())?;
    let bytes = std::fs::read(film).with_context(|| format!("cannot read {film}"))?;
    let film = Radiograph::decode(film, &bytes)?;
    let plane = resize(&film.pixels, film.width, film.height, STORED_SIDE, STORED_SIDE);
    let mut sheet = image::GrayImage::new((COLUMNS * SIDE) as u32, (ROWS * SIDE) as u32);
    for view in 0..COLUMNS * ROWS {
        let input = if view == 0 {
            ModelInput::from_radiograph(&film)
        } else {
            let mut random = stream(seed, [3, 0, view as u64]);
            ModelInput::from_plane(Augmentation::default().apply(&plane, STORED_SIDE, &mut random))
        };
        for (index, value) in input.values[..SIDE * SIDE].iter().enumerate() {
            let grey = (value * PREPROCESSING.std + PREPROCESSING.mean) * 255.0;
            let (x, y) = (view % COLUMNS * SIDE + index % SIDE, view / COLUMNS * SIDE + index / SIDE);
            sheet.put_pixel(x as u32, y as u32, image::Luma([grey.round() as u8]));
        }
    }
    sheet.save(out).with_context(|| format!("cannot write {out}"))
}
