//! How the map is drawn: paths, dots, arrows and pictures.

use std::sync::Arc;

use egui::{Color32, CornerRadius, Painter, Pos2, Rect, Shape, Stroke, StrokeKind, Ui, Vec2, pos2, vec2};
use engine::diffusion::{Sampler, StepView};
use engine::images::Pixels;
use engine::inspect::trajectory_map::{MapLayout, MapPath, MapPoint, MapView, TrajectoryMap};
use engine::session::JobId;

use crate::features::branches::Runs;
use crate::features::generate::run::Run;
use crate::ui::textures::{Textures, Use};
use crate::ui::theme;
use crate::ui::theme::Tokens;

/// Space around the paths, for pictures.
const MARGIN: f32 = 34.0;
const THUMBNAIL: f32 = 34.0;
/// Pictures between the first and the last of the current path, and other runs that have one.
const BETWEEN: usize = 4;
const MAX_OTHERS: usize = 8;
const DOT: f32 = 2.6;
const DOT_OF_OTHERS: f32 = 1.7;

/// A map in its place, with the runs that its paths belong to.
pub(super) struct DrawnMap<'a> {
    map: &'a TrajectoryMap,
    area: Rect,
    layout: MapLayout,
    /// Without those of runs that were removed; the selected one comes last, on top of the others.
    paths: Vec<DrawnPath<'a>>,
    /// In the order of the legend.
    pub samplers: Vec<Sampler>,
}

struct DrawnPath<'a> {
    path: &'a MapPath,
    run: &'a Run,
    is_selected: bool,
    /// Index of the first point of its own; those before it are its parent's.
    own: usize,
}

/// A step on the map.
#[derive(Clone, Copy)]
pub(super) struct MapDot<'a> {
    pub run: &'a Run,
    pub picture: usize,
    pub step: usize,
    pub is_selected: bool,
}

impl<'a> DrawnMap<'a> {
    pub fn new(map: &'a TrajectoryMap, runs: &'a Runs, picture: usize, area: Rect) -> Self {
        let current = runs.current().map(|run| run.job.id);
        let is_on_map = |job: JobId| map.paths.iter().any(|path| path.run == job.0);
        let mut paths: Vec<DrawnPath<'_>> = map
            .paths
            .iter()
            .filter_map(|path| {
                let run = runs.get(JobId(path.run))?;
                let has_parent = run.parent.is_some_and(|parent| is_on_map(parent.job));
                let own = path.points.iter().position(|point| !has_parent || !run.is_shared(point.step));
                let is_selected = Some(run.job.id) == current && path.picture == picture;
                Some(DrawnPath { path, run, is_selected, own: own.unwrap_or(path.points.len()) })
            })
            .collect();
        paths.sort_by_key(|path| path.is_selected);
        let mut samplers = Vec::new();
        for run in map.paths.iter().filter_map(|path| runs.get(JobId(path.run))) {
            if !samplers.contains(&run.recipe.sampler) {
                samplers.push(run.recipe.sampler);
            }
        }
        let layout = MapLayout::new(map, area.size().into(), MARGIN);
        Self { map, area, layout, paths, samplers }
    }

    /// The colour of a sampler's paths.
    pub fn color(&self, tokens: &Tokens, sampler: Sampler) -> Color32 {
        let index = self.samplers.iter().position(|known| *known == sampler).unwrap_or_default();
        tokens.series[index % tokens.series.len()]
    }

    fn place(&self, point: &MapPoint) -> Pos2 {
        self.area.min + Vec2::from(self.layout.place(point.at))
    }

    /// The dots of the selected path.
    pub fn selected_dots(&self) -> impl Iterator<Item = (usize, Pos2)> {
        let points = self.paths.iter().filter(|path| path.is_selected).flat_map(|path| &path.path.points);
        points.map(|point| (point.step, self.place(point)))
    }

