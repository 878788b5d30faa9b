//! The two principal components of points in a space of many dimensions.
//!
//! There are far fewer points than dimensions, so everything is found among the points (Sirovich's method of snapshots,
//! 1987): the eigenvectors of their centred Gram matrix are the coordinates. That matrix is never computed. A randomised block
//! Krylov method (Halko, Martinsson and Tropp, 2011; Musco and Musco, 2015) multiplies it by a few vectors at a time, each
//! time in one reading of the points. It begins with the vectors of its last search, so a new point costs few readings.

use std::ops::Range;

use rayon::prelude::*;

use crate::cpu::{Matrix, matmul, vectorised};
use crate::diffusion::TorchGenerator;

/// The coordinates of points along their two principal components.
#[derive(Clone, Debug, Default)]
pub struct PrincipalComponents {
    /// Of each point, in units of the space.
    coordinates: Vec<[f64; 2]>,
    /// The sums of the squares of the coordinates, the larger one first.
    variances: [f64; 2],
    /// The sum of the squared distances from the mean.
    total_variance: f64,
    /// About the first eigenvectors, with which the next search begins.
    leading: Vec<Vec<f64>>,
    /// Points were removed since the last search.
    is_stale: bool,
    readings: usize,
}

/// Vectors that are multiplied at once.
const BLOCK: usize = 16;
/// How many of them the next search begins with. The others are for new points.
const KEPT: usize = 12;

impl PrincipalComponents {
    pub fn len(&self) -> usize {
        self.coordinates.len()
    }

    pub fn is_empty(&self) -> bool {
        self.coordinates.is_empty()
    }

    /// How often all points were read since the first one.
    pub fn readings(&self) -> usize {
        self.readings
    }

    /// The coordinates of each point. The first point lies to the left of the origin and below it.
    pub fn coordinates(&self) -> &[[f64; 2]] {
        &self.coordinates
    }

    /// The fraction of the variance along each component, 0 to 1; 0 if all points are the same.
    pub fn variance_explained(&self) -> [f64; 2] {
        let total = self.total_variance;
        self.variances.map(|variance| if total > 0.0 { (variance / total).clamp(0.0, 1.0) } else { 0.0 })
    }

    /// Removes the points for which `keeps` is false. [`Self::extend`] finds the components of the others.
    pub fn retain(&mut self, keeps: impl Fn(usize) -> bool) {
        let kept: Vec<usize> = (0..self.len()).filter(|&index| keeps(index)).collect();
        if kept.len() == self.len() {
            return;
        }
        self.is_stale = true;
        self.coordinates = kept.iter().map(|&index| self.coordinates[index]).collect();
        for vector in &mut self.leading {
            *vector = kept.iter().map(|&index| vector[index]).collect();
        }
    }

    /// Adds points: `points` are all of them, beginning with those that are known already.
    ///
    /// # Panics
    /// If there are fewer than are known, or they have different dimensions.
    pub fn extend(&mut self, points: &[&[f32]]) {
        let known = self.len();
        if points.len() == known && !self.is_stale {
            return;
        }
        assert!(points.len() >= known, "all points, beginning with the known ones");
        assert!(points.iter().all(|point| point.len() == points[0].len()), "points of one space");
        self.coordinates.resize(points.len(), [0.0; 2]);
        self.is_stale = false;
        self.find_components(points, known);
    }

    /// The unit vector in the space along each component, for what is not a point: `points` are those of
    /// [`Self::extend`].
    pub fn axes(&self, points: &[&[f32]]) -> [Vec<f32>; 2] {
        let dimensions = points.first().map_or(0, |point| point.len());
        let mut axes = [0, 1].map(|_| vec![0.0; dimensions]);
        let [x, y] = &mut axes;
        x.par_chunks_mut(STRIP).zip(y.par_chunks_mut(STRIP)).enumerate().for_each(|(strip, axes)| {
            let start = strip * STRIP;
            for (component, axis) in [axes.0, axes.1].into_iter().enumerate() {
                if self.variances[component] <= 0.0 {
                    continue;
                }
                // The coordinates add up to 0, so the mean of the points drops out.
                for (point, coordinates) in points.iter().zip(&self.coordinates) {
                    let weight = (coordinates[component] / self.variances[component]) as f32;
                    let point = &point[start..start + axis.len()];
                    vectorised(
                        #[inline(always)]
                        || axis.iter_mut().zip(point).for_each(|(axis, value)| *axis += weight * value),
                    );
                }
            }
        });
        axes
    }

