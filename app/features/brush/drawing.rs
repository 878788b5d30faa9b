//! What is drawn by hand: strokes and other edits over a picture, each of which can be undone.

use std::sync::Arc;

use egui::{Color32, ColorImage};
use engine::images::{Pixels, crop_and_resize};
use engine::losses::Mask;
use engine::paint::{FreshNoise, Layer, Paint};
use engine::recipe::random_seed;
use engine::session::JobId;
use image::imageops::{self, FilterType};
use image::{ImageBuffer, Rgb};

use super::Tool;
use super::stroke::Stroke;

/// What the drawing is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrawingOf {
    /// Paint on a step of a run, for a branch from it.
    Paint { job: JobId, step: usize },
    /// The mask of a guide, by its index in the recipe.
    Mask { guide: usize },
}

/// A drawing over a picture.
#[derive(Clone, Debug)]
pub struct Drawing {
    pub of: DrawingOf,
    /// The picture under it, at the size of the recipe.
    pub under: Arc<Pixels>,
    /// The picture that `under` was made from.
    pub source: Arc<Pixels>,
    /// What it began with.
    start: Surface,
    edits: Vec<Edit>,
    undone: Vec<Edit>,
    /// After all edits, and the stroke that is being drawn.
    surface: Surface,
    /// The stroke that is being drawn, and the surface before it.
    current: Option<(Edit, Surface)>,
    /// Of the noise that is drawn anew.
    noise_seed: u64,
    /// Raised with each change, so that a texture knows whether it is current.
    pub version: u64,
}

/// An edit that can be undone.
#[derive(Clone, Debug)]
enum Edit {
    /// With the colour that [`Tool::Color`] has.
    Stroke(Stroke, Tool, [u8; 3]),
    Paste(Arc<Pixels>),
    Invert,
    Clear,
}

/// Pixels that are drawn: a layer of colour, and a mask.
#[derive(Clone, Debug, PartialEq)]
struct Surface {
    /// Premultiplied RGBA.
    layer: Vec<[u8; 4]>,
    coverage: Vec<u8>,
}

impl Drawing {
    /// Over a picture, at `width` x `height`, beginning with a mask.
    pub fn new(of: DrawingOf, source: Arc<Pixels>, (width, height): (u32, u32), mask: Option<&Mask>) -> Self {
        let area = width as usize * height as usize;
        let coverage =
            mask.map_or_else(|| vec![0; area], |mask| mask.resized(width, height).coverage().to_vec());
        let start = Surface { layer: vec![[0; 4]; area], coverage };
        Self {
            of,
            under: Arc::new(crop_and_resize(&source, width, height)),
            source,
            surface: start.clone(),
            start,
            edits: Vec::new(),
            undone: Vec::new(),
            current: None,
            noise_seed: random_seed(),
            version: 0,
        }
    }

    fn size(&self) -> (u32, u32) {
        (self.under.width, self.under.height)
    }

    /// A better picture of the same step.
    pub(super) fn replace_under(&mut self, source: Arc<Pixels>) {
        let (width, height) = self.size();
        self.under = Arc::new(crop_and_resize(&source, width, height));
        self.source = source;
        // Smudged colours come from the picture.
        self.redraw();
    }

    /// Whether a stroke is being drawn.
    pub fn is_touched(&self) -> bool {
        self.current.is_some()
    }

    pub fn can_undo(&self) -> bool {
        !self.edits.is_empty()
    }

    pub fn can_redo(&self) -> bool {
        !self.undone.is_empty()
    }

    pub(super) fn touch(&mut self, point: [f32; 2], tool: Tool, color: [u8; 3], size: f32, softness: f32) {
        let stroke = Stroke { points: vec![point], size, softness };
        self.current = Some((Edit::Stroke(stroke, tool, color), self.surface.clone()));
        self.draw_current();
    }

    pub(super) fn extend(&mut self, point: [f32; 2]) {
        if let Some((Edit::Stroke(stroke, ..), _)) = &mut self.current
            && stroke.points.last() != Some(&point)
        {
            stroke.points.push(point);
            self.draw_current();
        }
    }

    /// Ends the stroke.
    pub(super) fn lift(&mut self) {
        if let Some((edit, before)) = self.current.take() {
            // A stroke beside the picture is not worth undoing.
            if before != self.surface {
                self.edits.push(edit);
                self.undone.clear();
            }
        }
    }

    pub(super) fn paste(&mut self, picture: Arc<Pixels>) {
        self.apply(Edit::Paste(picture));
    }

    pub(super) fn invert(&mut self) {
        self.apply(Edit::Invert);
    }

    pub(super) fn clear(&mut self) {
        self.apply(Edit::Clear);
    }

