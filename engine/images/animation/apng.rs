//! Writes an animation as an animated PNG: lossless, with the recipe inside.

use std::path::Path;

use super::frame_renderer::FrameRenderer;
use super::{Animation, Playback, report};
use crate::files::{IfExists, SaveError, write_atomically};
use crate::images::png_chunks::{Texts, encoder, plain};

pub(super) fn write(
    path: &Path,
    animation: &Animation,
    renderer: &FrameRenderer,
    progress: &mut dyn FnMut(f32) -> bool,
) -> Result<(), SaveError> {
    let texts = Texts::new(&animation.provenance, path)?;
    let frame_timings = animation.frame_timings();
    let times = if animation.playback == Playback::Once { 1 } else { 0 };
    write_atomically(path, IfExists::Replace, |out| {
        let mut encoder = encoder(out, renderer.size(), &texts)?;
        encoder.set_animated(frame_timings.len() as u32, times).map_err(plain)?;
        let mut encoder = encoder.write_header().map_err(plain)?;
        for (index, timing) in frame_timings.iter().enumerate() {
            report(progress, index, frame_timings.len())?;
            encoder
                .set_frame_delay(timing.ticks as u16, animation.frames_per_second() as u16)
                .map_err(plain)?;
            encoder.write_image_data(&renderer.frame(&animation.frames[timing.frame]).rgb).map_err(plain)?;
        }
        encoder.finish().map_err(plain)
    })
}