    /// The two largest eigenvalues of the centred Gram matrix with their eigenvectors: Rayleigh and Ritz's method in a
    /// Krylov space, which grows by a block of vectors with each reading of the points.
    fn find_components(&mut self, points: &[&[f32]], known: usize) {
        /// Relative to the largest eigenvalue. Rounding in f32 leaves about a tenth of it.
        const TOLERANCE: f64 = 1e-6;
        const MAX_DIMENSIONS: usize = 15 * BLOCK;
        let mut candidates = self.start_vectors(points.len(), known);
        let mut space = Subspace::default();
        let mut found = Ritz::default();
        loop {
            let block = space.orthonormal_part(candidates);
            if block.is_empty() {
                break;
            }
            let product = centred_gram_times(points, &block);
            self.readings += 1;
            self.total_variance = product.total_variance;
            candidates = product.vectors.clone();
            space.extend(block, product.vectors);
            found = space.ritz();
            if found.is_within(TOLERANCE) || space.basis.len() >= MAX_DIMENSIONS {
                break;
            }
        }
        // What is less than the tolerance is rounding.
        let smallest = TOLERANCE * found.values.first().copied().unwrap_or_default();
        let is_real = |value: &f64| *value > smallest && *value > 0.0;
        self.variances = [0, 1].map(|at| found.values.get(at).copied().filter(is_real).unwrap_or_default());
        let columns = [0, 1].map(|at| {
            let mut column = found.vectors.get(at).cloned().unwrap_or_default();
            column.resize(points.len(), 0.0);
            // An eigenvector's sign is arbitrary. Rounding must not decide where the first point lies on neither side.
            let largest = column.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
            let side = column.iter().find(|value| value.abs() > 1e-6 * largest).copied().unwrap_or(-1.0);
            let length = self.variances[at].sqrt();
            let scale = if side > 0.0 { -length } else { length };
            column.iter_mut().for_each(|value| *value *= scale);
            column
        });
        let [x, y] = columns;
        self.coordinates = x.into_iter().zip(y).map(|(x, y)| [x, y]).collect();
        self.leading = found.vectors;
    }

    /// The vectors of the last search, one for each of some new points, and random ones.
    fn start_vectors(&self, len: usize, known: usize) -> Vec<Vec<f64>> {
        const SEED: u64 = 0;
        let mut vectors = self.leading.clone();
        vectors.iter_mut().for_each(|vector| vector.resize(len, 0.0));
        let mut random = TorchGenerator::new(SEED);
        let mut random = |len: usize| random.randn(len).into_iter().map(f64::from).collect::<Vec<f64>>();
        if !vectors.is_empty() {
            let of_new = (known..len).take(BLOCK - KEPT).map(|_| {
                let mut vector = vec![0.0; known];
                vector.extend(random(len - known));
                vector
            });
            vectors.extend(of_new.collect::<Vec<_>>());
        }
        while vectors.len() < BLOCK {
            vectors.push(random(len));
        }
        vectors
    }
}

/// Dimensions that are read at once: a thousand points of so many stay in the second-level cache.
const STRIP: usize = 128;

struct GramProduct {
    vectors: Vec<Vec<f64>>,
    total_variance: f64,
}

