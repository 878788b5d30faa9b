//! From a recorded run to a film: which pictures of each step are shown, and what is written under them.

use std::sync::Arc;

use crate::choice::impl_choice;
use crate::diffusion::{Latents, Trajectory};
use crate::format::human_size;
use crate::images::{Animation, AnimationFrame, FPS, Panel, Pixels, Playback, Provenance};
use crate::pipeline::StopFlag;
use crate::pipeline::{GenerateError, Pipeline};

/// How a film is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnimationOptions {
    pub view: AnimationLayout,
    /// Every step is decoded in full, which takes its time, rather than shown as its preview.
    pub is_full: bool,
    /// Step and sigma are written under each picture.
    pub has_captions: bool,
    /// Steps a second, see [`FPS`].
    pub fps: u32,
    pub playback: Playback,
}

/// What is seen of a step.
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

/// Why there is no film.
#[derive(Debug, thiserror::Error)]
pub enum AnimationError {
    #[error("A film of {0} frames a second cannot be made: choose 1 to 50")]
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

/// Of all the pictures of a film, which are held until it is written.
const MAX_BYTES: u64 = 2_000_000_000;

impl AnimationOptions {
    /// Says a value that no film can have.
    pub fn check(&self) -> Result<(), AnimationError> {
        if FPS.contains(&self.fps) { Ok(()) } else { Err(AnimationError::Pace(self.fps)) }
    }

    /// Says that a film of `steps` steps of `size` (width, height) would be too large.
    pub fn check_size(&self, steps: usize, size: (u32, u32)) -> Result<(), AnimationError> {
        let bytes = steps as u64 * self.view.panels() * u64::from(size.0) * u64::from(size.1) * 3;
        match self.is_full && bytes > MAX_BYTES {
            true => Err(AnimationError::TooLarge { steps, bytes }),
            false => Ok(()),
        }
    }

    fn pane(&self, picture: Arc<Pixels>, [left, right]: [&str; 2]) -> Panel {
        Panel { picture, caption: self.has_captions.then(|| [left.to_owned(), right.to_owned()]) }
    }
}

impl Pipeline {
    /// The film of one picture of a batch, which knows nothing of its provenance yet. It ends with the
    /// `finished` picture, if there is one. `progress` is told the fraction done; `stop` ends it early.
    pub fn animation(
        &self,
        trajectory: &Trajectory,
        picture: usize,
        finished: Option<&Arc<Pixels>>,
        options: &AnimationOptions,
        stop: &StopFlag,
        progress: &mut dyn FnMut(f32),
    ) -> Result<Animation, AnimationError> {
        options.check()?;
        let size = match trajectory.steps.first() {
            Some(recorded) => self.size_of(&recorded.x),
            None => finished.map_or((0, 0), |pixels| (pixels.width, pixels.height)),
        };
        options.check_size(trajectory.steps.len(), size)?;
        let mut frames: Vec<AnimationFrame> = Vec::new();
        for (index, recorded) in trajectory.steps.iter().enumerate() {
            progress(index as f32 / trajectory.steps.len() as f32);
            let step = trajectory.start_step + index;
            let name = format!("step {}", step + 1);
            let sigma = format!("σ {:.3}", recorded.sigma);
            let show = |latents| self.show(latents, picture, options.is_full, stop);
            frames.push(match options.view {
                AnimationLayout::Predicted => vec![options.pane(show(&recorded.denoised)?, [&name, &sigma])],
                AnimationLayout::Both => vec![
                    options.pane(show(&recorded.x)?, ["noisy", &sigma]),
                    options.pane(show(&recorded.denoised)?, ["predicted", &name]),
                ],
            });
        }
        if let Some(pixels) = finished {
            let pane = || options.pane(Arc::clone(pixels), ["finished", "σ 0"]);
            frames.push(match options.view {
                AnimationLayout::Predicted => vec![pane()],
                AnimationLayout::Both => vec![pane(), pane()],
            });
        }
        let provenance = Provenance::default();
        Ok(Animation { frames, size, fps: options.fps, playback: options.playback, provenance })
    }

    /// Width and height of latents once they are decoded.
    fn size_of(&self, latents: &Latents) -> (u32, u32) {
        let [_, _, height, width] = latents.shape;
        (width as u32 * self.info.vae_factor, height as u32 * self.info.vae_factor)
    }

    fn show(
        &self,
        latents: &Latents,
        picture: usize,
        is_full: bool,
        stop: &StopFlag,
    ) -> Result<Arc<Pixels>, GenerateError> {
        if stop.is_raised() {
            return Err(GenerateError::Stopped);
        }
        if !is_full {
            return Ok(Arc::new(Pixels::preview(&self.latent_rgb, latents, picture)));
        }
        let [_, channels, height, width] = latents.shape;
        let alone = Latents::new([1, channels, height, width], latents.picture(picture).to_vec());
        Ok(self.pictures(&alone, stop)?.swap_remove(0))
    }
}
