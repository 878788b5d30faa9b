//! Icons drawn with lines, on a 16 by 16 grid.

use egui::{Color32, Painter, Pos2, Rect, Shape, Stroke, StrokeKind, Ui, vec2};

/// An icon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icon {
    /// A half-filled disc: dark and light.
    Theme,
    Die,
    Locked,
    Unlocked,
    Play,
    Pause,
    Copy,
    Fit,
    Folder,
    Close,
    ChevronDown,
    ChevronUp,
    Swap,
    Check,
    Plus,
    Warning,
    Picture,
    /// Four pictures side by side.
    Panes,
    /// A loop.
    Loop,
    /// Back and forth.
    PingPong,
    /// A picture in two halves.
    Compare,
    Refresh,
    /// A word between angle brackets.
    Words,
    /// A line with a branch.
    Branch,
    Brush,
}

impl Icon {
    /// Draws itself centred in `rect`, 16 points wide.
    pub fn paint(self, painter: &Painter, rect: Rect, color: Color32) {
        self.paint_sized(painter, rect, 16.0, color);
    }

    pub fn paint_sized(self, painter: &Painter, rect: Rect, side: f32, color: Color32) {
        let scale = side / 16.0;
        let origin = rect.center() - vec2(8.0, 8.0) * scale;
        let at = |x: f32, y: f32| -> Pos2 { origin + vec2(x, y) * scale };
        let stroke = Stroke::new(1.3 * scale.max(0.8), color);
        let boxed = |a: Pos2, b: Pos2, corner: f32| {
            painter.rect_stroke(Rect::from_two_pos(a, b), corner, stroke, StrokeKind::Middle);
        };
        let line = |points: &[(f32, f32)]| {
            painter.line(points.iter().map(|&(x, y)| at(x, y)).collect(), stroke);
        };
        match self {
            Self::Theme => {
                painter.circle_stroke(at(8.0, 8.0), 5.5 * scale, stroke);
                let half = (0..=24).map(|part| {
                    let angle = (90.0 + 7.5 * part as f32).to_radians();
                    at(8.0 + 5.5 * angle.cos(), 8.0 + 5.5 * angle.sin())
                });
                painter.add(Shape::convex_polygon(half.collect(), color, Stroke::NONE));
            }
            Self::Branch => {
                line(&[(5.0, 4.6), (5.0, 11.4)]);
                line(&[(5.0, 10.0), (5.6, 8.8), (6.8, 8.2), (9.4, 8.2), (10.6, 7.6), (11.0, 6.4)]);
                for (x, y) in [(5.0, 3.1), (5.0, 12.9), (11.0, 4.9)] {
                    painter.circle_stroke(at(x, y), 1.5 * scale, stroke);
                }
            }
            Self::Brush => {
                line(&[(13.4, 2.6), (7.6, 8.4)]);
                line(&[(6.4, 8.2), (8.0, 9.8), (6.6, 12.2), (2.8, 13.2), (3.8, 9.6), (6.4, 8.2)]);
            }
            Self::Die => {
                boxed(at(2.5, 2.5), at(13.5, 13.5), 2.5 * scale);
                for (x, y) in [(5.6, 5.6), (8.0, 8.0), (10.4, 10.4)] {
                    painter.circle_filled(at(x, y), 1.05 * scale, color);
                }
            }
            Self::Locked | Self::Unlocked => {
                boxed(at(3.5, 7.3), at(12.5, 13.8), 1.5 * scale);
                let lift = if self == Self::Locked { 0.0 } else { -1.6 };
                let mut arc = vec![at(5.4, 7.3)];
                for part in 0..=12 {
                    let angle = (180.0 + 15.0 * part as f32).to_radians();
                    arc.push(at(8.0 + 2.6 * angle.cos(), 5.4 + lift + 2.6 * angle.sin()));
                }
                if self == Self::Locked {
                    arc.push(at(10.6, 7.3));
                }
                painter.line(arc, stroke);
            }
            Self::Play => {
                let triangle = vec![at(5.0, 3.2), at(12.6, 8.0), at(5.0, 12.8)];
                painter.add(Shape::convex_polygon(triangle, color, Stroke::new(1.0, color)));
            }
            Self::Pause => {
                for x in [4.6, 9.2] {
                    let bar = Rect::from_two_pos(at(x, 3.4), at(x + 2.4, 12.6));
                    painter.rect_filled(bar, 0.8 * scale, color);
                }
            }
            Self::Copy => {
                boxed(at(5.6, 5.6), at(13.2, 13.2), 1.6 * scale);
                line(&[(10.4, 3.0), (4.4, 3.0), (3.0, 4.4), (3.0, 10.4)]);
            }
            Self::Fit => {
                line(&[(9.4, 2.8), (13.2, 2.8), (13.2, 6.6)]);
                line(&[(6.6, 13.2), (2.8, 13.2), (2.8, 9.4)]);
                line(&[(13.0, 3.0), (9.2, 6.8)]);
                line(&[(3.0, 13.0), (6.8, 9.2)]);
            }
            Self::Folder => line(&[
                (2.4, 12.6),
                (2.4, 3.8),
                (6.2, 3.8),
                (7.6, 5.4),
                (13.6, 5.4),
                (13.6, 12.6),
                (2.4, 12.6),
                (2.4, 12.0),
            ]),
            Self::Close => {
                line(&[(4.4, 4.4), (11.6, 11.6)]);
                line(&[(11.6, 4.4), (4.4, 11.6)]);
            }
            Self::ChevronDown => line(&[(4.8, 6.6), (8.0, 9.8), (11.2, 6.6)]),
            Self::ChevronUp => line(&[(4.8, 9.4), (8.0, 6.2), (11.2, 9.4)]),
            Self::Swap => {
                line(&[(2.6, 5.6), (13.2, 5.6), (10.6, 3.0)]);
                line(&[(13.4, 10.4), (2.8, 10.4), (5.4, 13.0)]);
            }
            Self::Check => line(&[(3.4, 8.4), (6.6, 11.6), (12.6, 4.8)]),
            Self::Plus => {
                line(&[(8.0, 3.4), (8.0, 12.6)]);
                line(&[(3.4, 8.0), (12.6, 8.0)]);
            }
            Self::Warning => {
                line(&[(8.0, 2.6), (14.0, 13.2), (2.0, 13.2), (8.0, 2.6), (8.4, 3.3)]);
                line(&[(8.0, 6.4), (8.0, 9.6)]);
                painter.circle_filled(at(8.0, 11.4), 0.8 * scale, color);
            }
            Self::Picture => {
                boxed(at(2.2, 3.0), at(13.8, 13.0), 1.8 * scale);
                painter.circle_filled(at(5.6, 6.4), 1.2 * scale, color);
                line(&[(2.8, 11.8), (6.6, 8.6), (9.0, 10.6), (11.4, 8.2), (13.4, 10.2)]);
            }
            Self::Panes => {
                for (x, y) in [(2.4, 2.4), (8.8, 2.4), (2.4, 8.8), (8.8, 8.8)] {
                    boxed(at(x, y), at(x + 4.8, y + 4.8), 1.0 * scale);
                }
            }
            Self::Loop => {
                line(&[(4.6, 12.0), (2.4, 9.8), (2.4, 6.6), (4.4, 4.6), (12.6, 4.6), (10.6, 2.6)]);
                line(&[(12.6, 4.6), (10.6, 6.6)]);
                line(&[(11.4, 4.6), (13.6, 6.6), (13.6, 9.8), (11.6, 11.4), (4.6, 11.4)]);
            }
            Self::PingPong => {
                line(&[(2.6, 8.0), (13.4, 8.0)]);
                line(&[(5.2, 5.4), (2.6, 8.0), (5.2, 10.6)]);
                line(&[(10.8, 5.4), (13.4, 8.0), (10.8, 10.6)]);
            }
            Self::Compare => {
                boxed(at(2.4, 3.0), at(13.6, 13.0), 1.6 * scale);
                line(&[(8.0, 1.6), (8.0, 14.4)]);
                for y in [5.6, 8.0, 10.4] {
                    line(&[(9.6, y), (12.0, y)]);
                }
            }
            Self::Refresh => {
                // Three quarters of a circle, from the head of the arrow.
                let arc = (0..=18).map(|part| {
                    let angle = (15.0 * part as f32).to_radians();
                    at(8.0 + 4.9 * angle.cos(), 8.0 + 4.9 * angle.sin())
                });
                painter.line(arc.collect(), stroke);
                line(&[(6.2, 0.9), (8.4, 3.1), (6.2, 5.3)]);
            }
            Self::Words => {
                line(&[(4.8, 4.4), (1.8, 8.0), (4.8, 11.6)]);
                line(&[(11.2, 4.4), (14.2, 8.0), (11.2, 11.6)]);
                line(&[(6.0, 8.0), (10.0, 8.0)]);
            }
        }
    }
}

/// The program's logo: a drop of sea water with light in it.
pub fn logo_ui(ui: &Ui, rect: Rect) {
    egui::Image::new(egui::include_image!("../../../assets/icon/mark.png")).paint_at(ui, rect);
}
