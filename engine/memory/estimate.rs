//! Estimates the memory of a run before it starts.

use crate::checkpoint::ModelConfig;
use crate::memory::mode::MemoryMode;
use crate::models::UnetConfig;
use crate::recipe::{Recipe, Start};

/// The factor for small allocations and allocator overhead over the numbers that are alive at once.
const MARGIN: f64 = 1.1;

/// Peak bytes of activations, in addition to the weights; most fields are per pixel of the picture.
///
/// Peaks of the process on the CPU, MB (`tests/facts/memory_pressure.rs` measures them by hand):
///
/// | | UNet | decode | tiled | encode | tiled |
/// |---|---|---|---|---|---|
/// | built-in, 256 x 256 | 7 | 31 | 47 | 19 | 25 |
/// | built-in, 512 x 512 | 17 | 126 | 94 | 75 | 78 |
/// | built-in, 768 x 512 | 24 | 189 | 119 | 113 | 93 |
/// | built-in, 1024 x 1024 | 63 | 503 | 247 | 302 | 218 |
/// | SD 1.5, 256 x 256 | 28 | 168 | 112 | 101 | 86 |
/// | SD 1.5, 512 x 512 | 86 | 671 | | 403 | |
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MemoryEstimate {
    /// One pass of the UNet over one picture.
    unet: f64,
    decode: f64,
    decode_tiled: f64,
    encode: f64,
    encode_tiled: f64,
    /// The working set of a tile, regardless of the picture's size.
    tile: f64,
    /// Kernels and the text encoder, regardless of the size.
    base: f64,
    /// A recorded step: its input, its predictions (two for some samplers), and the guidance difference.
    step: f64,
    /// The attention map of one token.
    attention: f64,
}

impl MemoryEstimate {
    /// `unet_bytes` are the bytes of one number in the UNet, 2 or 4. The other networks compute in f32.
    pub(crate) fn new(config: &ModelConfig, unet_bytes: usize) -> Self {
        let vae = &config.vae;
        let f32s = |numbers: f64| MARGIN * 4.0 * numbers;
        let latent_area = (vae.factor() * vae.factor()) as f64;
        let first = vae.block_out_channels[0] as f64;
        let second = vae.block_out_channels.get(1).map_or(first, |&second| second as f64);
        Self {
            unet: MARGIN * unet_bytes as f64 * unet_numbers(&config.unet) / latent_area,
            // At the last level: the input from the level below, the same normalised, and the output of the first
            // convolution.
            decode: f32s(2.0 * second + first),
            decode_tiled: f32s(second),
            // At the first level: its channels, the same normalised, and the output of a convolution.
            encode: f32s(3.0 * first),
            encode_tiled: f32s(2.0 * first),
            tile: 60e6,
            base: 8e6,
            step: 4.0 * 4.0 * vae.latent_channels as f64 / latent_area,
            // The summed maps, those of the current layer, and each head's scores and weights.
            attention: f32s((2 + 2 * config.unet.attention_head_dim.at(0)) as f64) / latent_area,
        }
    }

    /// Bytes for the pictures of a recipe, at the stage that needs most.
    pub fn bytes(&self, recipe: &Recipe, mode: MemoryMode) -> u64 {
        let pixels = u64::from(recipe.width) * u64::from(recipe.height);
        let passes = match (mode, recipe.guidance.cfg_scale == 1.0) {
            (MemoryMode::LowMemory, _) => 1,
            (MemoryMode::Full, true) => recipe.batch,
            (MemoryMode::Full, false) => 2 * recipe.batch,
        };
        let vae = match recipe.start {
            Start::Noise => self.decode_bytes(pixels, mode),
            Start::Image { .. } => self.decode_bytes(pixels, mode).max(self.encode_bytes(pixels, mode)),
        };
        self.kept_bytes(recipe, pixels) + vae.max(u64::from(passes) * self.unet_bytes(pixels))
    }

    /// One pass of the UNet over one picture.
    pub fn unet_bytes(&self, pixels: u64) -> u64 {
        (self.unet * pixels as f64 + self.base) as u64
    }

    /// Bytes for the attention maps of so many tokens, in addition to a pass of the UNet.
    pub fn attention_bytes(&self, pixels: u64, tokens: usize) -> u64 {
        (self.attention * pixels as f64 * tokens as f64) as u64
    }

    pub fn decode_bytes(&self, pixels: u64, mode: MemoryMode) -> u64 {
        self.of_vae(pixels, mode, self.decode, self.decode_tiled)
    }

    pub fn encode_bytes(&self, pixels: u64, mode: MemoryMode) -> u64 {
        self.of_vae(pixels, mode, self.encode, self.encode_tiled)
    }

    fn of_vae(&self, pixels: u64, mode: MemoryMode, whole: f64, tiled: f64) -> u64 {
        match mode {
            MemoryMode::Full => (whole * pixels as f64) as u64,
            MemoryMode::LowMemory => (tiled * pixels as f64 + self.tile) as u64,
        }
    }

    /// What is kept during the run: every recorded step, and the pictures in f32 and in 8 bits.
    fn kept_bytes(&self, recipe: &Recipe, pixels: u64) -> u64 {
        let steps = recipe.steps.saturating_sub(recipe.start_step());
        let of_pixel = f64::from(steps) * self.step + 3.0 * 5.0;
        (f64::from(recipe.batch) * of_pixel * pixels as f64) as u64
    }
}

/// Numbers alive in the UNet per latent pixel: all skip connections, and the widest layer of the first level, the
/// gated feed-forward of its transformer with eight times the channels before the gate and four times after it.
fn unet_numbers(unet: &UnetConfig) -> f64 {
    let channels = &unet.block_out_channels;
    let mut skips = channels[0] as f64;
    for (level, &width) in channels.iter().enumerate() {
        let area = f64::from(4u32.pow(level as u32));
        skips += (unet.layers_per_block.at(level) * width) as f64 / area;
        if level + 1 < channels.len() {
            skips += width as f64 / (4.0 * area);
        }
    }
    skips + (12 * channels[0]) as f64
}

/// Bytes of available main memory, if the system reports them.
pub fn free_bytes() -> Option<u64> {
    let mut system = sysinfo::System::new().ok()?;
    system.refresh_memory();
    Some(system.available_memory()).filter(|&bytes| bytes > 0)
}
