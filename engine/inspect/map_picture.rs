//! The map of trajectories as a picture for a file: what the window shows, on white paper.

use std::sync::Arc;

use ab_glyph_rasterizer::{Point, Rasterizer, point};

use super::trajectory_map::{MapLayout, MapPath, MapPoint, TrajectoryMap};
use crate::images::{Pixels, TextRaster, at_size, fill, paste};

const WIDTH: u32 = 1280;
const HEIGHT: u32 = 900;
const MARGIN: f32 = 110.0;
const THUMBNAIL: u32 = 88;
/// Pictures between the first and the last of each path.
const BETWEEN: usize = 4;
const PAPER: [u8; 3] = [255; 3];
const INK: [u8; 3] = [21, 33, 31];
const DIM: [u8; 3] = [86, 104, 106];
/// As `series` of the window's light theme.
const SERIES: [[u8; 3]; 6] = [
    [0x1f, 0x6f, 0xc4],
    [0xb3, 0x59, 0x0a],
    [0x3f, 0x7f, 0x1d],
    [0xb8, 0x3a, 0x8a],
    [0x7a, 0x70, 0x12],
    [0x5a, 0x48, 0xc8],
];

/// What is written and drawn beside a path.
pub struct PathCaption {
    pub label: String,
    /// The pictures of its steps.
    pub pictures: Vec<(usize, Arc<Pixels>)>,
}

/// Draws a map with a caption for each of its paths, in their order.
pub fn map_picture(map: &TrajectoryMap, captions: &[PathCaption]) -> Pixels {
    let text = TextRaster::new(18.0);
    let arrows: [(ArrowOf, [u8; 3], &str); 2] = [
        (|point| point.guidance, DIM, "guidance: with the prompt minus without"),
        (|point| point.loss_guidance, INK, "guidance by a loss"),
    ];
    let drawn = map.paths.first().filter(|_| !captions.is_empty());
    let has =
        |arrow: ArrowOf| drawn.is_some_and(|path| path.points.iter().any(|point| arrow(point).is_some()));
    let arrows: Vec<_> = arrows.into_iter().filter(|(arrow, ..)| has(*arrow)).collect();
    let lines = (captions.len() + arrows.len()) as u32 + 1;
    let legend = lines * (text.line_height() + 4) + 24;
    let mut paper = Pixels::filled(WIDTH, HEIGHT + legend, PAPER);
    let size = [WIDTH as f32, HEIGHT as f32];
    let layout = MapLayout::new(map, size, MARGIN);
    let colour = |index: usize| SERIES[index % SERIES.len()];
    for (index, path) in map.paths.iter().enumerate() {
        draw_path(&mut paper, &layout, path, colour(index));
    }
    // Those of every path would hide each other.
    for (arrow, colour, _) in &arrows {
        draw_arrows(&mut paper, &layout, &map.paths[0], arrow, *colour);
    }
    let mut taken = Vec::new();
    for (index, (path, caption)) in map.paths.iter().zip(captions).enumerate() {
        let between = if index == 0 { BETWEEN } else { 0 };
        let area = (size, THUMBNAIL as f32);
        for (step, centre) in layout.thumbnails(map, path, &path.shown_steps(between), area, &mut taken) {
            let picture = caption.pictures.iter().find(|(of, _)| *of == step);
            let place = path.points.iter().find(|point| point.step == step);
            if let (Some((_, picture)), Some(place)) = (picture, place) {
                draw_line(&mut paper, layout.place(place.at), centre, 1.0, colour(index));
                draw_thumbnail(&mut paper, picture, centre, colour(index));
            }
        }
    }
    let [x, y] = map.variance_explained.map(|part| 100.0 * part);
    let title = format!("{}: {x:.0} % of the variance across, {y:.0} % upwards", map.view.label());
    let line = |number: u32| HEIGHT + 12 + number * (text.line_height() + 4);
    text.draw(&mut paper, &title, (MARGIN as u32, line(0)), INK);
    for ((number, index), caption) in (1..).zip(0..).zip(captions) {
        let middle = (line(number) + text.line_height() / 2) as f32;
        draw_line(&mut paper, [MARGIN, middle], [MARGIN + 32.0, middle], 3.0, colour(index));
        draw_disc(&mut paper, [MARGIN + 16.0, middle], 5.0, colour(index));
        text.draw(&mut paper, &caption.label, (MARGIN as u32 + 44, line(number)), INK);
    }
    for (number, (_, colour, name)) in (captions.len() as u32 + 1..).zip(&arrows) {
        let middle = (line(number) + text.line_height() / 2) as f32;
        draw_arrow(&mut paper, [MARGIN, middle], [32.0, 0.0], *colour);
        text.draw(&mut paper, name, (MARGIN as u32 + 44, line(number)), INK);
    }
    paper
}

