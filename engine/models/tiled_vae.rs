//! Tiled processing of a picture that is too large for the memory of its device: it is kept in main memory
//! row by row, and the layers process a tile of rows at a time.
//!
//! A tile includes a halo: the neighbouring rows that its layers read. Their results are discarded, so
//! convolutions have no seams. Group norms need the statistics of the whole picture, which are computed over
//! all tiles first. The result equals that of the whole network up to rounding, with nothing to blend.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use super::{CancelCheck, check_cancelled, values};
use crate::error::EngineError;

/// Numbers per tensor of a tile, except for very wide pictures: 16 MiB in f32. Tests use less, so that small
/// pictures have many tiles.
const MAX_TILE_ELEMENTS: usize = if cfg!(test) { 1 << 14 } else { 1 << 22 };

/// With fewer rows than this, most of the work would be on the halo.
const MIN_ROWS: usize = 8;

/// Where tiles are processed, and when to stop.
pub struct TileContext<'a> {
    pub device: Device,
    /// Called before each tile.
    pub is_cancelled: &'a CancelCheck<'a>,
}

impl<'a> TileContext<'a> {
    /// The device of `x`.
    pub fn new(x: &Tensor<4>, is_cancelled: &'a CancelCheck<'a>) -> Self {
        Self { device: x.device(), is_cancelled }
    }
}

/// One picture, `[1, channels, height, width]`, in main memory.
pub struct TiledImage<'a> {
    /// Rows of `[width, channels]`, from the top.
    rows: Vec<Vec<f32>>,
    width: usize,
    channels: usize,
    context: &'a TileContext<'a>,
}

/// How layers change the number of rows, and which neighbouring rows they read.
#[derive(Clone, Copy)]
pub enum RowScale {
    /// The number stays the same, and each row depends on this many rows above and below.
    Same(usize),
    /// Upsampling and a convolution of 3 x 3.
    Doubled,
    /// A convolution of 3 x 3 over every second row, which reads one more row below.
    Halved,
}

impl RowScale {
    /// The number of rows read above and below.
    fn halo(self) -> (usize, usize) {
        match self {
            Self::Same(reach) => (reach, reach),
            Self::Doubled => (1, 1),
            Self::Halved => (0, 1),
        }
    }

    fn scaled(self, rows: usize) -> usize {
        match self {
            Self::Same(_) => rows,
            Self::Doubled => 2 * rows,
            Self::Halved => rows / 2,
        }
    }
}

impl<'a> TiledImage<'a> {
    /// # Panics
    /// If `x` is a batch of several.
    pub fn new(x: Tensor<4>, context: &'a TileContext<'a>) -> Result<Self, EngineError> {
        let [batch, channels, height, width] = x.dims();
        assert_eq!(batch, 1, "one picture at a time");
        Ok(Self { rows: to_rows(x, 0, height)?, width, channels, context })
    }

    /// Applies `layers` to the picture. Rows are freed as soon as no later tile needs them.
    pub fn map(
        mut self,
        scale: RowScale,
        layers: &dyn Fn(Tensor<4>) -> Tensor<4>,
    ) -> Result<Self, EngineError> {
        let mut rows = Vec::with_capacity(scale.scaled(self.rows.len()));
        let (mut width, mut channels) = (self.width, self.channels);
        for tile in self.tiles(scale) {
            let y = self.run_tile(tile.clone(), scale, layers, &mut rows)?;
            (channels, width) = (y[1], y[3]);
            let (above, _) = scale.halo();
            self.rows[..tile.end.saturating_sub(above)].iter_mut().for_each(|row| *row = Vec::new());
        }
        Ok(Self { rows, width, channels, context: self.context })
    }

    /// The statistics of each channel over the picture.
    pub fn channel_stats(&self) -> ChannelStats {
        ChannelStats::from_rows(&self.rows, self.channels)
    }

    /// The statistics of each channel of the result of `layers`, which is not kept.
    pub fn channel_stats_after(
        &self,
        scale: RowScale,
        layers: &dyn Fn(Tensor<4>) -> Tensor<4>,
    ) -> Result<ChannelStats, EngineError> {
        let mut whole = ChannelStats::default();
        for tile in self.tiles(scale) {
            let mut rows = Vec::new();
            let y = self.run_tile(tile, scale, layers, &mut rows)?;
            whole = whole.merge(ChannelStats::from_rows(&rows, y[1]));
        }
        Ok(whole)
    }

