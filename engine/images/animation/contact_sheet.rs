//! Films that do not move: a folder of numbered pictures, and a contact sheet of them all.

use std::path::Path;

use super::frame_renderer::{FrameRenderer, lay};
use super::{Animation, go_on};
use crate::files::write_folder_atomically;
use crate::files::{IfExists, SaveError, write_atomically};
use crate::images::Pixels;
use crate::images::grid::{GAP, cell_that_fits};
use crate::images::png_chunks::{Texts, encode};

const SHEET_BACKGROUND: [u8; 3] = [18, 18, 20];

/// `0001.png` and on, each shot once, which video editors and `ffmpeg -i %04d.png` take in.
pub(super) fn write_sequence(
    path: &Path,
    reel: &Animation,
    composer: &FrameRenderer,
    progress: &mut dyn FnMut(f32) -> bool,
) -> Result<(), SaveError> {
    let texts = Texts::of(&reel.provenance, path)?;
    write_folder_atomically(path, |folder| {
        for (index, shot) in reel.shots.iter().enumerate() {
            go_on(progress, index, reel.shots.len()).map_err(|error| SaveError::of(error, path))?;
            let file = folder.join(format!("{:04}.png", index + 1));
            write_atomically(&file, IfExists::Refuse, |out| encode(out, &composer.frame(shot), &texts))?;
        }
        Ok(())
    })
}

/// All shots in rows from the upper left, in a sheet that is about square.
pub(super) fn write_contact_sheet(
    path: &Path,
    reel: &Animation,
    composer: &FrameRenderer,
    progress: &mut dyn FnMut(f32) -> bool,
) -> Result<(), SaveError> {
    let texts = Texts::of(&reel.provenance, path)?;
    let columns = columns(reel.shots.len() as u32, composer.size());
    let rows = (reel.shots.len() as u32).div_ceil(columns);
    let (whole, fitting) = (composer.size().0, cell_that_fits(composer.size(), columns, rows).0);
    let smaller = |side: u32| (u64::from(side) * u64::from(fitting) / u64::from(whole)).max(1) as u32;
    let composer = FrameRenderer::with_panes_of(reel, (smaller(reel.size.0), smaller(reel.size.1)));
    let (width, height) = composer.size();
    let (across, down) = (columns * (width + GAP) + GAP, rows * (height + GAP) + GAP);
    write_atomically(path, IfExists::Replace, |out| {
        let mut sheet = Pixels::new(across, down, SHEET_BACKGROUND.repeat(across as usize * down as usize));
        for (index, shot) in (0..).zip(&reel.shots) {
            go_on(progress, index as usize, reel.shots.len())?;
            let (column, row) = (index % columns, index / columns);
            let corner = (GAP + column * (width + GAP), GAP + row * (height + GAP));
            lay(&mut sheet, &composer.frame(shot), corner);
        }
        encode(out, &sheet, &texts)
    })
}

/// As many as make the sheet about square.
fn columns(shots: u32, (width, height): (u32, u32)) -> u32 {
    let columns = (f64::from(shots) * f64::from(height) / f64::from(width)).sqrt().round() as u32;
    columns.clamp(1, shots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_is_about_square_whatever_the_pictures_are() {
        assert_eq!(columns(51, (512, 512)), 7);
        assert_eq!(columns(21, (128, 128)), 5);
        assert_eq!(columns(10, (1024, 512)), 2);
        assert_eq!(columns(2, (8, 2048)), 2);
        assert_eq!(columns(1, (64, 64)), 1);
    }
}
