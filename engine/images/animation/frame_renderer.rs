//! One frame of a film: panes side by side, and under each a strip with its caption.

use image::buffer::ConvertBuffer;
use image::{RgbImage, imageops};

use super::{Animation, AnimationFrame};
use crate::images::Pixels;
use crate::images::start_image::view;
use crate::images::text_raster::TextRaster;

/// Of the strip, as the edge of a film is.
const CAPTION_BACKGROUND: [u8; 3] = [18, 18, 20];
const CAPTION_COLOUR: [u8; 3] = [214, 214, 210];

/// Lays out every frame of a reel alike.
pub(super) struct FrameRenderer {
    pane: (u32, u32),
    panes: u32,
    strip: Option<CaptionStrip>,
}

/// Where captions stand.
struct CaptionStrip {
    lettering: TextRaster,
    margin: u32,
    /// The two texts of a caption fit on one line.
    on_one_line: bool,
}

impl FrameRenderer {
    /// # Panics
    /// If the reel has no shots.
    pub fn new(reel: &Animation) -> Self {
        Self::with_panes_of(reel, reel.size)
    }

    /// The same, with panes of another size.
    pub fn with_panes_of(reel: &Animation, pane: (u32, u32)) -> Self {
        let captions = reel.shots.iter().flatten().filter_map(|pane| pane.caption.as_ref());
        Self { pane, panes: reel.shots[0].len() as u32, strip: CaptionStrip::holding(captions, pane.0) }
    }

    /// Width and height of a frame.
    pub fn size(&self) -> (u32, u32) {
        let (width, height) = self.pane;
        (width * self.panes, height + self.strip.as_ref().map_or(0, CaptionStrip::height))
    }

    /// # Panics
    /// If the shot has other panes than the first one.
    pub fn frame(&self, shot: &AnimationFrame) -> Pixels {
        assert_eq!(shot.len(), self.panes as usize, "panes of every shot");
        let (width, height) = self.size();
        let mut frame =
            Pixels::new(width, height, CAPTION_BACKGROUND.repeat(width as usize * height as usize));
        for (left, pane) in (0..).step_by(self.pane.0 as usize).zip(shot) {
            lay(&mut frame, &at_size(&pane.picture, self.pane), (left, 0));
            if let (Some(strip), Some(caption)) = (&self.strip, &pane.caption) {
                strip.letter(&mut frame, caption, (left, self.pane.1), self.pane.0);
            }
        }
        frame
    }
}

impl CaptionStrip {
    /// Large enough for every caption; `None` without any.
    fn holding<'a>(captions: impl Iterator<Item = &'a [String; 2]>, width: u32) -> Option<Self> {
        let letters = |text: &String| text.chars().count();
        let (mut alone, mut together, mut any) = (0, 0, false);
        for [left, right] in captions {
            any = true;
            alone = alone.max(letters(left)).max(letters(right));
            together = together.max(letters(left) + letters(right) + 1);
        }
        any.then(|| {
            let size = (width as f32 / 36.0).clamp(11.0, 22.0);
            let margin = (size / 2.0) as u32;
            let room = width.saturating_sub(2 * margin);
            let wished = TextRaster::new(size);
            let on_one_line = wished.letters_in(room) >= together;
            let lettering = TextRaster::fitting(alone.max(1), room.max(1), size);
            Self { lettering, margin, on_one_line }
        })
    }

    fn height(&self) -> u32 {
        let lines = if self.on_one_line { 1 } else { 2 };
        (lines * self.lettering.line_height() + self.margin).next_multiple_of(2)
    }

    fn letter(&self, frame: &mut Pixels, [left, right]: &[String; 2], (x, y): (u32, u32), width: u32) {
        let (first, y) = (x + self.margin, y + self.margin / 2);
        self.lettering.draw(frame, left, (first, y), CAPTION_COLOUR);
        let at = match self.on_one_line {
            true => (x + width.saturating_sub(self.margin + self.lettering.width_of(right)), y),
            false => (first, y + self.lettering.line_height()),
        };
        self.lettering.draw(frame, right, at, CAPTION_COLOUR);
    }
}

/// The picture at a size, scaled smoothly where it has another.
pub(in crate::images) fn at_size(picture: &Pixels, (width, height): (u32, u32)) -> Pixels {
    if (picture.width, picture.height) == (width, height) {
        return picture.clone();
    }
    let scaled: RgbImage =
        imageops::resize(&view(picture), width, height, imageops::FilterType::CatmullRom).convert();
    Pixels::new(width, height, scaled.into_raw())
}

/// Copies `picture` into `paper` with its upper left corner at (x, y).
///
/// # Panics
/// If it does not fit.
pub(in crate::images) fn lay(paper: &mut Pixels, picture: &Pixels, (x, y): (u32, u32)) {
    let (row, across) = (picture.width as usize * 3, paper.width as usize * 3);
    for (index, line) in picture.rgb.chunks_exact(row).enumerate() {
        let at = (y as usize + index) * across + x as usize * 3;
        paper.rgb[at..at + row].copy_from_slice(line);
    }
}
