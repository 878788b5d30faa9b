//! Animations as still pictures: a folder of numbered pictures, and a contact sheet of all frames.

use std::path::Path;

use super::frame_renderer::{FrameRenderer, paste};
use super::{Animation, report};
use crate::files::{IfExists, SaveError, write_atomically, write_folder_atomically};
use crate::images::Pixels;
use crate::images::grid::{GAP, fitting_cell};
use crate::images::png_chunks::{Texts, encode};

const SHEET_BACKGROUND: [u8; 3] = [18, 18, 20];

/// Writes each frame once, as `0001.png` and so on, for video editors and `ffmpeg -i %04d.png`.
pub(super) fn write_sequence(
    path: &Path,
    animation: &Animation,
    renderer: &FrameRenderer,
    progress: &mut dyn FnMut(f32) -> bool,
) -> Result<(), SaveError> {
    let texts = Texts::new(&animation.provenance, path)?;
    write_folder_atomically(path, |folder| {
        for (index, frame) in animation.frames.iter().enumerate() {
            report(progress, index, animation.frames.len())
                .map_err(|error| SaveError::from_io(error, path))?;
            let file = folder.join(format!("{:04}.png", index + 1));
            write_atomically(&file, IfExists::Refuse, |out| encode(out, &renderer.frame(frame), &texts))?;
        }
        Ok(())
    })
}

/// Writes all frames in rows from the upper left, on a sheet that is about square.
pub(super) fn write_contact_sheet(
    path: &Path,
    animation: &Animation,
    renderer: &FrameRenderer,
    progress: &mut dyn FnMut(f32) -> bool,
) -> Result<(), SaveError> {
    let texts = Texts::new(&animation.provenance, path)?;
    let columns = columns(animation.frames.len() as u32, renderer.size());
    let rows = (animation.frames.len() as u32).div_ceil(columns);
    let (full_width, fitting_width) = (renderer.size().0, fitting_cell(renderer.size(), columns, rows).0);
    let scaled =
        |side: u32| (u64::from(side) * u64::from(fitting_width) / u64::from(full_width)).max(1) as u32;
    let renderer =
        FrameRenderer::with_panel_size(animation, (scaled(animation.size.0), scaled(animation.size.1)));
    let (width, height) = renderer.size();
    let (sheet_width, sheet_height) = (columns * (width + GAP) + GAP, rows * (height + GAP) + GAP);
    write_atomically(path, IfExists::Replace, |out| {
        let mut sheet = Pixels::filled(sheet_width, sheet_height, SHEET_BACKGROUND);
        for (index, frame) in (0..).zip(&animation.frames) {
            report(progress, index as usize, animation.frames.len())?;
            let (column, row) = (index % columns, index / columns);
            let corner = (GAP + column * (width + GAP), GAP + row * (height + GAP));
            paste(&mut sheet, &renderer.frame(frame), corner);
        }
        encode(out, &sheet, &texts)
    })
}

/// The number of columns that makes the sheet about square.
fn columns(frames: u32, (width, height): (u32, u32)) -> u32 {
    let columns = (f64::from(frames) * f64::from(height) / f64::from(width)).sqrt().round() as u32;
    columns.clamp(1, frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_is_about_square_for_pictures_of_any_shape() {
        assert_eq!(columns(51, (512, 512)), 7);
        assert_eq!(columns(21, (128, 128)), 5);
        assert_eq!(columns(10, (1024, 512)), 2);
        assert_eq!(columns(2, (8, 2048)), 2);
        assert_eq!(columns(1, (64, 64)), 1);
    }
}