/// The centred Gram matrix times vectors. It is a sum over strips of dimensions, each of which is read once, and centred, for
/// both products of `x (x' vector)`.
fn centred_gram_times(points: &[&[f32]], vectors: &[Vec<f64>]) -> GramProduct {
    let (len, count, dimensions) = (points.len(), vectors.len(), points[0].len());
    let factors: Vec<f32> =
        (0..len).flat_map(|row| vectors.iter().map(move |vector| vector[row] as f32)).collect();
    // The same tasks whatever thread is free, so that rounding is always the same.
    let strips = dimensions.div_ceil(STRIP);
    let strips_per_task = strips.div_ceil(rayon::current_num_threads()).max(1);
    let tasks: Vec<Range<usize>> = (0..strips)
        .step_by(strips_per_task)
        .map(|first| first * STRIP..((first + strips_per_task) * STRIP).min(dimensions))
        .collect();
    let parts = tasks.into_par_iter().map(|task| {
        let mut sums = vec![0.0f64; len * count];
        let mut total_variance = 0.0;
        let (mut x, mut of_strip) = (vec![0.0f32; len * STRIP], vec![0.0f32; len * count]);
        let mut projections = vec![0.0f32; STRIP * count];
        for start in task.clone().step_by(STRIP) {
            let width = STRIP.min(task.end - start);
            let x = &mut x[..len * width];
            for (row, point) in x.chunks_exact_mut(width).zip(points) {
                row.copy_from_slice(&point[start..start + width]);
            }
            total_variance += vectorised(
                #[inline(always)]
                || centre_columns(x, width),
            );
            let x = Matrix::rows(x, len, width, width);
            let projections = &mut projections[..width * count];
            matmul(projections, count, x.transposed(), Matrix::rows(&factors, len, count, count), false);
            matmul(&mut of_strip, count, x, Matrix::rows(projections, width, count, count), false);
            sums.iter_mut().zip(&of_strip).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        (sums, total_variance)
    });
    let parts: Vec<(Vec<f64>, f64)> = parts.collect();
    let vectors = (0..count).map(|at| {
        let sum_of_row = |row: usize| parts.iter().map(|(sums, _)| sums[row * count + at]).sum::<f64>();
        let mut vector: Vec<f64> = (0..len).map(sum_of_row).collect();
        centre(&mut vector);
        vector
    });
    GramProduct {
        vectors: vectors.collect(),
        total_variance: parts.iter().map(|(_, variance)| variance).sum(),
    }
}

/// Subtracts the mean of each column, and returns the sum of the squares of what is left.
#[inline(always)]
fn centre_columns(x: &mut [f32], width: usize) -> f64 {
    let rows = x.len() / width;
    let mut means = vec![0.0f32; width];
    for row in x.chunks_exact(width) {
        means.iter_mut().zip(row).for_each(|(mean, value)| *mean += value);
    }
    means.iter_mut().for_each(|mean| *mean /= rows as f32);
    let mut total = 0.0;
    let mut squares = vec![0.0f32; width];
    // f32 within some rows, f64 across them.
    for rows in x.chunks_mut(32 * width) {
        squares.fill(0.0);
        for row in rows.chunks_exact_mut(width) {
            for ((value, mean), squares) in row.iter_mut().zip(&means).zip(&mut squares) {
                *value -= mean;
                *squares += *value * *value;
            }
        }
        total += squares.iter().map(|square| f64::from(*square)).sum::<f64>();
    }
    total
}

/// An orthonormal basis, with the products of its vectors with the matrix.
#[derive(Default)]
struct Subspace {
    basis: Vec<Vec<f64>>,
    images: Vec<Vec<f64>>,
    /// The matrix in this basis: row `i` up to column `i`.
    projected: Vec<Vec<f64>>,
}

impl Subspace {
    /// An orthonormal basis of what vectors add to the space.
    fn orthonormal_part(&self, vectors: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
        let mut added: Vec<Vec<f64>> = Vec::new();
        for mut vector in vectors {
            if orthonormalise(&mut vector, self.basis.iter().chain(&added)) {
                added.push(vector);
            }
        }
        added
    }

    fn extend(&mut self, vectors: Vec<Vec<f64>>, images: Vec<Vec<f64>>) {
        self.basis.extend(vectors);
        self.images.extend(images);
        for row in self.projected.len()..self.basis.len() {
            let products = (0..=row).map(|column| dot(&self.basis[column], &self.images[row]));
            self.projected.push(products.collect());
        }
    }

    /// The best eigenvectors in this space, the largest eigenvalue first.
    fn ritz(&self) -> Ritz {
        let len = self.basis.len();
        let entry = |i: usize, j: usize| self.projected[i.max(j)][i.min(j)];
        let (values, vectors) = jacobi((0..len).map(|i| (0..len).map(|j| entry(i, j)).collect()).collect());
        let mut order: Vec<usize> = (0..len).collect();
        order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
        order.truncate(KEPT);
        let combined = |of: &[Vec<f64>], at: usize| {
            let mut sum = vec![0.0; of[0].len()];
            of.iter().zip(&vectors).for_each(|(vector, weights)| add_scaled(&mut sum, weights[at], vector));
            sum
        };
        let residuals = order.iter().take(2).map(|&at| {
            let mut residual = combined(&self.images, at);
            add_scaled(&mut residual, -values[at], &combined(&self.basis, at));
            norm(&residual)
        });
        Ritz {
            residuals: residuals.collect(),
            values: order.iter().map(|&at| values[at]).collect(),
            vectors: order.iter().map(|&at| combined(&self.basis, at)).collect(),
        }
    }
}

/// Approximate eigenvectors.
#[derive(Default)]
struct Ritz {
    values: Vec<f64>,
    vectors: Vec<Vec<f64>>,
    /// How far each of the first two is from being an eigenvector.
    residuals: Vec<f64>,
}

impl Ritz {
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
fn orthonormalise<'a>(vector: &mut [f64], basis: impl Iterator<Item = &'a Vec<f64>> + Clone) -> bool {
    let mut before = norm(vector);
    // What is left after the first pass may be small, and then its rounding is not orthogonal.
    for _ in 0..3 {
        centre(vector);
        for other in basis.clone() {
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

/// The scalar product, in parallel sums that the compiler vectorises.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 8;
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
}

fn norm(vector: &[f64]) -> f64 {
    dot(vector, vector).sqrt()
}

fn add_scaled(vector: &mut [f64], by: f64, other: &[f64]) {
    vector.iter_mut().zip(other).for_each(|(a, b)| *a += by * b);
}
