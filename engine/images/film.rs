//! The film of a run as an animated GIF.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use image::buffer::ConvertBuffer;
use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, Frame, ImageError, RgbaImage, imageops};

use super::Pixels;
use super::start_image::view;
use super::whole_file::{IfExists, SaveError, write_whole};

/// How long the last frame, the finished picture, stays.
const LAST_FRAME: Duration = Duration::from_secs(2);

/// Writes the frames as an endless film of `size` (width, height) pixels, at most 65535 each. Small
/// previews are scaled up smoothly. `fps` is frames a second, held to 1..=50, which is as fast as
/// browsers play. A film of this name is replaced once the new one is whole. One frame at a time is
/// held in full size.
pub fn write_gif(path: &Path, frames: &[Arc<Pixels>], size: (u32, u32), fps: f32) -> Result<(), SaveError> {
    let Some(last) = frames.len().checked_sub(1) else {
        return Err(SaveError::NoFrames { path: path.to_owned() });
    };
    let fps = if fps.is_nan() { 1.0 } else { fps.clamp(1.0, 50.0) };
    // GIF counts hundredths of a second.
    let frame_time = Duration::from_millis((100.0 / fps).round() as u64 * 10);
    write_whole(path, IfExists::Replace, |out| {
        let mut film = GifEncoder::new(out);
        film.set_repeat(Repeat::Infinite).map_err(plain)?;
        for (index, pixels) in frames.iter().enumerate() {
            let shown = if index == last { LAST_FRAME } else { frame_time };
            let delay = Delay::from_saturating_duration(shown);
            film.encode_frame(Frame::from_parts(at_size(pixels, size), 0, 0, delay)).map_err(plain)?;
        }
        Ok(())
    })
}

fn at_size(pixels: &Pixels, (width, height): (u32, u32)) -> RgbaImage {
    let source = view(pixels);
    if (pixels.width, pixels.height) == (width, height) {
        return source.convert();
    }
    imageops::resize(&source, width, height, imageops::FilterType::CatmullRom).convert()
}

fn plain(error: ImageError) -> io::Error {
    match error {
        ImageError::IoError(error) => error,
        other => io::Error::other(other),
    }
}