    pub(super) fn undo(&mut self) {
        self.lift();
        if let Some(edit) = self.edits.pop() {
            self.undone.push(edit);
            self.redraw();
        }
    }

    pub(super) fn redo(&mut self) {
        self.lift();
        if let Some(edit) = self.undone.pop() {
            self.surface.draw(&edit, &self.under);
            self.edits.push(edit);
            self.version += 1;
        }
    }

    fn apply(&mut self, edit: Edit) {
        self.lift();
        self.surface.draw(&edit, &self.under);
        self.edits.push(edit);
        self.undone.clear();
        self.version += 1;
    }

    fn draw_current(&mut self) {
        if let Some((edit, before)) = &self.current {
            self.surface.clone_from(before);
            self.surface.draw(edit, &self.under);
            self.version += 1;
        }
    }

    fn redraw(&mut self) {
        self.surface.clone_from(&self.start);
        for edit in &self.edits {
            self.surface.draw(edit, &self.under);
        }
        self.version += 1;
    }

    /// The mask, if it is not black.
    pub fn mask(&self) -> Option<Mask> {
        let (width, height) = self.size();
        Some(Mask::new(width, height, self.surface.coverage.clone())).filter(|mask| !mask.is_black())
    }

    /// Whether anything is drawn.
    pub fn is_painted(&self) -> bool {
        self.surface.layer.iter().any(|pixel| pixel[3] > 0)
            || self.surface.coverage.iter().any(|&part| part > 0)
    }

    /// What is painted, if anything is.
    pub fn paint(&self, hold: f32) -> Option<Paint> {
        let (width, height) = self.size();
        let layer = self.surface.layer.iter().any(|pixel| pixel[3] > 0).then(|| {
            let straight = self.surface.layer.iter().flat_map(|&[red, green, blue, alpha]| {
                let color = tiny_skia::PremultipliedColorU8::from_rgba(red, green, blue, alpha)
                    .expect("premultiplied")
                    .demultiply();
                [color.red(), color.green(), color.blue(), alpha]
            });
            Layer::new(width, height, straight.collect::<Vec<u8>>())
        });
        let noise = self.mask().map(|mask| FreshNoise { mask, seed: self.noise_seed });
        Some(Paint { layer, hold, noise }).filter(|paint| !paint.is_empty())
    }

    /// The colour at a place, 0 to 1 across and down.
    pub(super) fn color_at(&self, [x, y]: [f32; 2]) -> [u8; 3] {
        let (width, height) = self.size();
        let column = ((x * width as f32).max(0.0) as usize).min(width as usize - 1);
        let row = ((y * height as f32).max(0.0) as usize).min(height as usize - 1);
        self.surface.color(&self.under, row * width as usize + column)
    }

    /// What lies over the picture: the layer, and the mask in a translucent colour.
    pub fn overlay(&self, hue: Color32) -> ColorImage {
        let pixels = self.surface.layer.iter().zip(&self.surface.coverage).map(|(&pixel, &coverage)| {
            let [red, green, blue, alpha] = pixel;
            let under = Color32::from_rgba_premultiplied(red, green, blue, alpha);
            under.blend(hue.gamma_multiply(MASK_OPACITY * f32::from(coverage) / 255.0))
        });
        ColorImage::new([self.under.width as usize, self.under.height as usize], pixels.collect())
    }
}

/// Of a mask over the picture.
const MASK_OPACITY: f32 = 0.55;

impl Surface {
    fn draw(&mut self, edit: &Edit, under: &Pixels) {
        match edit {
            Edit::Stroke(stroke, Tool::Smudge, _) => self.smudge(stroke, under),
            Edit::Stroke(stroke, tool, color) => {
                let coverage = stroke.coverage(under.width, under.height);
                for (at, &part) in coverage.iter().enumerate().filter(|(_, part)| **part > 0) {
                    match tool {
                        Tool::Color => self.cover(at, *color, part),
                        Tool::Mask => {
                            self.coverage[at] = 255 - scaled(255 - self.coverage[at], 255 - part);
                        }
                        _ => {
                            self.layer[at] = self.layer[at].map(|value| scaled(value, 255 - part));
                            self.coverage[at] = scaled(self.coverage[at], 255 - part);
                        }
                    }
                }
            }
            Edit::Paste(picture) => self.paste(picture, under),
            Edit::Invert => self.coverage.iter_mut().for_each(|value| *value = 255 - *value),
            Edit::Clear => {
                self.layer.fill([0; 4]);
                self.coverage.fill(0);
            }
        }
    }

