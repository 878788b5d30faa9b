//! A recorded run as an animation: the pictures of each step and their captions.

use std::sync::Arc;

use crate::choice::impl_choice;
use crate::diffusion::{Latents, Trajectory};
use crate::format::human_size;
use crate::images::{Animation, AnimationFrame, FPS, Panel, Pixels, Playback, Provenance};
use crate::pipeline::{GenerateError, Pipeline, StopFlag};

/// How an animation is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnimationOptions {
    pub view: AnimationLayout,
    /// Whether every step is decoded in full, which is slow, instead of shown as its preview.
    pub is_full: bool,
    /// Whether step and sigma are written under each picture.
    pub has_captions: bool,
    /// Steps per second, see [`FPS`].
    pub fps: u32,
    pub playback: Playback,
}

/// The pictures of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AnimationLayout {
    #[default]
    Predicted,
    Both,
}

impl_choice!(AnimationLayout);

impl AnimationLayout {
    #[rustfmt::skip]
    const TABLE: [(Self, &str, &str, &str); 2] = [
        (Self::Predicted, "predicted", "Predicted", "The final picture as each step predicts it."),
        (Self::Both, "both", "Noisy | predicted", "The noisy latents and the prediction side by side, as in the lesson."),
    ];

    /// Pictures side by side.
    pub const fn panels(self) -> u64 {
        match self {
            Self::Predicted => 1,
            Self::Both => 2,
        }
    }
}

impl Default for AnimationOptions {
    fn default() -> Self {
        let (view, playback) = (AnimationLayout::default(), Playback::default());
        Self { view, is_full: false, has_captions: false, fps: 12, playback }
    }
}

/// Why an animation cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum AnimationError {
    #[error("{0} frames per second is out of range: choose 1 to 50")]
    Pace(u32),
    #[error(
        "{steps} steps decoded in full would take {} of memory, and an animation may take {}: choose \
         the previews, or fewer steps",
        human_size(*.bytes),
        human_size(MAX_BYTES)
    )]
    TooLarge { steps: usize, bytes: u64 },
    #[error(transparent)]
    Decode(#[from] GenerateError),
}

/// Bytes of all pictures of an animation, which are in memory until it is written.
const MAX_BYTES: u64 = 2_000_000_000;

impl AnimationOptions {
    /// # Errors
    /// If the frame rate is out of range.
    pub fn check(&self) -> Result<(), AnimationError> {
        if FPS.contains(&self.fps) { Ok(()) } else { Err(AnimationError::Pace(self.fps)) }
    }

    /// # Errors
    /// If an animation of `steps` steps of `size` (width, height) would be too large.
    pub fn check_size(&self, steps: usize, size: (u32, u32)) -> Result<(), AnimationError> {
        let bytes = steps as u64 * self.view.panels() * u64::from(size.0) * u64::from(size.1) * 3;
        match self.is_full && bytes > MAX_BYTES {
            true => Err(AnimationError::TooLarge { steps, bytes }),
            false => Ok(()),
        }
    }

    fn panel(&self, picture: Arc<Pixels>, [left, right]: [&str; 2]) -> Panel {
        Panel { picture, caption: self.has_captions.then(|| [left.to_owned(), right.to_owned()]) }
    }
}

/// The animation of one picture of a batch, without its provenance. It ends with the `finished` picture, if there
/// is one. `progress` gets the fraction done.
pub fn animate(
    pipeline: &Pipeline,
    trajectory: &Trajectory,
    picture: usize,
    finished: Option<&Arc<Pixels>>,
    options: &AnimationOptions,
    stop: &StopFlag,
    progress: &mut dyn FnMut(f32),
) -> Result<Animation, AnimationError> {
    options.check()?;
    let size = match trajectory.steps.first() {
        Some(recorded) => {
            let [_, _, height, width] = recorded.x.shape;
            (width as u32 * pipeline.info.vae_factor, height as u32 * pipeline.info.vae_factor)
        }
        None => finished.map_or((0, 0), |pixels| (pixels.width, pixels.height)),
    };
    options.check_size(trajectory.steps.len(), size)?;
    let mut frames: Vec<AnimationFrame> = Vec::new();
    for (index, recorded) in trajectory.steps.iter().enumerate() {
        progress(index as f32 / trajectory.steps.len() as f32);
        let name = format!("step {}", trajectory.start_step + index + 1);
        let sigma = format!("σ {:.3}", recorded.sigma);
        let show = |latents| show(pipeline, latents, picture, options.is_full, stop);
        frames.push(match options.view {
            AnimationLayout::Predicted => vec![options.panel(show(&recorded.denoised)?, [&name, &sigma])],
            AnimationLayout::Both => vec![
                options.panel(show(&recorded.x)?, ["noisy", &sigma]),
                options.panel(show(&recorded.denoised)?, ["predicted", &name]),
            ],
        });
    }
    if let Some(pixels) = finished {
        let panel = || options.panel(Arc::clone(pixels), ["finished", "σ 0"]);
        frames.push(match options.view {
            AnimationLayout::Predicted => vec![panel()],
            AnimationLayout::Both => vec![panel(), panel()],
        });
    }
    let provenance = Provenance::default();
    Ok(Animation { frames, size, fps: options.fps, playback: options.playback, provenance })
}

/// One picture of latents, decoded in full or as its preview.
fn show(
    pipeline: &Pipeline,
    latents: &Latents,
    picture: usize,
    is_full: bool,
    stop: &StopFlag,
) -> Result<Arc<Pixels>, GenerateError> {
    if stop.is_raised() {
        return Err(GenerateError::Stopped);
    }
    if !is_full {
        return Ok(Arc::new(Pixels::preview(&pipeline.latent_rgb, latents, picture)));
    }
    let [_, channels, height, width] = latents.shape;
    let one = Latents::new([1, channels, height, width], latents.picture(picture).to_vec());
    Ok(pipeline.pictures(&one, stop)?.swap_remove(0))
}
