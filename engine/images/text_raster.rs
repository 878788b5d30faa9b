//! Draws text into pictures: the captions of animations and the labels of sheets.
//!
//! The typeface is JetBrains Mono. It is monospaced, so numbers do not move while an animation plays and the
//! width of a line is known before it is drawn.

use ab_glyph_rasterizer::{Point, Rasterizer, point};
use skrifa::instance::{LocationRef, Size};
use skrifa::outline::{DrawSettings, OutlinePen};
use skrifa::{FontRef, GlyphId, MetadataProvider as _};

use super::Pixels;

const JETBRAINS_MONO: &[u8] = include_bytes!("../../assets/fonts/JetBrainsMono-Regular.ttf");

/// A rasterizer of text at one size.
pub(crate) struct TextRaster {
    font: FontRef<'static>,
    /// Pixels per em.
    size: f32,
    advance: f32,
    /// Height of the tallest letters above the baseline, pixels.
    ascent: f32,
    line: f32,
}

impl TextRaster {
    /// `size` is in pixels per em.
    pub fn new(size: f32) -> Self {
        let font = FontRef::new(JETBRAINS_MONO).expect("the built-in font is valid");
        let metrics = font.metrics(Size::new(size), LocationRef::default());
        let advance = metrics.max_width.expect("the font is monospaced");
        Self { font, size, advance, ascent: metrics.ascent, line: metrics.ascent - metrics.descent }
    }

    /// The largest size, up to `size`, at which `letters` letters fit into `width` pixels.
    pub fn fitting(letters: usize, width: u32, size: f32) -> Self {
        let raster = Self::new(size);
        let needed = raster.advance * letters as f32;
        if needed <= width as f32 { raster } else { Self::new(size * width as f32 / needed) }
    }

    /// Pixels from one line to the next.
    pub fn line_height(&self) -> u32 {
        self.line.ceil() as u32
    }

    /// Letters that fit into a line of `width` pixels.
    pub fn chars_per_line(&self, width: u32) -> usize {
        (width as f32 / self.advance + 1e-3) as usize
    }

    /// Width of a line of text in pixels.
    pub fn width_of(&self, text: &str) -> u32 {
        (self.advance * text.chars().count() as f32).ceil() as u32
    }

    /// Draws a line with its upper left corner at (x, y), clipped to the picture. Letters that the typeface
    /// lacks are skipped.
    pub fn draw(&self, picture: &mut Pixels, text: &str, (x, y): (u32, u32), colour: [u8; 3]) {
        let (charmap, outlines) = (self.font.charmap(), self.font.outline_glyphs());
        let (width, height) = (self.width_of(text) as usize + 1, self.line_height() as usize + 1);
        let mut rasterizer = Rasterizer::new(width, height);
        for (index, letter) in text.chars().enumerate() {
            let glyph = charmap.map(letter).unwrap_or(GlyphId::NOTDEF);
            let Some(outline) = outlines.get(glyph).filter(|_| glyph != GlyphId::NOTDEF) else { continue };
            let origin = point(self.advance * index as f32, self.ascent);
            let settings = DrawSettings::unhinted(Size::new(self.size), LocationRef::default());
            let mut pen = RasterPen { rasterizer: &mut rasterizer, origin, start: origin, at: origin };
            outline.draw(settings, &mut pen).expect("the built-in font is valid");
        }
        fill(picture, &rasterizer, (x, y), colour);
    }
}

/// Colours what the rasterizer covers, with its upper left corner at (x, y), clipped to the picture.
pub(crate) fn fill(picture: &mut Pixels, rasterizer: &Rasterizer, (x, y): (u32, u32), colour: [u8; 3]) {
    rasterizer.for_each_pixel_2d(|dx, dy, coverage| {
        let (x, y) = (x + dx, y + dy);
        if x < picture.width && y < picture.height {
            let at = (y as usize * picture.width as usize + x as usize) * 3;
            for (value, colour) in picture.rgb[at..at + 3].iter_mut().zip(colour) {
                let (under, over) = (f32::from(*value), f32::from(colour));
                *value = (under + (over - under) * coverage.clamp(0.0, 1.0)).round() as u8;
            }
        }
    });
}

/// Draws outlines of the font, whose y axis points up, into the rasterizer, whose y axis points down.
struct RasterPen<'a> {
    rasterizer: &'a mut Rasterizer,
    origin: Point,
    start: Point,
    at: Point,
}

impl RasterPen<'_> {
    fn place(&self, x: f32, y: f32) -> Point {
        point(self.origin.x + x, self.origin.y - y)
    }
}

impl OutlinePen for RasterPen<'_> {
    fn move_to(&mut self, x: f32, y: f32) {
        self.at = self.place(x, y);
        self.start = self.at;
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let to = self.place(x, y);
        self.rasterizer.draw_line(self.at, to);
        self.at = to;
    }

    fn quad_to(&mut self, cx: f32, cy: f32, x: f32, y: f32) {
        let to = self.place(x, y);
        self.rasterizer.draw_quad(self.at, self.place(cx, cy), to);
        self.at = to;
    }

    fn curve_to(&mut self, cx0: f32, cy0: f32, cx1: f32, cy1: f32, x: f32, y: f32) {
        let to = self.place(x, y);
        self.rasterizer.draw_cubic(self.at, self.place(cx0, cy0), self.place(cx1, cy1), to);
        self.at = to;
    }

    fn close(&mut self) {
        self.rasterizer.draw_line(self.at, self.start);
        self.at = self.start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ink in each column of black text on white.
    fn columns(text: &str, size: f32, width: u32) -> Vec<u32> {
        let letters = TextRaster::new(size);
        let mut paper = Pixels::new(width, 40, vec![255; (width * 40 * 3) as usize]);
        letters.draw(&mut paper, text, (0, 0), [0; 3]);
        let ink = |x: u32| (0..40).map(|y| 255 - u32::from(paper.rgb[((y * width + x) * 3) as usize])).sum();
        (0..width).map(ink).collect()
    }

    #[test]
    fn every_letter_of_captions_is_drawn_within_its_cell() {
        let letters = TextRaster::new(20.0);
        for letter in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789σηρ·×.,+-=%()/".chars()
        {
            let ink = columns(&format!(" {letter} "), 20.0, letters.width_of("   "));
            let (left, right) = (letters.width_of(" ") as usize - 1, letters.width_of("  ") as usize + 1);
            assert!(ink[left..right].iter().sum::<u32>() > 255, "{letter}");
            assert_eq!(ink[..left].iter().chain(&ink[right..]).sum::<u32>(), 0, "{letter}");
        }
    }

    #[test]
    fn a_bar_has_four_times_the_ink_at_twice_the_size() {
        // The area of the bar is proportional to the square of the size.
        let ink = |size| columns("|", size, 40).iter().sum::<u32>() as f32;
        assert!((ink(24.0) / ink(12.0) - 4.0).abs() < 0.1, "{} {}", ink(24.0), ink(12.0));
    }

    #[test]
    fn text_shrinks_to_fit_and_is_clipped_to_the_picture() {
        let fitting = TextRaster::fitting(10, 30, 20.0);
        assert!(fitting.width_of("0123456789") <= 31 && fitting.chars_per_line(30) == 10);
        let mut small = Pixels::new(3, 2, vec![9; 18]);
        TextRaster::new(20.0).draw(&mut small, "much too long", (1, 1), [255; 3]);
        TextRaster::new(20.0).draw(&mut small, "", (0, 0), [255; 3]);
        assert_eq!(small.rgb.len(), 18);
    }
}
