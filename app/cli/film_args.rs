//! The film of a render: its options, and the writing of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::builder::TypedValueParser;
use clap::{ArgGroup, Args};
use engine::diffusion::Trajectory;
use engine::files::SaveError;
use engine::images::{Animation, AnimationFormat, Pixels, Playback, write_animation};
use engine::pipeline::StopFlag;
use engine::pipeline::animation_export::{AnimationError, AnimationLayout, AnimationOptions};
use engine::pipeline::{GenerateError, Pipeline};

use super::args::one_of;
use super::{Failure, progress};

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("a film").multiple(true).args(["film", "contact_sheet"]))]
pub struct FilmArgs {
    /// Write the picture coming out of the noise: F.gif, F.png (which plays), F.mp4, or F/ for a folder
    /// of numbered pictures, which must be new or empty
    #[arg(long, value_name = "F")]
    pub film: Option<PathBuf>,
    /// Steps a second, 1 to 50; the finished picture stays for two seconds
    #[arg(long, value_name = "N", default_value_t = AnimationOptions::default().fps, requires = "film", allow_negative_numbers = true)]
    pub film_fps: u32,
    /// What is seen of each step
    #[arg(long, value_name = "WHAT", default_value = AnimationLayout::default().name(), value_parser = view_parser(), requires = "a film")]
    pub film_view: AnimationLayout,
    /// Write step and sigma under each picture
    #[arg(long, requires = "a film")]
    pub film_captions: bool,
    /// Decode every step in full, which takes its time, rather than show its preview
    #[arg(long, requires = "a film")]
    pub film_full: bool,
    /// What comes after the end
    #[arg(long, value_name = "HOW", default_value = Playback::default().name(), value_parser = playback_parser(), requires = "film")]
    pub film_play: Playback,
    /// Write all steps into one picture
    #[arg(long, value_name = "C.png")]
    pub contact_sheet: Option<PathBuf>,
}

impl FilmArgs {
    pub fn options(&self) -> AnimationOptions {
        AnimationOptions {
            view: self.film_view,
            is_full: self.film_full,
            has_captions: self.film_captions,
            fps: self.film_fps,
            playback: self.film_play,
        }
    }

    /// Says what no film can be, before anything is computed.
    pub fn check(&self) -> Result<(), Failure> {
        self.options().check().map_err(Failure::usage)
    }

    /// Says which film of so many pictures of a size (width, height) would be too large.
    pub fn check_size(&self, pictures: usize, size: (u32, u32)) -> Result<(), Failure> {
        if let Some(path) = &self.film {
            let format = AnimationFormat::of_path(path).expect("the name was looked at before");
            let frame = (size.0 * self.film_view.panels() as u32, size.1);
            format.check(frame, path).map_err(Failure::usage)?;
        }
        self.options().check_size(pictures, size).map_err(Failure::usage)
    }

    /// The film of one picture of a batch.
    pub fn animation(
        &self,
        pipeline: &Pipeline,
        trajectory: &Trajectory,
        (index, finished): (usize, &Arc<Pixels>),
        stop: &StopFlag,
    ) -> Result<Animation, Failure> {
        let bar = progress::film_bar();
        let made =
            pipeline.animation(trajectory, index, Some(finished), &self.options(), stop, &mut |fraction| {
                progress::set_fraction(&bar, fraction);
            });
        bar.finish_and_clear();
        made.map_err(|error| match error {
            AnimationError::Decode(GenerateError::Stopped) => stopped(),
            error => Failure::failed(error),
        })
    }
}

/// Writes the film and the contact sheet, as far as they are wanted.
pub fn write_films(
    [film, contact_sheet]: [Option<&PathBuf>; 2],
    reel: &Animation,
    stop: &StopFlag,
) -> Result<(), Failure> {
    if let Some(path) = film {
        write(path, AnimationFormat::of_path(path).expect("the name was looked at before"), reel, stop)?;
    }
    contact_sheet.map_or(Ok(()), |path| write(path, AnimationFormat::ContactSheet, reel, stop))
}

fn write(path: &Path, format: AnimationFormat, reel: &Animation, stop: &StopFlag) -> Result<(), Failure> {
    let bar = progress::film_bar();
    let written = write_animation(path, format, reel, &mut |fraction| {
        progress::set_fraction(&bar, fraction);
        !stop.is_raised()
    });
    bar.finish_and_clear();
    written.map_err(|error| match error {
        SaveError::Stopped { .. } => stopped(),
        error => Failure::failed(error),
    })
}

/// Pictures come before films.
fn stopped() -> Failure {
    Failure::failed("Stopped; the pictures are saved, and the film is not")
}

fn view_parser() -> impl TypedValueParser<Value = AnimationLayout> {
    one_of(AnimationLayout::ALL.map(|view| (view.name(), view.hint(), view)))
}

fn playback_parser() -> impl TypedValueParser<Value = Playback> {
    one_of(Playback::ALL.map(|playback| (playback.name(), playback.hint(), playback)))
}