    fn cover(&mut self, at: usize, [red, green, blue]: [u8; 3], part: u8) {
        let under = self.layer[at].map(|value| scaled(value, 255 - part));
        let over = [red, green, blue, 255].map(|value| scaled(value, part));
        // The sum of the two can exceed the opacity by the rounding of both.
        let alpha = over[3].saturating_add(under[3]);
        let sum = |channel: usize| over[channel].saturating_add(under[channel]).min(alpha);
        self.layer[at] = [sum(0), sum(1), sum(2), alpha];
    }

    /// The colour of a pixel of the layer over the picture.
    fn color(&self, under: &Pixels, at: usize) -> [u8; 3] {
        let [.., alpha] = self.layer[at];
        let channel = |channel: usize| {
            self.layer[at][channel].saturating_add(scaled(under.rgb[3 * at + channel], 255 - alpha))
        };
        [channel(0), channel(1), channel(2)]
    }

    /// Each place along the stroke takes the colours of the place before it along.
    fn smudge(&mut self, stroke: &Stroke, under: &Pixels) {
        const STRENGTH: f32 = 0.85;
        let (width, height) = (under.width as i32, under.height as i32);
        let diameter = stroke.diameter(under.width, under.height);
        let places = stroke.resampled(under.width, under.height, (diameter / 8.0).max(1.0));
        for pair in places.windows(2) {
            let ([x, y], back) = (pair[1], [pair[0][0] - pair[1][0], pair[0][1] - pair[1][1]]);
            let reach = (diameter / 2.0).ceil() as i32;
            let mut changes = Vec::new();
            for row in (y as i32 - reach).max(0)..=(y as i32 + reach).min(height - 1) {
                for column in (x as i32 - reach).max(0)..=(x as i32 + reach).min(width - 1) {
                    let distance = (column as f32 + 0.5 - x).hypot(row as f32 + 0.5 - y) / (diameter / 2.0);
                    let edge = ((1.0 - distance) / stroke.softness.max(0.1)).clamp(0.0, 1.0);
                    if edge == 0.0 {
                        continue;
                    }
                    let from_row = ((row as f32 + back[1]).round() as i32).clamp(0, height - 1);
                    let from_column = ((column as f32 + back[0]).round() as i32).clamp(0, width - 1);
                    let [at, from] = [(row, column), (from_row, from_column)]
                        .map(|(row, column)| (row * width + column) as usize);
                    let (here, there) = (self.color(under, at), self.color(under, from));
                    let mix = |channel: usize| {
                        let [here, there] = [here[channel], there[channel]].map(f32::from);
                        (here + (there - here) * edge * STRENGTH).round() as u8
                    };
                    changes.push((at, [mix(0), mix(1), mix(2), 255]));
                }
            }
            changes.into_iter().for_each(|(at, pixel)| self.layer[at] = pixel);
        }
    }

    /// As large as fits, in the middle.
    fn paste(&mut self, picture: &Pixels, under: &Pixels) {
        let fit =
            (under.width as f32 / picture.width as f32).min(under.height as f32 / picture.height as f32);
        let side = |side: u32, most: u32| ((side as f32 * fit).round() as u32).clamp(1, most);
        let (width, height) = (side(picture.width, under.width), side(picture.height, under.height));
        let whole: ImageBuffer<Rgb<u8>, &[u8]> =
            ImageBuffer::from_raw(picture.width, picture.height, picture.rgb.as_slice())
                .expect("Pixels are as many as their sides say");
        let resized = imageops::resize(&whole, width, height, FilterType::Triangle);
        let (left, top) = ((under.width - width) / 2, (under.height - height) / 2);
        for (column, row, Rgb(color)) in resized.enumerate_pixels() {
            self.cover(((top + row) * under.width + left + column) as usize, *color, 255);
        }
    }
}

