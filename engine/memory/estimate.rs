//! How much memory a picture takes, asked before the work and not found out by being killed.

use crate::checkpoint::ModelConfig;
use crate::memory::low_memory::MemoryMode;
use crate::models::UnetConfig;
use crate::recipe::{Recipe, Start};

/// An estimate is this much more than the numbers that are alive at once: little things, and what allocators add.
const MARGIN: f64 = 1.1;

/// Bytes of activations at their peak beside the weights, mostly for each pixel of the picture.
///
/// Peaks of the process on the CPU, MB (`tests/facts/memory_pressure.rs` measures them by hand):
///
/// | | UNet | decode | in bands | encode | in bands |
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
    /// The working set of a band, whatever the size of the picture.
    band: f64,
    /// What the kernels and the text encoder take, whatever the size.
    least: f64,
    /// A recorded step: what entered it, what was answered (twice, where a sampler asks twice), and what
    /// guidance added.
    step: f64,
    /// Where one token looks.
    attention: f64,
}

impl MemoryEstimate {
    /// `unet_bytes` are those of one number in the UNet, 2 or 4. The rest computes in f32.
    pub(crate) fn new(config: &ModelConfig, unet_bytes: usize) -> Self {
        let vae = &config.vae;
        let f32s = |numbers: f64| MARGIN * 4.0 * numbers;
        let latent_area = (vae.factor() * vae.factor()) as f64;
        let first = vae.block_out_channels[0] as f64;
        let second = vae.block_out_channels.get(1).map_or(first, |&second| second as f64);
        Self {
            unet: MARGIN * unet_bytes as f64 * unet_numbers(&config.unet) / latent_area,
            // At the last level: what comes up from below, the same normalised, and what the first
            // convolution makes of it.
            decode: f32s(2.0 * second + first),
            decode_tiled: f32s(second),
            // At the first level: its channels, the same normalised, and convolved.
            encode: f32s(3.0 * first),
            encode_tiled: f32s(2.0 * first),
            band: 60e6,
            least: 8e6,
            step: 4.0 * 4.0 * vae.latent_channels as f64 / latent_area,
            // The maps, those of the layer at hand, and each head's scores and weights.
            attention: f32s((2 + 2 * config.unet.heads().at(0)) as f64) / latent_area,
        }
    }

    /// How to make the pictures of a recipe in so many bytes, or else how many it takes at least.
    pub fn mode_for(&self, recipe: &Recipe, free: u64) -> Result<MemoryMode, u64> {
        let fits = |&mode: &MemoryMode| self.bytes(recipe, mode) <= free;
        let fitting = [MemoryMode::Full, MemoryMode::LowMemory].into_iter().find(fits);
        fitting.ok_or_else(|| self.bytes(recipe, MemoryMode::LowMemory))
    }

    /// Bytes for the pictures of a recipe, at the stage that takes most.
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
        (self.unet * pixels as f64 + self.least) as u64
    }

    /// What finding out where so many tokens look takes, beside a pass of the UNet.
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
            MemoryMode::LowMemory => (tiled * pixels as f64 + self.band) as u64,
        }
    }

    /// What stays while the pictures are made: every recorded step, and the pictures themselves in f32 and
    /// in 8 bits.
    fn kept_bytes(&self, recipe: &Recipe, pixels: u64) -> u64 {
        let steps = recipe.steps.saturating_sub(recipe.start_step());
        let of_pixel = f64::from(steps) * self.step + 3.0 * 5.0;
        (f64::from(recipe.batch) * of_pixel * pixels as f64) as u64
    }
}

/// Numbers alive in the UNet for each latent pixel: all skips on the way down, and beside them the widest
/// layer of the first level, the gated feed-forward of its transformer, eight times the channels before the
/// gate and four after.
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

/// Bytes of main memory that are free for us, where the system tells.
pub fn free_bytes() -> Option<u64> {
    let mut system = sysinfo::System::new().ok()?;
    system.refresh_memory();
    Some(system.available_memory()).filter(|&bytes| bytes > 0)
}
