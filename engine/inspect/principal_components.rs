//! The two principal components of points in a space of many dimensions.
//!
//! There are far fewer points than dimensions, so everything comes from the products of the points (Sirovich's method of
//! snapshots, 1987): the eigenvectors of their centred Gram matrix are the coordinates. A new point adds one row of
//! products, and the eigenvectors are found from those before it.

use std::collections::VecDeque;
use std::ops::Range;

use pulp::Arch;
use rayon::prelude::*;

/// Points by their products, with their coordinates along the two principal components.
#[derive(Clone, Debug, Default)]
pub struct PrincipalComponents {
    /// Row `i` has the products of point `i` with the points up to itself.
    rows: Vec<Vec<f64>>,
    /// Of each point, in units of the space.
    coordinates: Vec<[f64; 2]>,
    /// The sums of the squares of the coordinates, the larger one first.
    variances: [f64; 2],
    work: Work,
}

/// How much was computed so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Products of two points.
    pub products: usize,
    /// Products of the Gram matrix with a vector.
    pub matrix_products: usize,
}

/// Points whose products are computed together, so that they stay in the cache.
const TILE: usize = 16;
/// Dimensions that are summed up in f32; the sums are f64.
const STRIP: usize = 1024;

impl PrincipalComponents {
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How much was computed since the first point.
    pub fn work(&self) -> Work {
        self.work
    }

    /// The coordinates of each point. The first point lies to the left of the origin and below it.
    pub fn coordinates(&self) -> &[[f64; 2]] {
        &self.coordinates
    }

    /// The fraction of the variance along each component, 0 to 1; 0 if all points are the same.
    pub fn variance_explained(&self) -> [f64; 2] {
        let len = self.len() as f64;
        let trace: f64 = self.rows.iter().filter_map(|row| row.last()).sum();
        let sum: f64 = self.rows.iter().flat_map(|row| row.iter().rev().skip(1)).sum::<f64>() * 2.0 + trace;
        let total = trace - sum / len.max(1.0);
        self.variances.map(|variance| if total > 0.0 { (variance / total).clamp(0.0, 1.0) } else { 0.0 })
    }

    /// Removes the points for which `keeps` is false.
    pub fn retain(&mut self, keeps: impl Fn(usize) -> bool) {
        let kept: Vec<usize> = (0..self.len()).filter(|&index| keeps(index)).collect();
        if kept.len() == self.len() {
            return;
        }
        let row = |&row: &usize| {
            let columns = kept.iter().take_while(|&&column| column <= row);
            columns.map(|&column| self.rows[row][column]).collect()
        };
        self.rows = kept.iter().map(row).collect();
        self.coordinates = kept.iter().map(|&index| self.coordinates[index]).collect();
        self.find_components();
    }

    /// Adds points: `points` are all of them, beginning with those that are known already.
    ///
    /// # Panics
    /// If there are fewer than are known, or they have different dimensions.
    pub fn extend(&mut self, points: &[&[f32]]) {
        let known = self.len();
        if points.len() == known {
            return;
        }
        let tiles: Vec<usize> = (known..points.len()).step_by(TILE).collect();
        let rows = tiles
            .into_par_iter()
            .flat_map_iter(|first| products(points, first..(first + TILE).min(points.len())));
        self.rows.extend(rows.collect::<Vec<_>>());
        self.work.products += self.rows[known..].iter().map(Vec::len).sum::<usize>();
        self.coordinates.resize(points.len(), [0.0; 2]);
        self.find_components();
    }

    /// The unit vector in the space along each component, for what is not a point: `points` are those of
    /// [`Self::extend`].
    pub fn axes(&self, points: &[&[f32]]) -> [Vec<f32>; 2] {
        let dimensions = points.first().map_or(0, |point| point.len());
        [0, 1].map(|component| {
            let mut axis = vec![0.0; dimensions];
            if self.variances[component] > 0.0 {
                // The coordinates add up to 0, so the mean of the points drops out.
                for (point, coordinates) in points.iter().zip(&self.coordinates) {
                    let weight = (coordinates[component] / self.variances[component]) as f32;
                    axis.iter_mut().zip(*point).for_each(|(axis, value)| *axis += weight * value);
                }
            }
            axis
        })
    }

