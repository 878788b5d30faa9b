//! A film as an animated GIF: 256 colours a frame, hundredths of a second, at home everywhere.

use std::path::Path;
use std::time::Duration;

use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, Frame, RgbaImage};

use super::frame_renderer::FrameRenderer;
use super::{Animation, Playback, go_on};
use crate::files::{IfExists, SaveError, write_atomically};

/// NeuQuant's own trade: it looks at every tenth pixel for a palette.
const SPEED: i32 = 10;

pub(super) fn write(
    path: &Path,
    reel: &Animation,
    composer: &FrameRenderer,
    progress: &mut dyn FnMut(f32) -> bool,
) -> Result<(), SaveError> {
    let frame_timings = reel.frame_timings();
    write_atomically(path, IfExists::Replace, |out| {
        let mut film = GifEncoder::new_with_speed(out, SPEED);
        if reel.playback != Playback::Once {
            film.set_repeat(Repeat::Infinite).map_err(plain)?;
        }
        let mut shown = 0;
        for (index, showing) in frame_timings.iter().enumerate() {
            go_on(progress, index, frame_timings.len())?;
            let until = shown + showing.ticks;
            let delay = hundredths(until, reel.pace()) - hundredths(shown, reel.pace());
            shown = until;
            let delay = Delay::from_saturating_duration(Duration::from_millis(delay * 10));
            let picture = opaque(composer.frame(&reel.shots[showing.shot]).rgb, composer.size());
            film.encode_frame(Frame::from_parts(picture, 0, 0, delay)).map_err(plain)?;
        }
        Ok(())
    })
}

/// Rounded where a frame ends, not frame by frame, so that a film of any pace lasts as long as it should.
fn hundredths(ticks: u32, fps: u32) -> u64 {
    (100.0 * f64::from(ticks) / f64::from(fps)).round() as u64
}

fn opaque(rgb: Vec<u8>, (width, height): (u32, u32)) -> RgbaImage {
    let rgba = rgb.chunks_exact(3).flat_map(|rgb| [rgb[0], rgb[1], rgb[2], 255]).collect();
    RgbaImage::from_raw(width, height, rgba).expect("a frame is as large as the composer says")
}

fn plain(error: image::ImageError) -> std::io::Error {
    match error {
        image::ImageError::IoError(error) => error,
        other => std::io::Error::other(other),
    }
}
