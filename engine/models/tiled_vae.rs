//! A picture too large for the room on its device: it lies in main memory row by row, and the layers
//! work on a band of rows at a time.
//!
//! A band comes with the rows around it that its layers look at, and what they make of those is cut off
//! again, so a convolution meets no seam. Group norms span the whole picture, which no tile can know:
//! their statistics are taken over all bands first. What comes out is the whole network's answer up to
//! rounding, for any picture, with nothing to blend.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use super::{CancelCheck, check_cancelled, values};
use crate::error::EngineError;

/// Numbers that the tensors of a band have at most, but for very wide pictures: 16 MiB in f32. Our own
/// tests take less, so that small pictures have many bands.
const BAND_ELEMENTS: usize = if cfg!(test) { 1 << 14 } else { 1 << 22 };

/// Fewer rows than this, and most of the work is on the rows around them.
const MIN_ROWS: usize = 8;

/// Where the bands are worked on.
pub struct TileContext<'a> {
    pub device: Device,
    /// Asked before each band.
    pub is_cancelled: &'a CancelCheck<'a>,
}

impl<'a> TileContext<'a> {
    /// Where `x` is.
    pub fn of(x: &Tensor<4>, is_cancelled: &'a CancelCheck<'a>) -> Self {
        Self { device: x.device(), is_cancelled }
    }
}

/// One picture, `[1, channels, height, width]`.
pub struct TiledImage<'a> {
    /// `[width, channels]` each, from the top.
    rows: Vec<Vec<f32>>,
    width: usize,
    channels: usize,
    bench: &'a TileContext<'a>,
}

/// What layers do to the rows that they are given.
#[derive(Clone, Copy)]
pub enum RowPadding {
    /// As many come out, and each depends on so many others above and below.
    Kept(usize),
    /// Upsampling and a convolution of 3 x 3.
    Doubled,
    /// A convolution of 3 x 3 over every second row, which looks at one more below.
    Halved,
}

impl RowPadding {
    /// Rows looked at above and below.
    fn around(self) -> (usize, usize) {
        match self {
            Self::Kept(reach) => (reach, reach),
            Self::Doubled => (1, 1),
            Self::Halved => (0, 1),
        }
    }

    fn after(self, rows: usize) -> usize {
        match self {
            Self::Kept(_) => rows,
            Self::Doubled => 2 * rows,
            Self::Halved => rows / 2,
        }
    }
}

impl<'a> TiledImage<'a> {
    /// # Panics
    /// If `x` is a batch of several.
    pub fn new(x: Tensor<4>, bench: &'a TileContext<'a>) -> Result<Self, EngineError> {
        let [batch, channels, height, width] = x.dims();
        assert_eq!(batch, 1, "one picture at a time");
        Ok(Self { rows: to_rows(x, 0, height)?, width, channels, bench })
    }

    /// The picture after `layers`. Its rows are let go as soon as no band to come needs them.
    pub fn map(
        mut self,
        kind: RowPadding,
        layers: &dyn Fn(Tensor<4>) -> Tensor<4>,
    ) -> Result<Self, EngineError> {
        let mut rows = Vec::with_capacity(kind.after(self.rows.len()));
        let (mut width, mut channels) = (self.width, self.channels);
        for band in self.bands(kind) {
            let y = self.pass(band.clone(), kind, layers, &mut rows)?;
            (channels, width) = (y[1], y[3]);
            let (above, _) = kind.around();
            self.rows[..band.end.saturating_sub(above)].iter_mut().for_each(|row| *row = Vec::new());
        }
        Ok(Self { rows, width, channels, bench: self.bench })
    }

    /// How the numbers of each channel are spread over the picture.
    pub fn spread(&self) -> ChannelStats {
        ChannelStats::of(&self.rows, self.channels)
    }

    /// The same of what `layers` would make of the picture, which is not kept.
    pub fn spread_after(
        &self,
        kind: RowPadding,
        layers: &dyn Fn(Tensor<4>) -> Tensor<4>,
    ) -> Result<ChannelStats, EngineError> {
        let mut whole = ChannelStats::default();
        for band in self.bands(kind) {
            let mut rows = Vec::new();
            let y = self.pass(band, kind, layers, &mut rows)?;
            whole = whole.and(ChannelStats::of(&rows, y[1]));
        }
        Ok(whole)
    }

