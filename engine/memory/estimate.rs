//! Estimates the memory of a run before it starts.

use crate::checkpoint::ModelConfig;
use crate::losses::GradientPath;
use crate::memory::mode::MemoryMode;
use crate::models::UnetConfig;
use crate::models::backward::MAX_KEPT_AREA;
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
    /// Bytes of a latent pixel: gradients are computed in another way for a few of them.
    gradient: GradientEstimate,
}

/// Peak bytes of a gradient of one picture, per latent pixel.
///
/// Peaks of the process above its weights, of the built-in model on the CPU in MB, with the estimate:
///
/// | | decoder | | UNet | |
/// |---|---|---|---|---|
/// | 256 x 256 | 94 | 221 | 216 | 231 |
/// | 512 x 512 | 300 | 554 | 1080 | 1420 |
/// | 768 x 768 | 1280 | 1680 | | |
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct GradientEstimate {
    /// Pixels of the picture for each latent pixel.
    latent_area: f64,
    /// Through the decoder: of the largest segment, and of all of them if a small picture keeps them.
    decoder: f64,
    decoder_kept: f64,
    /// The same through the UNet, without its attention.
    unet: f64,
    unet_kept: f64,
    /// The attention of one latent pixel to another: at the UNet's first level, and in the middle of the decoder.
    scores: f64,
    decoder_scores: f64,
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
            gradient: GradientEstimate::new(config),
        }
    }

    /// Bytes of the gradient that guides through this path need for a picture, picture by picture.
    pub fn guide_bytes(&self, pixels: u64, path: GradientPath) -> u64 {
        self.gradient.bytes(pixels as f64, path) as u64
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

impl GradientEstimate {
    fn new(config: &ModelConfig) -> Self {
        let vae = &config.vae;
        let latent_area = (vae.factor() * vae.factor()) as f64;
        let first = vae.block_out_channels[0] as f64;
        let second = vae.block_out_channels.get(1).map_or(first, |&second| second as f64);
        let width = config.unet.block_out_channels[0] as f64;
        let f32s = |numbers: f64| MARGIN * 4.0 * numbers;
        Self {
            latent_area,
            // The first block of the last level: its input, what its norms and convolutions leave, and their gradients.
            decoder: f32s(latent_area * (8.0 * second + 4.0 * first)),
            decoder_kept: f32s(latent_area * 32.0 * first),
            // All skip connections, and a transformer of the first level with the gradients of its feed-forward.
            unet: f32s(unet_numbers(&config.unet) + 60.0 * width),
            unet_kept: f32s(800.0 * width),
            // The scores of each head, their softmax, the product with the values, and the gradients of the first two.
            scores: f32s(4.5 * config.unet.attention_head_dim.at(0) as f64),
            decoder_scores: f32s(4.5),
        }
    }

    fn bytes(&self, pixels: f64, path: GradientPath) -> f64 {
        let latent_pixels = pixels / self.latent_area.max(1.0);
        let is_kept = latent_pixels <= MAX_KEPT_AREA as f64;
        let decoder = if is_kept { self.decoder_kept } else { self.decoder };
        let decoder = latent_pixels * decoder.max(latent_pixels * self.decoder_scores);
        match path {
            GradientPath::Preview => 0.0,
            GradientPath::Decoder => decoder,
            GradientPath::Unet if is_kept => decoder.max(latent_pixels * self.unet_kept),
            GradientPath::Unet => decoder.max(latent_pixels * (self.unet + latent_pixels * self.scores)),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradients_of_stable_diffusion_1_at_512_pixels_fit_into_6_and_8_gigabytes() {
        let estimate = MemoryEstimate::new(&ModelConfig::sd15(), 4);
        let gigabytes = |path| estimate.guide_bytes(512 * 512, path) as f64 / 1e9;
        assert!(
            (1.0..6.0).contains(&gigabytes(GradientPath::Decoder)),
            "{}",
            gigabytes(GradientPath::Decoder)
        );
        assert!((2.0..8.0).contains(&gigabytes(GradientPath::Unet)), "{}", gigabytes(GradientPath::Unet));
        assert_eq!(gigabytes(GradientPath::Preview), 0.0);
    }
}