    /// The nearest dot within reach of the pointer; where several are, one of the selected path.
    pub fn dot_at(&self, pointer: Pos2) -> Option<MapDot<'a>> {
        const REACH: f32 = 10.0;
        let dots = self.paths.iter().flat_map(|path| {
            let own = if path.is_selected { 0 } else { path.own };
            path.path.points[own..].iter().map(move |point| (path, point))
        });
        let distance = |path: &DrawnPath<'_>, point: &MapPoint| {
            self.place(point).distance(pointer) + if path.is_selected { 0.0 } else { 2.0 }
        };
        let near = dots.filter(|(path, point)| distance(path, point) < REACH);
        let (path, point) = near.min_by(|a, b| distance(a.0, a.1).total_cmp(&distance(b.0, b.1)))?;
        let DrawnPath { path: &MapPath { picture, .. }, run, is_selected, .. } = *path;
        Some(MapDot { run, picture, step: point.step, is_selected })
    }

    pub fn draw(&self, ui: &Ui, step: Option<usize>, with: (bool, bool), textures: &mut Textures) {
        let tokens = Tokens::of(ui);
        let painter = ui.painter_at(self.area);
        let corner = CornerRadius::same(theme::CORNER_FIELD);
        painter.rect(self.area, corner, tokens.field, Stroke::new(1.0, tokens.line), StrokeKind::Inside);
        let (with_pictures, with_arrows) = with;
        for path in &self.paths {
            self.path_ui(&painter, tokens, path);
        }
        if with_arrows && let Some(path) = self.paths.last().filter(|path| path.is_selected) {
            for (arrow, color) in arrows(tokens) {
                self.arrows_ui(&painter, path, arrow, color);
            }
        }
        if with_pictures {
            self.thumbnails_ui(ui, &painter, textures);
        }
        if let Some((_, at)) = self.selected_dots().find(|(dot, _)| Some(*dot) == step) {
            painter.circle(at, 5.5, tokens.field, Stroke::new(1.5, tokens.accent));
            painter.circle_filled(at, 3.5, tokens.accent);
        }
    }

    fn path_ui(&self, painter: &Painter, tokens: &Tokens, path: &DrawnPath<'_>) {
        let color = self.color(tokens, path.run.recipe.sampler);
        let (width, radius, color) = match path.is_selected {
            true => (2.0, DOT, color),
            false => (1.2, DOT_OF_OTHERS, color.gamma_multiply(0.7)),
        };
        let places: Vec<Pos2> = path.path.points.iter().map(|point| self.place(point)).collect();
        // The selected path is whole; another branch begins at its fork.
        let begin = if path.is_selected { 0 } else { path.own.saturating_sub(1) };
        painter.add(Shape::line(places[begin..].to_vec(), Stroke::new(width, color)));
        for place in &places[if path.is_selected { 0 } else { path.own }..] {
            painter.circle_filled(*place, radius, color);
        }
        if path.own > 0
            && let Some(fork) = places.get(path.own - 1)
        {
            painter.circle(*fork, 4.0, tokens.field, Stroke::new(1.5, color));
        }
    }

    fn arrows_ui(&self, painter: &Painter, path: &DrawnPath<'_>, arrow: ArrowOf, color: Color32) {
        let longest = 0.13 * self.area.width();
        let Some(scale) = self.layout.arrow_scale(path.path, arrow, longest) else { return };
        for point in &path.path.points {
            let Some([x, y]) = arrow(point) else { continue };
            let (from, along) = (self.place(point), scale * vec2(x, -y));
            // A head alone would say that it is longer than it is.
            if along.length() > 5.0 {
                painter.extend(arrow_shapes(from, along, Stroke::new(1.0, color)));
            }
        }
    }

    fn thumbnails_ui(&self, ui: &Ui, painter: &Painter, textures: &mut Textures) {
        let tokens = Tokens::of(ui);
        let size = (self.area.size().into(), THUMBNAIL);
        let mut taken = Vec::new();
        let others = self.paths.iter().filter(|path| !path.is_selected).rev().take(MAX_OTHERS);
        for path in self.paths.iter().filter(|path| path.is_selected).chain(others) {
            let steps = match path.is_selected {
                true => path.path.shown_steps(BETWEEN),
                false => path.path.shown_steps(0)[..1].to_vec(),
            };
            let color = self.color(tokens, path.run.recipe.sampler);
            for (step, centre) in self.layout.thumbnails(self.map, path.path, &steps, size, &mut taken) {
                let Some(picture) = picture_of(path.run, path.path.picture, step, self.map.view) else {
                    continue;
                };
                let rect = Rect::from_center_size(self.area.min + Vec2::from(centre), Vec2::splat(THUMBNAIL));
                let point = path.path.points.iter().find(|point| point.step == step);
                let Some(from) = point.map(|point| self.place(point)) else { continue };
                painter.line_segment([from, rect.center()], Stroke::new(1.0, color.gamma_multiply(0.6)));
                let (width, height) = (picture.width as f32, picture.height as f32);
                let fitted = vec2(width, height) * (THUMBNAIL / width.max(height));
                let rect = Rect::from_center_size(rect.center(), fitted);
                picture_ui(painter, rect, textures.get(ui.ctx(), picture, Use::Thumbnail).id());
                let line = Stroke::new(if path.is_selected { 1.5 } else { 1.0 }, color);
                painter.rect_stroke(rect, CornerRadius::same(3), line, StrokeKind::Outside);
            }
        }
    }
}

/// What an arrow shows of a step.
pub(super) type ArrowOf = fn(&MapPoint) -> Option<[f32; 2]>;

/// The kinds of arrows, with their colours.
pub(super) fn arrows(tokens: &Tokens) -> [(ArrowOf, Color32); 2] {
    [(|point| point.guidance, tokens.dim), (|point| point.loss_guidance, tokens.text)]
}

pub(super) fn arrow_shapes(from: Pos2, along: Vec2, stroke: Stroke) -> Vec<Shape> {
    let (to, head) = (from + along, along.normalized() * 5.0);
    let back = |side: f32| to - head + side * 0.55 * head.rot90();
    vec![Shape::line_segment([from, to], stroke), Shape::line(vec![back(1.0), to, back(-1.0)], stroke)]
}

/// The picture of a step, as the map's latents show it.
pub(super) fn picture_of(run: &Run, picture: usize, step: usize, view: MapView) -> Option<&Arc<Pixels>> {
    let view = match view {
        MapView::Predicted => StepView::Predicted,
        MapView::Noisy => StepView::NoisyLatents,
    };
    run.pictures_of(step, view)?.0.get(picture)
}

pub(super) fn picture_ui(painter: &Painter, rect: Rect, texture: egui::TextureId) {
    let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
    let shape = egui::epaint::RectShape::filled(rect, CornerRadius::same(3), Color32::WHITE);
    painter.add(shape.with_texture(texture, uv));
}