    /// The picture on the device, whole: for where its rows are few or narrow.
    pub fn whole(self) -> Tensor<4> {
        self.on_device(0..self.rows.len())
    }

    /// `[1, channels, rows, width]`, lying in memory as the rows do.
    fn on_device(&self, rows: Range<usize>) -> Tensor<4> {
        let shape = [1, rows.len(), self.width, self.channels];
        let data = TensorData::new(self.rows[rows].concat(), shape);
        Tensor::from_data(data, &self.bench.device).permute([0, 3, 1, 2])
    }

    fn bands(&self, kind: RowPadding) -> impl Iterator<Item = Range<usize>> + use<> {
        let growth = if matches!(kind, RowPadding::Doubled) { 4 } else { 1 };
        let rows = BAND_ELEMENTS / (self.width * self.channels * growth);
        // An even number, since they may be halved.
        let rows = (rows / 2 * 2).max(MIN_ROWS);
        let height = self.rows.len();
        (0..height).step_by(rows).map(move |start| start..(start + rows).min(height))
    }

    /// Puts the rows that `layers` make of a band behind `into`, and says the shape of their answer.
    fn pass(
        &self,
        band: Range<usize>,
        kind: RowPadding,
        layers: &dyn Fn(Tensor<4>) -> Tensor<4>,
        into: &mut Vec<Vec<f32>>,
    ) -> Result<[usize; 4], EngineError> {
        check_cancelled(self.bench.is_cancelled)?;
        let (above, below) = kind.around();
        let start = band.start.saturating_sub(above);
        let end = (band.end + below).min(self.rows.len());
        let y = layers(self.on_device(start..end));
        let shape = y.dims();
        into.extend(to_rows(y, kind.after(band.start - start), kind.after(band.len()))?);
        Ok(shape)
    }
}

/// Some rows of a picture, `[width, channels]` each.
fn to_rows(x: Tensor<4>, first: usize, count: usize) -> Result<Vec<Vec<f32>>, EngineError> {
    let [_, channels, _, width] = x.dims();
    let values = values(x.narrow(2, first, count).permute([0, 2, 3, 1]))?;
    Ok(values.chunks_exact(width * channels).map(<[f32]>::to_vec).collect())
}

/// Sums over pixels, channel by channel, from which mean and variance follow. In f64, where the squares
/// of f32 numbers are exact.
#[derive(Clone, Debug, Default)]
pub struct ChannelStats {
    pixels: usize,
    sums: Vec<f64>,
    squares: Vec<f64>,
}

impl ChannelStats {
    fn of(rows: &[Vec<f32>], channels: usize) -> Self {
        let of_row = |row: &Vec<f32>| {
            let mut spread = Self {
                pixels: row.len() / channels,
                sums: vec![0.0; channels],
                squares: vec![0.0; channels],
            };
            for pixel in row.chunks_exact(channels) {
                for ((&x, sum), square) in pixel.iter().zip(&mut spread.sums).zip(&mut spread.squares) {
                    *sum += f64::from(x);
                    *square += f64::from(x) * f64::from(x);
                }
            }
            spread
        };
        rows.par_iter().map(of_row).reduce(Self::default, Self::and)
    }

    fn and(self, other: Self) -> Self {
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

    /// Mean and one over the deviation of groups of channels, repeated for each channel of a group.
    pub fn mean_and_scale(&self, groups: usize, epsilon: f64) -> (Vec<f32>, Vec<f32>) {
        let in_group = self.sums.len() / groups;
        let count = (self.pixels * in_group) as f64;
        let of_group = |(sums, squares): (&[f64], &[f64])| {
            let mean = sums.iter().sum::<f64>() / count;
            let variance = (squares.iter().sum::<f64>() / count - mean * mean).max(0.0);
            (mean as f32, ((variance + epsilon).sqrt().recip()) as f32)
        };
        let groups = self.sums.chunks_exact(in_group).zip(self.squares.chunks_exact(in_group));
        groups.flat_map(|group| std::iter::repeat_n(of_group(group), in_group)).unzip()
    }
}
