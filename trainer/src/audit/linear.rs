//! Two pieces of linear algebra for small symmetric matrices.

/// Rounds of [`leading`]; each makes the error smaller by the ratio of neighbouring eigenvalues.
const ROUNDS: usize = 60;

/// `X` of `A X = B` for a symmetric positive definite `A` `[n, n]` and `B` `[n, m]`, by Cholesky's factors.
///
/// # Panics
/// If `A` is not positive definite.
pub(super) fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let n = a.len();
    for column in 0..n {
        let (above, below) = a.split_at_mut(column);
        let pivot = &mut below[0];
        for (index, row) in above.iter().enumerate() {
            let dot: f64 = row[..index].iter().zip(&pivot[..index]).map(|(x, y)| x * y).sum();
            pivot[index] = (pivot[index] - dot) / row[index];
        }
        let rest = pivot[column] - pivot[..column].iter().map(|value| value * value).sum::<f64>();
        assert!(rest > 0.0, "row {column} depends on others");
        pivot[column] = rest.sqrt();
    }
    let combine = |b: &mut Vec<Vec<f64>>, row: usize, other: usize, factor: f64| {
        let source = std::mem::take(&mut b[other]);
        b[row].iter_mut().zip(&source).for_each(|(value, source)| *value -= factor * source);
        b[other] = source;
    };
    for row in 0..n {
        (0..row).for_each(|other| combine(&mut b, row, other, a[row][other]));
        b[row].iter_mut().for_each(|value| *value /= a[row][row]);
    }
    for row in (0..n).rev() {
        (row + 1..n).for_each(|other| combine(&mut b, row, other, a[other][row]));
        b[row].iter_mut().for_each(|value| *value /= a[row][row]);
    }
    b
}

/// The `count` eigenvectors of the largest eigenvalues of a symmetric `a` `[n, n]` without negative ones, by orthogonal
/// iteration; of unit length, the largest first.
pub(super) fn leading(a: &[Vec<f64>], count: usize) -> Vec<Vec<f64>> {
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    // Any start that is orthogonal to no eigenvector; the same every time.
    let start = |vector: usize| (0..a.len()).map(|at| ((at * 7919 + vector * 104_729) % 1009) as f64 - 504.0).collect();
    let mut vectors: Vec<Vec<f64>> = (0..count).map(start).collect();
    for _ in 0..ROUNDS {
        let mut next: Vec<Vec<f64>> = Vec::with_capacity(count);
        for vector in &vectors {
            let mut image: Vec<f64> = a.iter().map(|row| dot(row, vector)).collect();
            for earlier in &next {
                let part = dot(&image, earlier);
                image.iter_mut().zip(earlier).for_each(|(value, earlier)| *value -= part * earlier);
            }
            let length = dot(&image, &image).sqrt().max(f64::MIN_POSITIVE);
            image.iter_mut().for_each(|value| *value /= length);
            next.push(image);
        }
        vectors = next;
    }
    vectors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_system_in_closed_form() {
        let a = vec![vec![4.0, 2.0, 0.0], vec![2.0, 5.0, 3.0], vec![0.0, 3.0, 6.0]];
        let x = [[1.0, 0.5], [-2.0, 0.0], [3.0, -1.0]];
        let b = (0..3).map(|row| (0..2).map(|side| (0..3).map(|k| a[row][k] * x[k][side]).sum()).collect()).collect();
        for (found, expected) in solve(a, b).iter().zip(x) {
            assert!(found.iter().zip(expected).all(|(found, expected): (&f64, f64)| (found - expected).abs() < 1e-12));
        }
    }

    #[test]
    fn leading_directions_of_a_known_matrix() {
        // Eigenvalues 9, 4, 1 along (1, 1, 0), (1, -1, 0) and (0, 0, 1).
        let a = vec![vec![6.5, 2.5, 0.0], vec![2.5, 6.5, 0.0], vec![0.0, 0.0, 1.0]];
        let found = leading(&a, 2);
        let half = 0.5f64.sqrt();
        for (vector, expected) in found.iter().zip([[half, half, 0.0], [half, -half, 0.0]]) {
            let dot: f64 = vector.iter().zip(expected).map(|(x, y)| x * y).sum();
            assert!((dot.abs() - 1.0).abs() < 1e-9, "{vector:?}");
        }
    }
}
