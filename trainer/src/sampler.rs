//! Which films an epoch shows: balanced over label and source, so that the source says little about the label.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::dataset::Film;

/// Draws every epoch's films from the cells (label, source).
///
/// Every label gets the same share of an epoch. Within a label a cell's share grows with the root of its size, so that
/// small sources count without being worn out, and cells of sources that hold several labels count `shared` times as
/// much: only there does the source not give the label away.
#[derive(Debug)]
pub struct Sampler {
    cells: Vec<Cell>,
    seed: u64,
}

#[derive(Debug)]
struct Cell {
    /// Indices of films.
    films: Vec<usize>,
    /// Films of an epoch.
    quota: usize,
}

/// A source counts as holding several labels if each has at least this many films.
const FEW: usize = 20;

/// Independent random numbers for a purpose: a function of the numbers alone, so that resumed runs draw the same.
pub fn stream(seed: u64, numbers: [u64; 3]) -> ChaCha8Rng {
    let mut state = [0u8; 32];
    for (bytes, number) in state.chunks_exact_mut(8).zip([seed, numbers[0], numbers[1], numbers[2]]) {
        bytes.copy_from_slice(&number.to_le_bytes());
    }
    ChaCha8Rng::from_seed(state)
}

impl Sampler {
    /// `shared` is the weight of sources with several labels, 1 for none.
    pub fn new(films: &[&Film], shared: f64, seed: u64) -> Self {
        let mut cells: BTreeMap<(usize, &str), Vec<usize>> = BTreeMap::new();
        for (index, film) in films.iter().enumerate() {
            cells.entry((film.label, &film.source)).or_default().push(index);
        }
        let labels_of =
            |source: &str| cells.iter().filter(|((_, other), films)| *other == source && films.len() >= FEW).count();
        let weight = |(key, members): (&(usize, &str), &Vec<usize>)| {
            (members.len() as f64).sqrt() * if labels_of(key.1) > 1 { shared } else { 1.0 }
        };
        let mut totals: BTreeMap<usize, f64> = BTreeMap::new();
        for cell in &cells {
            *totals.entry(cell.0.0).or_default() += weight(cell);
        }
        let per_label = films.len() as f64 / totals.len() as f64;
        let quota = |cell| (per_label * weight(cell) / totals[&cell.0.0]).round().max(1.0) as usize;
        let quotas: Vec<usize> = cells.iter().map(quota).collect();
        let cells = cells.into_values().zip(quotas).map(|(films, quota)| Cell { films, quota }).collect();
        Self { cells, seed }
    }

    /// How often each film counts in an epoch, on average.
    pub fn weights(&self) -> Vec<f32> {
        let count = self.cells.iter().map(|cell| cell.films.len()).sum();
        let mut weights = vec![0.0; count];
        for cell in &self.cells {
            for film in &cell.films {
                weights[*film] = cell.quota as f32 / cell.films.len() as f32;
            }
        }
        weights
    }

    /// Films of `epoch` in order. Each cell walks through shuffled rounds of its films, epoch after epoch.
    pub fn epoch(&self, epoch: usize) -> Vec<usize> {
        let mut order = Vec::new();
        for (number, cell) in self.cells.iter().enumerate() {
            let mut round = (usize::MAX, Vec::new());
            for position in epoch * cell.quota..(epoch + 1) * cell.quota {
                let (wanted, place) = (position / cell.films.len(), position % cell.films.len());
                if round.0 != wanted {
                    let mut films = cell.films.clone();
                    films.shuffle(&mut stream(self.seed, [1, number as u64, wanted as u64]));
                    round = (wanted, films);
                }
                order.push(round.1[place]);
            }
        }
        order.shuffle(&mut stream(self.seed, [2, epoch as u64, 0]));
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn film(label: usize, source: &str) -> Film {
        Film {
            path: "film.png".into(),
            name: "film.png".into(),
            label,
            source: source.into(),
            patient_id: "p".into(),
            view: None,
            age_group: None,
            license: None,
            sha256: None,
            split: None,
        }
    }

    #[test]
    fn labels_are_balanced_and_every_film_is_shown() {
        let mut films: Vec<Film> = (0..300).map(|_| film(0, "a")).collect();
        films.extend((0..60).map(|_| film(1, "a")));
        films.extend((0..40).map(|_| film(1, "b")));
        let films: Vec<&Film> = films.iter().collect();
        let sampler = Sampler::new(&films, 2.0, 7);
        let mut seen = vec![0; films.len()];
        for epoch in 0..4 {
            let order = sampler.epoch(epoch);
            assert_eq!(order, sampler.epoch(epoch));
            let second = order.iter().filter(|index| films[**index].label == 1).count();
            assert!((199..=201).contains(&second), "{second} of {}", order.len());
            order.iter().for_each(|index| seen[*index] += 1);
        }
        assert!(seen.iter().all(|count| *count >= 1));
        let of = |range: std::ops::Range<usize>| seen[range].iter().sum::<usize>() as f64;
        // Source a holds both labels: its cell weighs 2 sqrt(60), source b's sqrt(40).
        let ratio = of(300..360) / of(360..400);
        assert!((ratio - 2.0 * 60f64.sqrt() / 40f64.sqrt()).abs() < 0.1, "{ratio}");
    }
}