fn draw_path(paper: &mut Pixels, layout: &MapLayout, path: &MapPath, colour: [u8; 3]) {
    let places: Vec<[f32; 2]> = path.points.iter().map(|point| layout.place(point.at)).collect();
    for ends in places.windows(2) {
        draw_line(paper, ends[0], ends[1], 2.5, colour);
    }
    for &place in &places {
        draw_disc(paper, place, 4.5, colour);
    }
}

/// What an arrow shows of a step.
type ArrowOf = fn(&MapPoint) -> Option<[f32; 2]>;

fn draw_arrows(
    paper: &mut Pixels,
    layout: &MapLayout,
    path: &MapPath,
    arrow: impl Fn(&MapPoint) -> Option<[f32; 2]>,
    colour: [u8; 3],
) {
    let Some(scale) = layout.arrow_scale(path, &arrow, 0.1 * WIDTH as f32) else { return };
    for point in &path.points {
        let Some([x, y]) = arrow(point) else { continue };
        let (from, along) = (layout.place(point.at), [scale * x, -scale * y]);
        // A head alone would say that it is longer than it is.
        if along[0].hypot(along[1]) > HEAD {
            draw_arrow(paper, from, along, colour);
        }
    }
}

const HEAD: f32 = 10.0;

fn draw_arrow(paper: &mut Pixels, from: [f32; 2], along: [f32; 2], colour: [u8; 3]) {
    let to = [from[0] + along[0], from[1] + along[1]];
    draw_line(paper, from, to, 1.5, colour);
    let length = along[0].hypot(along[1]);
    let [x, y] = along.map(|value| HEAD * value / length);
    for side in [-0.5, 0.5] {
        draw_line(paper, to, [to[0] - x - side * y, to[1] - y + side * x], 1.5, colour);
    }
}

fn draw_thumbnail(paper: &mut Pixels, picture: &Pixels, centre: [f32; 2], colour: [u8; 3]) {
    const FRAME: u32 = 2;
    let longest = picture.width.max(picture.height).max(1);
    let [width, height] = [picture.width, picture.height].map(|side| (side * THUMBNAIL / longest).max(1));
    let corner = |side: u32, centre: f32| (centre - side as f32 / 2.0).max(FRAME as f32) as u32;
    let (x, y) = (corner(width, centre[0]), corner(height, centre[1]));
    paste(paper, &Pixels::filled(width + 2 * FRAME, height + 2 * FRAME, colour), (x - FRAME, y - FRAME));
    paste(paper, &at_size(picture, (width, height)), (x, y));
}

fn draw_line(paper: &mut Pixels, from: [f32; 2], to: [f32; 2], width: f32, colour: [u8; 3]) {
    let along = [to[0] - from[0], to[1] - from[1]];
    let length = along[0].hypot(along[1]);
    if length > 0.0 {
        let [x, y] = [-along[1], along[0]].map(|value| 0.5 * width * value / length);
        let corners = [(from, 1.0), (to, 1.0), (to, -1.0), (from, -1.0)];
        draw_polygon(paper, &corners.map(|([left, top], side)| [left + side * x, top + side * y]), colour);
    }
}

fn draw_disc(paper: &mut Pixels, centre: [f32; 2], radius: f32, colour: [u8; 3]) {
    let corner = |part: usize| {
        let angle = std::f32::consts::TAU * part as f32 / 24.0;
        [centre[0] + radius * angle.cos(), centre[1] + radius * angle.sin()]
    };
    draw_polygon(paper, &(0..24).map(corner).collect::<Vec<_>>(), colour);
}

/// Fills a polygon inside the picture, with smooth edges.
fn draw_polygon(paper: &mut Pixels, corners: &[[f32; 2]], colour: [u8; 3]) {
    let range = |axis: usize| {
        let values = corners.iter().map(|corner| corner[axis]);
        values.fold((f32::MAX, f32::MIN), |(low, high), value| (low.min(value), high.max(value)))
    };
    let ((left, right), (top, bottom)) = (range(0), range(1));
    let (left, top) = (left.floor().max(0.0), top.floor().max(0.0));
    let mut rasterizer =
        Rasterizer::new((right - left).ceil() as usize + 2, (bottom - top).ceil() as usize + 2);
    let place = |[x, y]: [f32; 2]| -> Point { point(x - left, y - top) };
    for (from, to) in corners.iter().zip(corners.iter().cycle().skip(1)) {
        rasterizer.draw_line(place(*from), place(*to));
    }
    fill(paper, &rasterizer, (left as u32, top as u32), colour);
}
