//! Writes an animation as an animated GIF: 256 colours per frame, timed in hundredths of a second.

use std::path::Path;
use std::time::Duration;

use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, Frame, RgbaImage};

use super::frame_renderer::FrameRenderer;
use super::{Animation, Playback, report};
use crate::files::{IfExists, SaveError, write_atomically};

/// NeuQuant's default: it samples every tenth pixel for the palette.
const SPEED: i32 = 10;

pub(super) fn write(
    path: &Path,
    animation: &Animation,
    renderer: &FrameRenderer,
    progress: &mut dyn FnMut(f32) -> bool,
) -> Result<(), SaveError> {
    let frame_timings = animation.frame_timings();
    write_atomically(path, IfExists::Replace, |out| {
        let mut encoder = GifEncoder::new_with_speed(out, SPEED);
        if animation.playback != Playback::Once {
            encoder.set_repeat(Repeat::Infinite).map_err(plain)?;
        }
        let mut shown = 0;
        for (index, timing) in frame_timings.iter().enumerate() {
            report(progress, index, frame_timings.len())?;
            let until = shown + timing.ticks;
            let delay = hundredths(until, animation.frames_per_second())
                - hundredths(shown, animation.frames_per_second());
            shown = until;
            let delay = Delay::from_saturating_duration(Duration::from_millis(delay * 10));
            let picture = opaque(renderer.frame(&animation.frames[timing.frame]).rgb, renderer.size());
            encoder.encode_frame(Frame::from_parts(picture, 0, 0, delay)).map_err(plain)?;
        }
        Ok(())
    })
}

/// Rounds the end of each frame, not its duration, so that the whole animation has the right length.
fn hundredths(ticks: u32, fps: u32) -> u64 {
    (100.0 * f64::from(ticks) / f64::from(fps)).round() as u64
}

fn opaque(rgb: Vec<u8>, (width, height): (u32, u32)) -> RgbaImage {
    let rgba = rgb.chunks_exact(3).flat_map(|rgb| [rgb[0], rgb[1], rgb[2], 255]).collect();
    RgbaImage::from_raw(width, height, rgba).expect("a frame is as large as the renderer says")
}

fn plain(error: image::ImageError) -> std::io::Error {
    match error {
        image::ImageError::IoError(error) => error,
        other => std::io::Error::other(other),
    }
}
