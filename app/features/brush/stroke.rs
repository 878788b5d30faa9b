//! Strokes of a brush into pixels. Their places are parts of the picture, so that any size of it can have them.

use tiny_skia::{
    BlendMode, Color, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Shader, Transform,
};

/// One stroke, from the press of the brush until it is lifted.
#[derive(Clone, Debug, PartialEq)]
pub struct Stroke {
    /// Across and down, 0 to 1; at least one.
    pub points: Vec<[f32; 2]>,
    /// The diameter, as a part of the picture's shorter side.
    pub size: f32,
    /// The part of the radius over which the edge fades: 0 is hard, 1 fades from the middle on.
    pub softness: f32,
}

/// The rings that a soft edge is made of.
const RINGS: u8 = 16;

impl Stroke {
    /// The diameter in pixels.
    pub fn diameter(&self, width: u32, height: u32) -> f32 {
        (self.size * width.min(height) as f32).max(1.0)
    }

    /// How much of each pixel it covers, rows from the top: 0 to 255. Where a stroke crosses itself it is no denser.
    pub fn coverage(&self, width: u32, height: u32) -> Vec<u8> {
        let mut pixmap = Pixmap::new(width, height).expect("a picture has pixels");
        let diameter = self.diameter(width, height);
        let rings = if self.softness > 0.0 { RINGS } else { 1 };
        // From the outside in, each replaces the middle of the one before.
        for ring in 1..=rings {
            let part = f32::from(ring) / f32::from(rings);
            // Smoothstep, so that neither end of the edge shows.
            let alpha = part * part * (3.0 - 2.0 * part);
            let outside = self.softness * (1.0 - f32::from(rings - ring + 1) / f32::from(rings));
            let paint = Paint {
                shader: Shader::SolidColor(Color::from_rgba(1.0, 1.0, 1.0, alpha).expect("0 to 1")),
                blend_mode: BlendMode::Source,
                ..Paint::default()
            };
            self.draw(&mut pixmap, &paint, (diameter * (1.0 - outside)).max(0.5));
        }
        pixmap.data().iter().skip(3).step_by(4).copied().collect()
    }

    fn draw(&self, pixmap: &mut Pixmap, paint: &Paint<'_>, diameter: f32) {
        let at = |[x, y]: [f32; 2]| (x * pixmap.width() as f32, y * pixmap.height() as f32);
        if let [point] = self.points[..] {
            let (x, y) = at(point);
            if let Some(disc) = PathBuilder::from_circle(x, y, diameter / 2.0) {
                pixmap.fill_path(&disc, paint, FillRule::Winding, Transform::identity(), None);
            }
            return;
        }
        let points: Vec<(f32, f32)> = self.points.iter().copied().map(at).collect();
        if let Some(line) = line(&points) {
            let round = tiny_skia::Stroke {
                width: diameter,
                line_cap: LineCap::Round,
                line_join: LineJoin::Round,
                ..tiny_skia::Stroke::default()
            };
            pixmap.stroke_path(&line, paint, &round, Transform::identity(), None);
        }
    }

    /// Places along the stroke in pixels, `spacing` pixels apart.
    pub fn resampled(&self, width: u32, height: u32, spacing: f32) -> Vec<[f32; 2]> {
        let at = |[x, y]: [f32; 2]| [x * width as f32, y * height as f32];
        let mut places = vec![at(self.points[0])];
        for point in self.points[1..].iter().copied().map(at) {
            let last = places[places.len() - 1];
            let length = (point[0] - last[0]).hypot(point[1] - last[1]);
            for step in 1..=(length / spacing) as u32 {
                let part = step as f32 * spacing / length;
                places.push([last[0] + (point[0] - last[0]) * part, last[1] + (point[1] - last[1]) * part]);
            }
        }
        places
    }
}

fn line(points: &[(f32, f32)]) -> Option<Path> {
    let mut path = PathBuilder::new();
    path.move_to(points[0].0, points[0].1);
    points[1..].iter().for_each(|&(x, y)| path.line_to(x, y));
    path.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot(size: f32, softness: f32) -> Stroke {
        Stroke { points: vec![[0.5, 0.5]], size, softness }
    }

    /// Of the coverage, in pixels.
    fn area(coverage: &[u8]) -> f32 {
        coverage.iter().map(|value| f32::from(*value) / 255.0).sum()
    }

    #[test]
    fn a_dot_is_a_disc_and_a_stroke_a_line_with_round_ends_at_any_size() {
        for side in [64, 100, 512] {
            let whole = (side * side) as f32;
            let disc = area(&dot(0.5, 0.0).coverage(side, side)) / whole;
            assert!((disc - std::f32::consts::PI * 0.0625).abs() < 0.002, "{disc} of {side}");
            let stroke = Stroke { points: vec![[0.25, 0.5], [0.75, 0.5]], size: 0.2, softness: 0.0 };
            let line = area(&stroke.coverage(side, side)) / whole;
            assert!((line - (0.1 + std::f32::consts::PI * 0.01)).abs() < 0.002, "{line} of {side}");
        }
    }

    #[test]
    fn edges_are_anti_aliased_and_a_stroke_that_crosses_itself_is_no_denser() {
        let there_and_back = vec![[0.2, 0.3], [0.8, 0.7], [0.2, 0.3]];
        let stroke = Stroke { points: there_and_back, size: 0.2, softness: 0.0 };
        let once = Stroke { points: stroke.points[..2].to_vec(), ..stroke.clone() };
        let (stroke, once) = (stroke.coverage(64, 64), once.coverage(64, 64));
        assert!(once.iter().any(|value| (1..255).contains(value)));
        assert!(stroke.iter().zip(&once).all(|(a, b)| a.abs_diff(*b) <= 1));
    }

    #[test]
    fn a_soft_edge_fades_from_the_middle_to_the_rim() {
        let row = |softness| dot(1.0, softness).coverage(101, 101)[50 * 101 + 50..51 * 101].to_vec();
        let (hard, soft) = (row(0.0), row(1.0));
        assert_eq!((hard[0], hard[45]), (255, 255));
        assert!(soft.is_sorted_by(|inner, outer| inner >= outer), "{soft:?}");
        assert!(soft[0] > 240 && (64..192).contains(&soft[25]) && soft[48] < 20, "{soft:?}");
        let half = row(0.5);
        assert!(half[20] > 250 && half[48] < 40, "{half:?}");
    }

    #[test]
    fn a_stroke_outside_the_picture_covers_nothing() {
        let far = Stroke { points: vec![[3.0, 3.0], [4.0, 3.0]], size: 0.1, softness: 0.5 };
        assert!(far.coverage(16, 16).iter().all(|value| *value == 0));
    }

    #[test]
    fn places_along_a_stroke_are_evenly_apart() {
        let stroke = Stroke { points: vec![[0.0, 0.0], [0.3, 0.0], [1.0, 0.0]], size: 0.1, softness: 0.0 };
        let places = stroke.resampled(100, 50, 4.0);
        assert!(places.windows(2).all(|pair| (pair[1][0] - pair[0][0] - 4.0).abs() < 1e-3), "{places:?}");
        assert_eq!(places.len(), 26);
    }
}