/// `value * part / 255`, rounded.
fn scaled(value: u8, part: u8) -> u8 {
    ((u16::from(value) * u16::from(part) + 127) / 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF: DrawingOf = DrawingOf::Mask { guide: 0 };
    const RED: [u8; 3] = [255, 0, 0];

    /// Over a picture that is black on the left and white on the right.
    fn drawing() -> Drawing {
        let rgb = (0..32 * 32).flat_map(|at| [if at % 32 < 16 { 0 } else { 255 }; 3]).collect();
        Drawing::new(OF, Arc::new(Pixels::new(32, 32, rgb)), (32, 32), None)
    }

    fn stroke(drawing: &mut Drawing, tool: Tool, points: &[[f32; 2]]) {
        drawing.touch(points[0], tool, RED, 0.3, 0.0);
        points[1..].iter().for_each(|point| drawing.extend(*point));
        drawing.lift();
    }

    #[test]
    fn each_edit_is_undone_and_redone() {
        let mut drawing = drawing();
        let mut surfaces = vec![drawing.surface.clone()];
        stroke(&mut drawing, Tool::Color, &[[0.2, 0.2], [0.8, 0.8]]);
        surfaces.push(drawing.surface.clone());
        stroke(&mut drawing, Tool::Smudge, &[[0.4, 0.5], [0.7, 0.5]]);
        surfaces.push(drawing.surface.clone());
        stroke(&mut drawing, Tool::Mask, &[[0.5, 0.5]]);
        surfaces.push(drawing.surface.clone());
        drawing.invert();
        surfaces.push(drawing.surface.clone());
        stroke(&mut drawing, Tool::Erase, &[[0.5, 0.5]]);
        surfaces.push(drawing.surface.clone());
        drawing.clear();
        surfaces.push(drawing.surface.clone());
        drawing.paste(Arc::new(Pixels::filled(3, 5, [9, 9, 9])));
        surfaces.push(drawing.surface.clone());
        assert!(surfaces.windows(2).all(|pair| pair[0] != pair[1]), "each changes something");
        for surface in surfaces.iter().rev().skip(1) {
            drawing.undo();
            assert!(drawing.surface == *surface);
        }
        assert!(!drawing.can_undo());
        for surface in &surfaces[1..] {
            drawing.redo();
            assert!(drawing.surface == *surface);
        }
        assert!(!drawing.can_redo());
        drawing.undo();
        stroke(&mut drawing, Tool::Mask, &[[0.1, 0.1]]);
        assert!(!drawing.can_redo(), "a new edit ends what was undone");
    }

    #[test]
    fn colour_covers_erasing_uncovers_and_the_mask_is_apart() {
        let mut drawing = drawing();
        assert_eq!(drawing.paint(1.0), None);
        stroke(&mut drawing, Tool::Color, &[[0.5, 0.5]]);
        let paint = drawing.paint(1.0).expect("painted");
        let layer = paint.layer.expect("a layer");
        assert_eq!(layer.rgba()[4 * (16 * 32 + 16)..][..4], [255, 0, 0, 255]);
        assert_eq!((layer.rgba()[3], paint.noise), (0, None));
        assert_eq!(drawing.color_at([0.5, 0.5]), RED);
        assert_eq!(drawing.color_at([0.9, 0.1]), [255; 3], "the picture's own");
        assert_eq!(drawing.mask(), None);
        // A larger one, so that nothing of the anti-aliased rim is left.
        drawing.touch([0.5, 0.5], Tool::Erase, RED, 0.5, 0.0);
        drawing.lift();
        assert_eq!(drawing.paint(1.0), None);
        stroke(&mut drawing, Tool::Mask, &[[0.5, 0.5]]);
        let paint = drawing.paint(1.0).expect("painted");
        assert!(paint.layer.is_none());
        assert_eq!(paint.noise.expect("noise").mask.coverage()[16 * 32 + 16], 255);
    }

    #[test]
    fn smudging_carries_colours_along_the_stroke() {
        let mut drawing = drawing();
        stroke(&mut drawing, Tool::Smudge, &[[0.3, 0.5], [0.7, 0.5]]);
        let dark = drawing.color_at([0.55, 0.5])[0];
        assert!(dark < 160, "black was carried into the white: {dark}");
        assert_eq!(drawing.color_at([0.55, 0.9]), [255; 3], "beside the stroke nothing changes");
    }

    #[test]
    fn a_mask_that_was_drawn_before_is_drawn_on() {
        let mask = Mask::new(2, 1, vec![255, 0]);
        let source = Arc::new(Pixels::filled(16, 8, [0; 3]));
        let mut drawing = Drawing::new(OF, source, (16, 8), Some(&mask));
        let coverage = |drawing: &Drawing| drawing.mask().expect("a mask").coverage().to_vec();
        assert_eq!(coverage(&drawing)[..16], [[255; 8], [0; 8]].concat());
        drawing.invert();
        assert_eq!(coverage(&drawing)[..16], [[0; 8], [255; 8]].concat());
        drawing.clear();
        assert_eq!(drawing.mask(), None);
        drawing.undo();
        drawing.undo();
        assert_eq!(coverage(&drawing)[0], 255, "back to what it began with");
    }

    #[test]
    fn a_pasted_picture_fits_into_the_middle() {
        let mut drawing = drawing();
        drawing.paste(Arc::new(Pixels::filled(200, 100, [9, 99, 199])));
        assert_eq!(drawing.color_at([0.5, 0.5]), [9, 99, 199]);
        assert_eq!(drawing.color_at([0.02, 0.5]), [9, 99, 199]);
        assert_eq!(drawing.color_at([0.02, 0.2]), [0; 3], "above it is the picture");
    }
}
