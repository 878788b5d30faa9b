//! The mathematics of sampling, in k-diffusion's three nouns.
//!
//! A *schedule* is a list of sigmas. A *denoiser* predicts clean latents. A *sampler* steps down the sigmas and
//! calls the denoiser. None of them depends on prompts, windows or files.

pub(crate) mod f32_fallback;
pub(crate) mod gaussian_mixture;
pub(crate) mod latent_rgb;
pub(crate) mod mersenne_twister;
pub(crate) mod trajectory;

mod cephes;
mod denoiser;
mod guidance;
mod latents;
mod noise;
mod philox;
mod prediction;
mod samplers;
mod sigmas;
mod step_view;

pub use denoiser::{Denoiser, Observer, Step};
pub use f32_fallback::F32Fallback;
pub use gaussian_mixture::{denoise_mixture, measured_order};
pub use guidance::{Cfg, DenoiserGradient, EpsGradient, EpsModel};
pub use latent_rgb::{LatentRgb, SD1_LATENT_RGB};
pub use latents::{Latents, are_finite_and_nonzero};
pub use noise::{Noise, NoiseSource, NoiseStreams, TorchGenerator};
pub use philox::NvidiaGenerator;
pub use prediction::Prediction;
pub use samplers::{SampleArgs, Sampler, SamplerOption, SamplerOptions, sample};
pub use sigmas::{BetaSchedule, NoiseSchedule, Schedule, ScheduleOptions};
pub use step_view::StepView;
pub use trajectory::{LossGuidance, RecordedStep, RecordedSteps, Recorder, Trajectory};