    /// The whole picture on the device, for small ones.
    pub fn into_tensor(self) -> Tensor<4> {
        self.on_device(0..self.rows.len())
    }

    /// `[1, channels, rows, width]`, in the memory order of the rows.
    fn on_device(&self, rows: Range<usize>) -> Tensor<4> {
        let shape = [1, rows.len(), self.width, self.channels];
        let data = TensorData::new(self.rows[rows].concat(), shape);
        Tensor::from_data(data, &self.context.device).permute([0, 3, 1, 2])
    }

    fn tiles(&self, scale: RowScale) -> impl Iterator<Item = Range<usize>> + use<> {
        let growth = if matches!(scale, RowScale::Doubled) { 4 } else { 1 };
        let rows = MAX_TILE_ELEMENTS / (self.width * self.channels * growth);
        // An even number, because it may be halved.
        let rows = (rows / 2 * 2).max(MIN_ROWS);
        let height = self.rows.len();
        (0..height).step_by(rows).map(move |start| start..(start + rows).min(height))
    }

    /// Applies `layers` to a tile, appends the resulting rows to `into` and returns the shape of the result.
    fn run_tile(
        &self,
        tile: Range<usize>,
        scale: RowScale,
        layers: &dyn Fn(Tensor<4>) -> Tensor<4>,
        into: &mut Vec<Vec<f32>>,
    ) -> Result<[usize; 4], EngineError> {
        check_cancelled(self.context.is_cancelled)?;
        let (above, below) = scale.halo();
        let start = tile.start.saturating_sub(above);
        let end = (tile.end + below).min(self.rows.len());
        let y = layers(self.on_device(start..end));
        let shape = y.dims();
        into.extend(to_rows(y, scale.scaled(tile.start - start), scale.scaled(tile.len()))?);
        Ok(shape)
    }
}

/// Some rows of a picture, each `[width, channels]`.
fn to_rows(x: Tensor<4>, first: usize, count: usize) -> Result<Vec<Vec<f32>>, EngineError> {
    let [_, channels, _, width] = x.dims();
    let values = values(x.narrow(2, first, count).permute([0, 2, 3, 1]))?;
    Ok(values.chunks_exact(width * channels).map(<[f32]>::to_vec).collect())
}

/// The sums and sums of squares of each channel, for mean and variance. In f64, where the squares of f32
/// numbers are exact.
#[derive(Clone, Debug, Default)]
pub struct ChannelStats {
    pixels: usize,
    sums: Vec<f64>,
    squares: Vec<f64>,
}

impl ChannelStats {
    fn from_rows(rows: &[Vec<f32>], channels: usize) -> Self {
        let row_stats = |row: &Vec<f32>| {
            let mut stats = Self {
                pixels: row.len() / channels,
                sums: vec![0.0; channels],
                squares: vec![0.0; channels],
            };
            for pixel in row.chunks_exact(channels) {
                for ((&x, sum), square) in pixel.iter().zip(&mut stats.sums).zip(&mut stats.squares) {
                    *sum += f64::from(x);
                    *square += f64::from(x) * f64::from(x);
                }
            }
            stats
        };
        rows.par_iter().map(row_stats).reduce(Self::default, Self::merge)
    }

    fn merge(self, other: Self) -> Self {
        if self.pixels == 0 {
            return other;
        }
        let add = |a: Vec<f64>, b: Vec<f64>| a.iter().zip(&b).map(|(a, b)| a + b).collect();
        match other.pixels {
            0 => self,
            pixels => Self {
                pixels: self.pixels + pixels,
                sums: add(self.sums, other.sums),
                squares: add(self.squares, other.squares),
            },
        }
    }

    /// The mean and the reciprocal standard deviation of each group of channels, repeated for each channel.
    pub fn mean_and_scale(&self, groups: usize, epsilon: f64) -> (Vec<f32>, Vec<f32>) {
        let in_group = self.sums.len() / groups;
        let count = (self.pixels * in_group) as f64;
        let group_stats = |(sums, squares): (&[f64], &[f64])| {
            let mean = sums.iter().sum::<f64>() / count;
            let variance = (squares.iter().sum::<f64>() / count - mean * mean).max(0.0);
            (mean as f32, ((variance + epsilon).sqrt().recip()) as f32)
        };
        let groups = self.sums.chunks_exact(in_group).zip(self.squares.chunks_exact(in_group));
        groups.flat_map(|group| std::iter::repeat_n(group_stats(group), in_group)).unzip()
    }
}
