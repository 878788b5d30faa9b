//! A film as an animated PNG: every colour as it is, with the recipe inside.

use std::path::Path;

use super::frame_renderer::FrameRenderer;
use super::{Animation, Playback, go_on};
use crate::files::{IfExists, SaveError, write_atomically};
use crate::images::png_chunks::{Texts, encoder, plain};

pub(super) fn write(
    path: &Path,
    reel: &Animation,
    composer: &FrameRenderer,
    progress: &mut dyn FnMut(f32) -> bool,
) -> Result<(), SaveError> {
    let texts = Texts::of(&reel.provenance, path)?;
    let frame_timings = reel.frame_timings();
    let times = if reel.playback == Playback::Once { 1 } else { 0 };
    write_atomically(path, IfExists::Replace, |out| {
        let mut film = encoder(out, composer.size(), &texts)?;
        film.set_animated(frame_timings.len() as u32, times).map_err(plain)?;
        let mut film = film.write_header().map_err(plain)?;
        for (index, showing) in frame_timings.iter().enumerate() {
            go_on(progress, index, frame_timings.len())?;
            film.set_frame_delay(showing.ticks as u16, reel.pace() as u16).map_err(plain)?;
            film.write_image_data(&composer.frame(&reel.shots[showing.shot]).rgb).map_err(plain)?;
        }
        film.finish().map_err(plain)
    })
}
