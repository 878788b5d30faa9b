//! Noise, bit for bit as PyTorch makes it on a CPU.
//!
//! The same seed gives the same picture here, in diffusers and in the lesson's notebook, on every device. So noise
//! is never made on the GPU.

use std::f32::consts::TAU;

use super::Latents;
use super::cephes;
use super::mersenne_twister::MersenneTwister;
use super::philox::NvidiaGenerator;
use crate::choice::{impl_choice, impl_serde_by_name};

/// The generator whose noise a seed gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NoiseSource {
    #[default]
    Torch,
    Nvidia,
}

impl_choice!(NoiseSource);
impl_serde_by_name!(NoiseSource);

impl NoiseSource {
    #[rustfmt::skip]
    const TABLE: [(Self, &str, &str, &str); 2] = [
        (Self::Torch, "torch", "PyTorch on a CPU", "The noise of diffusers, ComfyUI, Invoke and the lesson: Mersenne Twister"),
        (Self::Nvidia, "nvidia", "NVIDIA card", "The noise of A1111 and Forge on NVIDIA cards: Philox"),
    ];
}

/// A source of noise for a sampler.
pub trait Noise {
    /// The next standard normal noise of `shape`, `[batch, channels, height, width]`.
    fn draw(&mut self, shape: [usize; 4]) -> Latents;
}

/// One generator per picture, so that a picture of a batch is the same picture when made alone.
#[derive(Clone, Debug)]
pub struct NoiseStreams {
    generators: Vec<Generator>,
}

#[derive(Clone, Debug)]
enum Generator {
    Torch(TorchGenerator),
    Nvidia(NvidiaGenerator),
}

impl NoiseStreams {
    /// [`NoiseSource::Torch`], with which picture `i` draws from the seed `seed + i`.
    pub fn new(seed: u64, batch: usize) -> Self {
        Self::of(NoiseSource::Torch, seed, batch)
    }

    /// Picture `i` draws from the seed `seed + i`.
    pub fn of(source: NoiseSource, seed: u64, batch: usize) -> Self {
        let seeds = (0..batch as u64).map(|i| seed.wrapping_add(i));
        let generator = |seed| match source {
            NoiseSource::Torch => Generator::Torch(TorchGenerator::new(seed)),
            NoiseSource::Nvidia => Generator::Nvidia(NvidiaGenerator::new(seed)),
        };
        Self { generators: seeds.map(generator).collect() }
    }

    /// Standard normal noise of `shape`; each picture's part is what `torch.randn(1, c, h, w)` would
    /// draw next from its own generator.
    ///
    /// # Panics
    /// If `shape` does not have one picture for each stream.
    pub fn draw(&mut self, shape: [usize; 4]) -> Latents {
        let [batch, channels, height, width] = shape;
        assert_eq!(batch, self.generators.len(), "one noise stream a picture");
        let len = channels * height * width;
        let draw = |generator: &mut Generator| match generator {
            Generator::Torch(generator) => generator.randn(len),
            Generator::Nvidia(generator) => generator.randn(len),
        };
        Latents::new(shape, self.generators.iter_mut().flat_map(draw).collect())
    }
}

impl Noise for NoiseStreams {
    fn draw(&mut self, shape: [usize; 4]) -> Latents {
        Self::draw(self, shape)
    }
}

/// `torch.Generator().manual_seed(seed)` of PyTorch on an x86 CPU with AVX2 or AVX-512.
///
/// On other CPUs PyTorch itself differs from that in last bits, by 2e-6 at most.
#[derive(Clone, Debug)]
pub struct TorchGenerator {
    twister: MersenneTwister,
    /// The second normal of a pair, kept for the next short draw.
    spare: Option<f64>,
}

impl TorchGenerator {
    /// Only the low 32 bits of `seed` matter, as in PyTorch.
    pub fn new(seed: u64) -> Self {
        Self { twister: MersenneTwister::new(seed as u32), spare: None }
    }

