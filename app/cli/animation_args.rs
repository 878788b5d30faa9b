//! The animation of a run, on the command line: its options, and writing it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{ArgGroup, Args};
use engine::diffusion::Trajectory;
use engine::files::SaveError;
use engine::images::{Animation, AnimationFormat, Pixels, Playback, write_animation};
use engine::pipeline::animation_export::{AnimationError, AnimationLayout, AnimationOptions, animate};
use engine::pipeline::{GenerateError, Pipeline, StopFlag};

use super::shared_args::one_of;
use super::{Failure, progress};

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("a film").multiple(true).args(["film", "contact_sheet"]))]
pub struct AnimationArgs {
    /// Write the steps as an animation: F.gif, F.png (an APNG), F.mp4, or F/ for a folder of numbered
    /// pictures, which must be new or empty
    #[arg(long, value_name = "F")]
    pub film: Option<PathBuf>,
    /// Steps per second, 1 to 50; the finished picture stays for two seconds
    #[arg(long, value_name = "N", default_value_t = AnimationOptions::default().fps, requires = "film", allow_negative_numbers = true)]
    pub film_fps: u32,
    /// What to show of each step
    #[arg(long, value_name = "WHAT", default_value = AnimationLayout::default().name(), value_parser = one_of(AnimationLayout::ALL, AnimationLayout::name, AnimationLayout::hint, &[]), requires = "a film")]
    pub film_view: AnimationLayout,
    /// Write step and sigma below each picture
    #[arg(long, requires = "a film")]
    pub film_captions: bool,
    /// Decode every step with the VAE instead of showing its preview; this is slow
    #[arg(long, requires = "a film")]
    pub film_full: bool,
    /// What follows the last frame
    #[arg(long, value_name = "HOW", default_value = Playback::default().name(), value_parser = one_of(Playback::ALL, Playback::name, Playback::hint, &[]), requires = "film")]
    pub film_play: Playback,
    /// Write all steps into one picture
    #[arg(long, value_name = "C.png")]
    pub contact_sheet: Option<PathBuf>,
}

impl AnimationArgs {
    pub fn options(&self) -> AnimationOptions {
        AnimationOptions {
            view: self.film_view,
            is_full: self.film_full,
            has_captions: self.film_captions,
            fps: self.film_fps,
            playback: self.film_play,
        }
    }

    /// Refuses options that no animation can have, before anything is computed.
    pub fn check(&self) -> Result<(), Failure> {
        self.options().check().map_err(Failure::usage)
    }

    /// Refuses an animation that would be too large, given the number of pictures and their size (width,
    /// height).
    pub fn check_size(&self, pictures: usize, size: (u32, u32)) -> Result<(), Failure> {
        if let Some(path) = &self.film {
            let format = AnimationFormat::from_path(path).expect("OutputFiles::plan has checked the name");
            let frame = (size.0 * self.film_view.panels() as u32, size.1);
            format.check(frame, path).map_err(Failure::usage)?;
        }
        self.options().check_size(pictures, size).map_err(Failure::usage)
    }

    /// The animation of one picture of a batch.
    pub fn animation(
        &self,
        pipeline: &Pipeline,
        trajectory: &Trajectory,
        (index, finished): (usize, &Arc<Pixels>),
        stop: &StopFlag,
    ) -> Result<Animation, Failure> {
        let bar = progress::fraction_bar("making the film");
        let animation =
            animate(pipeline, trajectory, index, Some(finished), &self.options(), stop, &mut |fraction| {
                progress::set_fraction(&bar, fraction);
            });
        bar.finish_and_clear();
        animation.map_err(|error| match error {
            AnimationError::Decode(GenerateError::Stopped) => stopped(),
            error => Failure::failed(error),
        })
    }
}

/// Writes the animation to the film and to the contact sheet, whichever is asked for.
pub fn write_animations(
    [film, contact_sheet]: [Option<&PathBuf>; 2],
    animation: &Animation,
    stop: &StopFlag,
) -> Result<(), Failure> {
    if let Some(path) = film {
        let format = AnimationFormat::from_path(path).expect("OutputFiles::plan has checked the name");
        write(path, format, animation, stop)?;
    }
    contact_sheet.map_or(Ok(()), |path| write(path, AnimationFormat::ContactSheet, animation, stop))
}

fn write(
    path: &Path,
    format: AnimationFormat,
    animation: &Animation,
    stop: &StopFlag,
) -> Result<(), Failure> {
    let bar = progress::fraction_bar("making the film");
    let written = write_animation(path, format, animation, &mut |fraction| {
        progress::set_fraction(&bar, fraction);
        !stop.is_raised()
    });
    bar.finish_and_clear();
    written.map_err(|error| match error {
        SaveError::Stopped { .. } => stopped(),
        error => Failure::failed(error),
    })
}

/// The pictures are written before the animations.
fn stopped() -> Failure {
    Failure::failed("Stopped; the pictures are saved, but the film is not")
}
