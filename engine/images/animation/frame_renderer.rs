//! Renders a frame of an animation: panels side by side, with a caption strip under each.

use image::buffer::ConvertBuffer;
use image::{RgbImage, imageops};

use super::{Animation, AnimationFrame};
use crate::images::Pixels;
use crate::images::start_image::view;
use crate::images::text_raster::TextRaster;

const CAPTION_BACKGROUND: [u8; 3] = [18, 18, 20];
const CAPTION_COLOUR: [u8; 3] = [214, 214, 210];

/// Renders every frame of an animation in the same layout.
pub(super) struct FrameRenderer {
    panel: (u32, u32),
    panels: u32,
    caption_strip: Option<CaptionStrip>,
}

/// The strip that captions are drawn on.
struct CaptionStrip {
    text: TextRaster,
    margin: u32,
    /// Whether the two texts of a caption fit on one line.
    on_one_line: bool,
}

impl FrameRenderer {
    /// # Panics
    /// If the animation has no frames.
    pub fn new(animation: &Animation) -> Self {
        Self::with_panel_size(animation, animation.size)
    }

    /// A renderer with panels of another size than the animation's.
    pub fn with_panel_size(animation: &Animation, panel: (u32, u32)) -> Self {
        let captions = animation.frames.iter().flatten().filter_map(|panel| panel.caption.as_ref());
        Self {
            panel,
            panels: animation.frames[0].len() as u32,
            caption_strip: CaptionStrip::fitting(captions, panel.0),
        }
    }

    /// Width and height of a frame.
    pub fn size(&self) -> (u32, u32) {
        let (width, height) = self.panel;
        (width * self.panels, height + self.caption_strip.as_ref().map_or(0, CaptionStrip::height))
    }

    /// # Panics
    /// If the frame has another number of panels than the first one.
    pub fn frame(&self, panels: &AnimationFrame) -> Pixels {
        assert_eq!(panels.len(), self.panels as usize, "panels of every frame");
        let (width, height) = self.size();
        let mut frame = Pixels::filled(width, height, CAPTION_BACKGROUND);
        for (left, panel) in (0..).step_by(self.panel.0 as usize).zip(panels) {
            paste(&mut frame, &at_size(&panel.picture, self.panel), (left, 0));
            if let (Some(caption_strip), Some(caption)) = (&self.caption_strip, &panel.caption) {
                caption_strip.draw(&mut frame, caption, (left, self.panel.1), self.panel.0);
            }
        }
        frame
    }
}

impl CaptionStrip {
    /// A strip that fits every caption; `None` if there are none.
    fn fitting<'a>(captions: impl Iterator<Item = &'a [String; 2]>, width: u32) -> Option<Self> {
        let chars = |text: &String| text.chars().count();
        let (mut longest, mut longest_pair, mut has_any) = (0, 0, false);
        for [left, right] in captions {
            has_any = true;
            longest = longest.max(chars(left)).max(chars(right));
            longest_pair = longest_pair.max(chars(left) + chars(right) + 1);
        }
        has_any.then(|| {
            let size = (width as f32 / 36.0).clamp(11.0, 22.0);
            let margin = (size / 2.0) as u32;
            let available = width.saturating_sub(2 * margin);
            let full_size = TextRaster::new(size);
            let on_one_line = full_size.chars_per_line(available) >= longest_pair;
            let text = TextRaster::fitting(longest.max(1), available.max(1), size);
            Self { text, margin, on_one_line }
        })
    }

    fn height(&self) -> u32 {
        let lines = if self.on_one_line { 1 } else { 2 };
        (lines * self.text.line_height() + self.margin).next_multiple_of(2)
    }

    fn draw(&self, frame: &mut Pixels, [left, right]: &[String; 2], (x, y): (u32, u32), width: u32) {
        let (first, y) = (x + self.margin, y + self.margin / 2);
        self.text.draw(frame, left, (first, y), CAPTION_COLOUR);
        let at = match self.on_one_line {
            true => (x + width.saturating_sub(self.margin + self.text.width_of(right)), y),
            false => (first, y + self.text.line_height()),
        };
        self.text.draw(frame, right, at, CAPTION_COLOUR);
    }
}

/// The picture at a size, smoothly scaled if it has another.
pub(crate) fn at_size(picture: &Pixels, (width, height): (u32, u32)) -> Pixels {
    if (picture.width, picture.height) == (width, height) {
        return picture.clone();
    }
    let scaled: RgbImage =
        imageops::resize(&view(picture), width, height, imageops::FilterType::CatmullRom).convert();
    Pixels::new(width, height, scaled.into_raw())
}

/// Copies `picture` into `target` with its upper left corner at (x, y).
///
/// # Panics
/// If it does not fit.
pub(crate) fn paste(target: &mut Pixels, picture: &Pixels, (x, y): (u32, u32)) {
    let (row, target_row) = (picture.width as usize * 3, target.width as usize * 3);
    for (index, line) in picture.rgb.chunks_exact(row).enumerate() {
        let at = (y as usize + index) * target_row + x as usize * 3;
        target.rgb[at..at + row].copy_from_slice(line);
    }
}
