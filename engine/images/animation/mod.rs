//! Films: the steps of a run, one picture after another, in files that other programs play.
//!
//! A [`Animation`] holds what is to be seen. [`write_animation`] writes it in one of the [`AnimationFormat`]s, each in
//! a file of its own here; `composing` lays the panes of a step side by side and writes their captions
//! into a strip of their own underneath, so that no picture is covered.

pub(crate) mod contact_sheet;
pub(crate) mod frame_renderer;

mod apng;
mod format;
mod gif;
mod mp4;
mod timing;

use std::io;
use std::path::Path;
use std::sync::Arc;

pub use format::AnimationFormat;
pub use timing::{FPS, Playback};

use super::Pixels;
use super::metadata::Provenance;
use crate::files::SaveError;
use frame_renderer::FrameRenderer;
pub(super) use frame_renderer::{at_size, lay};

/// A film, ready to be written.
#[derive(Clone, Debug)]
pub struct Animation {
    /// In the order of the steps, each of as many panes. The last one is held for a while.
    pub shots: Vec<AnimationFrame>,
    /// Width and height of each pane. What is smaller is scaled up smoothly.
    pub size: (u32, u32),
    /// Shots a second, see [`FPS`].
    pub fps: u32,
    pub playback: Playback,
    /// Is stored where the format has a place for it: in PNGs of every kind.
    pub provenance: Provenance,
}

/// One moment of a film: panes side by side, from the left.
pub type AnimationFrame = Vec<Panel>;

#[derive(Clone, Debug)]
pub struct Panel {
    pub picture: Arc<Pixels>,
    /// Two short texts under the picture, at its left and at its right.
    pub caption: Option<[String; 2]>,
}

/// Writes a film. A file of this name is replaced once the new one is whole; a folder of this name is
/// refused, unless it is empty. `progress` is told the fraction done and answers whether to go on:
/// without that, nothing is left behind.
pub fn write_animation(
    path: &Path,
    format: AnimationFormat,
    reel: &Animation,
    progress: &mut dyn FnMut(f32) -> bool,
) -> Result<(), SaveError> {
    if reel.shots.is_empty() {
        return Err(SaveError::NoFrames { path: path.to_owned() });
    }
    let composer = FrameRenderer::new(reel);
    format.check(composer.size(), path)?;
    match format {
        AnimationFormat::Gif => gif::write(path, reel, &composer, progress),
        AnimationFormat::Apng => apng::write(path, reel, &composer, progress),
        AnimationFormat::Mp4 => mp4::write(path, reel, &composer, progress),
        AnimationFormat::Sequence => contact_sheet::write_sequence(path, reel, &composer, progress),
        AnimationFormat::ContactSheet => contact_sheet::write_contact_sheet(path, reel, &composer, progress),
    }
}

/// Asks whether to go on with `done` of `all`. [`SaveError::Stopped`] is made of the error.
fn go_on(progress: &mut dyn FnMut(f32) -> bool, done: usize, all: usize) -> io::Result<()> {
    match progress(done as f32 / all.max(1) as f32) {
        true => Ok(()),
        false => Err(io::ErrorKind::Interrupted.into()),
    }
}