    /// The next `n` standard normal numbers: `torch.randn(n, generator=self)`.
    ///
    /// Two draws differ from one longer draw if they are shorter than 16 or not a multiple of 16.
    pub fn randn(&mut self, n: usize) -> Vec<f32> {
        if n < BLOCK {
            return (0..n).map(|_| self.normal() as f32).collect();
        }
        let mut data: Vec<f32> = (0..n).map(|_| self.uniform()).collect();
        data.chunks_exact_mut(BLOCK).for_each(normal_block);
        if !n.is_multiple_of(BLOCK) {
            // The last block overlaps the one before; PyTorch draws it again.
            let last = &mut data[n - BLOCK..];
            last.fill_with(|| self.uniform());
            normal_block(last);
        }
        data
    }

    /// In 0..1, of 24 bits.
    fn uniform(&mut self) -> f32 {
        (self.twister.next_u32() & 0x00ff_ffff) as f32 / (1 << 24) as f32
    }

    /// In 0..1, of 53 bits.
    fn uniform_f64(&mut self) -> f64 {
        (self.twister.next_u64() & ((1 << 53) - 1)) as f64 / (1u64 << 53) as f64
    }

    /// One number of a pair of Box and Muller, in double precision.
    fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let (u1, u2) = (self.uniform_f64(), self.uniform_f64());
        let radius = (-2.0 * (-u2).ln_1p()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * u1).sin_cos();
        self.spare = Some(radius * sin);
        radius * cos
    }
}

/// Long draws are made in blocks of this length.
const BLOCK: usize = 16;

/// Eight pairs of Box and Muller (1958) in place: uniform numbers in, normal numbers out. A pair is
/// eight places apart, one vector register of the CPUs that PyTorch was written for.
fn normal_block(block: &mut [f32]) {
    let (first, second) = block.split_at_mut(BLOCK / 2);
    for (a, b) in first.iter_mut().zip(second) {
        let (u1, u2) = (1.0 - *a, *b);
        let radius = (-2.0 * cephes::log(u1)).sqrt();
        let (sin, cos) = cephes::sin_cos(TAU * u2);
        // PyTorch adds a mean of 0 here, which makes -0 a 0.
        *a = radius * cos + 0.0;
        *b = radius * sin + 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_draws_are_torchs() {
        let lesson = TorchGenerator::new(32).randn(4 * 64 * 64);
        assert_eq!(lesson[..4], [-1.741_562_7, -0.363_503_28, 0.980_327_55, -1.738_701_8]);
        let zero = TorchGenerator::new(0).randn(16);
        assert_eq!(zero[..4], [-1.125_839_8, -1.152_360_2, -0.250_578_58, -0.433_878_8]);
    }

    #[test]
    fn seeds_count_modulo_two_to_the_32() {
        let far = TorchGenerator::new((7 << 32) + 5).randn(64);
        assert_eq!(far, TorchGenerator::new(5).randn(64));
    }

    #[test]
    fn a_picture_of_a_batch_is_the_same_picture_alone() {
        for source in NoiseSource::ALL {
            let mut batch = NoiseStreams::of(source, 10, 3);
            let mut alone = NoiseStreams::of(source, 12, 1);
            for _ in 0..2 {
                let noise = batch.draw([3, 4, 5, 7]);
                assert_eq!(noise.picture(2), alone.draw([1, 4, 5, 7]).picture(0));
            }
        }
    }

    #[test]
    fn noise_is_standard_normal() {
        let noise = TorchGenerator::new(1).randn(100_003);
        let mean =
            |f: fn(f64) -> f64| noise.iter().map(|&v| f(f64::from(v))).sum::<f64>() / noise.len() as f64;
        assert!(mean(|v| v).abs() < 0.01 && (mean(|v| v * v) - 1.0).abs() < 0.02);
        assert!((mean(|v| v.powi(4)) - 3.0).abs() < 0.1);
    }
}
