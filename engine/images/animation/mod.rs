//! Animations: the steps of a run, one picture after another, in files that other programs play.
//!
//! [`write_animation`] writes an [`Animation`] in one of the [`AnimationFormat`]s, each in its own file
//! here; `frame_renderer` puts the panels of a step side by side and their captions on a strip below, so
//! that no picture is covered.

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
pub(crate) use frame_renderer::{at_size, paste};

/// An animation, ready to be written.
#[derive(Clone, Debug)]
pub struct Animation {
    /// In the order of the steps, each with the same number of panels. The last one is held for a while.
    pub frames: Vec<AnimationFrame>,
    /// Width and height of each panel. Smaller pictures are smoothly scaled up.
    pub size: (u32, u32),
    /// Frames per second, see [`FPS`].
    pub fps: u32,
    pub playback: Playback,
    /// Stored in the formats that have a place for it: PNGs of every kind.
    pub provenance: Provenance,
}

/// One frame: panels side by side, from the left.
pub type AnimationFrame = Vec<Panel>;

#[derive(Clone, Debug)]
pub struct Panel {
    pub picture: Arc<Pixels>,
    /// Two short texts under the picture, one on the left and one on the right.
    pub caption: Option<[String; 2]>,
}

/// Writes an animation atomically. A file of this name is replaced; a folder of this name is refused, unless
/// it is empty. `progress` is called with the fraction done and returns whether to continue: if not, nothing
/// is written.
pub fn write_animation(
    path: &Path,
    format: AnimationFormat,
    animation: &Animation,
    progress: &mut dyn FnMut(f32) -> bool,
) -> Result<(), SaveError> {
    if animation.frames.is_empty() {
        return Err(SaveError::NoFrames { path: path.to_owned() });
    }
    let renderer = FrameRenderer::new(animation);
    format.check(renderer.size(), path)?;
    match format {
        AnimationFormat::Gif => gif::write(path, animation, &renderer, progress),
        AnimationFormat::Apng => apng::write(path, animation, &renderer, progress),
        AnimationFormat::Mp4 => mp4::write(path, animation, &renderer, progress),
        AnimationFormat::Sequence => contact_sheet::write_sequence(path, animation, &renderer, progress),
        AnimationFormat::ContactSheet => {
            contact_sheet::write_contact_sheet(path, animation, &renderer, progress)
        }
    }
}

/// Reports that `done` of `all` is written. If the work is to stop, the error becomes
/// [`SaveError::Stopped`].
fn report(progress: &mut dyn FnMut(f32) -> bool, done: usize, all: usize) -> io::Result<()> {
    match progress(done as f32 / all.max(1) as f32) {
        true => Ok(()),
        false => Err(io::ErrorKind::Interrupted.into()),
    }
}