    /// The centred Gram matrix times a vector.
    fn centred_times(&mut self, vector: &[f64]) -> Vec<f64> {
        self.work.matrix_products += 1;
        let mut product = vec![0.0; vector.len()];
        for (index, row) in self.rows.iter().enumerate() {
            let (diagonal, row) = row.split_last().expect("a row has its diagonal");
            let own = vector[index];
            let mut sum = diagonal * own;
            for ((value, other), product) in row.iter().zip(vector).zip(&mut product) {
                sum += value * other;
                *product += value * own;
            }
            product[index] += sum;
        }
        centre(&mut product);
        product
    }

    /// The two largest eigenvalues of the centred Gram matrix with their eigenvectors: Rayleigh and Ritz's method in the
    /// Krylov space of the coordinates so far.
    fn find_components(&mut self) {
        /// Relative to the largest eigenvalue: of coordinates it is about the square root of f32's precision.
        const TOLERANCE: f64 = 1e-7;
        const CHECKED_EVERY: usize = 6;
        const MAX_DIMENSIONS: usize = 240;
        let len = self.len();
        let mut candidates: VecDeque<Vec<f64>> = start_vectors(&self.coordinates).into();
        let (mut basis, mut images) = (Vec::<Vec<f64>>::new(), Vec::<Vec<f64>>::new());
        let mut found = Ritz::default();
        while let Some(mut candidate) = candidates.pop_front() {
            if !orthonormalise(&mut candidate, &basis) {
                continue;
            }
            let image = self.centred_times(&candidate);
            candidates.push_back(image.clone());
            basis.push(candidate);
            images.push(image);
            if basis.len() % CHECKED_EVERY == 0 || basis.len() + 1 >= len.min(MAX_DIMENSIONS) {
                found = Ritz::of(&basis, &images);
                if found.is_within(TOLERANCE) || basis.len() >= MAX_DIMENSIONS {
                    break;
                }
            }
        }
        if candidates.is_empty() {
            found = Ritz::of(&basis, &images);
        }
        self.variances = found.values.map(|value| value.max(0.0));
        let mut columns = found.vectors;
        for (column, variance) in columns.iter_mut().zip(self.variances) {
            column.resize(len, 0.0);
            // An eigenvector's sign is arbitrary. Rounding must not decide where the first point lies on neither side.
            let largest = column.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
            let side = column.iter().find(|value| value.abs() > 1e-6 * largest).copied().unwrap_or(-1.0);
            let scale = if side > 0.0 { -variance.sqrt() } else { variance.sqrt() };
            column.iter_mut().for_each(|value| *value *= scale);
        }
        let [x, y] = columns;
        self.coordinates = x.into_iter().zip(y).map(|(x, y)| [x, y]).collect();
    }
}

/// The products of the points in a range with all points up to themselves.
fn products(points: &[&[f32]], range: Range<usize>) -> Vec<Vec<f64>> {
    let arch = Arch::new();
    let dimensions = points[0].len();
    let mut rows: Vec<Vec<f64>> = range.clone().map(|index| vec![0.0; index + 1]).collect();
    for columns in (0..range.end).step_by(TILE) {
        for strip in (0..dimensions).step_by(STRIP) {
            let strip = strip..(strip + STRIP).min(dimensions);
            for (row, sums) in range.clone().zip(&mut rows) {
                for column in columns..(columns + TILE).min(row + 1) {
                    assert_eq!(points[column].len(), dimensions, "points of one space");
                    let (a, b) = (&points[row][strip.clone()], &points[column][strip.clone()]);
                    sums[column] += f64::from(arch.dispatch(|| product(a, b)));
                }
            }
        }
    }
    rows
}

