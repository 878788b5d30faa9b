//! The mathematics of sampling, in k-diffusion's three nouns.
//!
//! A *schedule* is a list of sigmas. A *denoiser* predicts clean latents. A *sampler* walks down the
//! sigmas asking the denoiser. None of them knows of prompts, windows or files.

mod analytic;
mod cephes;
mod denoiser;
mod guidance;
mod latents;
mod mersenne;
mod noise;
mod nvidia;
mod prediction;
mod preview;
mod recorder;
mod rescue;
mod samplers;
mod sigmas;
mod step_view;

pub use analytic::{denoise_mixture, measured_order};
pub use denoiser::{Denoiser, Halt, Observer, Step};
pub use guidance::{Cfg, EpsModel};
pub use latents::{Latents, are_sound};
pub use noise::{Noise, NoiseSource, NoiseStreams, TorchGenerator};
pub use nvidia::NvidiaGenerator;
pub use prediction::Prediction;
pub use preview::{LatentRgb, SD1_LATENT_RGB};
pub use recorder::{Film, RecordedStep, Recorder};
pub use rescue::Rescued;
pub use samplers::{Sampler, SamplerOption, SamplerOptions, sample};
pub use sigmas::{BetaSchedule, NoiseSchedule, Schedule, ScheduleOptions};
pub use step_view::StepView;