/// The scalar product, in parallel sums that the compiler vectorises.
#[inline(always)]
fn product(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 32;
    let mut sums = [0.0; LANES];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// The coordinates so far, and vectors that are orthogonal to no eigenvector but by chance: of a space of several
/// dimensions with one eigenvalue, each vector finds one.
fn start_vectors(coordinates: &[[f64; 2]]) -> Vec<Vec<f64>> {
    let of = |component: usize| coordinates.iter().map(|point| point[component]).collect();
    // The squares times an irrational number are spread evenly (Weyl, 1916) and, unlike its multiples, without a pattern.
    let spread = |ratio: f64| {
        (1..=coordinates.len()).map(|index| ((index * index) as f64 * ratio).fract() - 0.5).collect()
    };
    vec![of(0), of(1), spread(0.618_033_988_749_895), spread(std::f64::consts::SQRT_2)]
}

/// The best two eigenvectors in a subspace.
#[derive(Default)]
struct Ritz {
    values: [f64; 2],
    vectors: [Vec<f64>; 2],
    /// How far each is from being an eigenvector.
    residuals: [f64; 2],
}

impl Ritz {
    /// In the space of an orthonormal basis, of whose vectors `images` are the products with the matrix.
    fn of(basis: &[Vec<f64>], images: &[Vec<f64>]) -> Self {
        let projected: Vec<Vec<f64>> =
            basis.iter().map(|vector| images.iter().map(|image| dot(vector, image)).collect()).collect();
        let (values, vectors) = jacobi(projected);
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
        let mut found = Self::default();
        for (place, &at) in order.iter().take(2).enumerate() {
            let mut vector = vec![0.0; basis[0].len()];
            let mut residual = vector.clone();
            for (index, weights) in vectors.iter().enumerate() {
                add_scaled(&mut vector, weights[at], &basis[index]);
                add_scaled(&mut residual, weights[at], &images[index]);
            }
            add_scaled(&mut residual, -values[at], &vector);
            found.values[place] = values[at];
            found.residuals[place] = norm(&residual);
            found.vectors[place] = vector;
        }
        found
    }

    fn is_within(&self, tolerance: f64) -> bool {
        self.residuals.iter().all(|residual| *residual <= tolerance * self.values[0])
    }
}

/// Eigenvalues and eigenvectors (in columns) of a symmetric matrix: Jacobi's method, as in Golub and Van Loan (2013),
/// algorithm 8.5.2.
fn jacobi(mut a: Vec<Vec<f64>>) -> (Vec<f64>, Vec<Vec<f64>>) {
    const MAX_SWEEPS: usize = 30;
    let len = a.len();
    let mut v: Vec<Vec<f64>> =
        (0..len).map(|i| (0..len).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    let scale: f64 = a.iter().flatten().map(|value| value * value).sum();
    for _ in 0..MAX_SWEEPS {
        let off: f64 =
            (0..len).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i][j] * a[i][j]).sum();
        if off <= 1e-26 * scale {
            break;
        }
        for p in 0..len {
            for q in p + 1..len {
                if a[p][q] == 0.0 {
                    continue;
                }
                let tau = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let t = tau.signum() / (tau.abs() + (1.0 + tau * tau).sqrt());
                let c = 1.0 / (1.0 + t * t).sqrt();
                let s = t * c;
                for row in &mut a {
                    (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
                }
                let [row_p, row_q] = a.get_disjoint_mut([p, q]).expect("two rows");
                for (p, q) in row_p.iter_mut().zip(row_q) {
                    (*p, *q) = (c * *p - s * *q, s * *p + c * *q);
                }
                for row in &mut v {
                    (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
                }
            }
        }
    }
    ((0..len).map(|i| a[i][i]).collect(), v)
}

/// Makes a unit vector that is orthogonal to the basis and to the vector of ones. False if nothing but rounding is left.
fn orthonormalise(vector: &mut [f64], basis: &[Vec<f64>]) -> bool {
    let mut before = norm(vector);
    // What is left after the first pass may be small, and then its rounding is not orthogonal.
    for _ in 0..3 {
        centre(vector);
        for other in basis {
            let along = dot(vector, other);
            add_scaled(vector, -along, other);
        }
        let after = norm(vector);
        if after <= 1e-7 * before {
            return false;
        }
        vector.iter_mut().for_each(|value| *value /= after);
        before = 1.0;
    }
    true
}

fn centre(vector: &mut [f64]) {
    let mean = vector.iter().sum::<f64>() / vector.len().max(1) as f64;
    vector.iter_mut().for_each(|value| *value -= mean);
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(vector: &[f64]) -> f64 {
    dot(vector, vector).sqrt()
}

fn add_scaled(vector: &mut [f64], by: f64, other: &[f64]) {
    vector.iter_mut().zip(other).for_each(|(a, b)| *a += by * b);
}
