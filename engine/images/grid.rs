//! A comparison sheet: pictures in a labelled grid.

use super::Pixels;
use super::animation::{at_size, lay};
use super::text_raster::TextRaster;

/// Sides of a sheet that every program opens, pixels.
pub(super) const SHEET_SIDE: u32 = 8192;
/// Between the pictures of a sheet, and around them.
pub(super) const GAP: u32 = 8;
const PAPER: [u8; 3] = [255; 3];
const INK: [u8; 3] = [20, 20, 22];

/// A grid that fills up picture by picture. It takes no more memory than the sheet does.
#[derive(Clone)]
pub struct Grid {
    paper: Pixels,
    cell: (u32, u32),
    /// The upper left corner of the first picture.
    corner: (u32, u32),
}

impl Grid {
    /// Room for pictures of `size` (width, height), smaller than life where the sheet would be too
    /// large, under a label for each column and beside one for each row. A single row or column needs
    /// no name, and an empty label is none.
    pub fn new(columns: &[String], rows: &[String], size: (u32, u32)) -> Self {
        let (across, down) = (columns.len().max(1) as u32, rows.len().max(1) as u32);
        let cell = cell_that_fits(size, across, down);
        let text = (cell.0 as f32 / 22.0).clamp(12.0, 28.0);
        let lettering = TextRaster::new(text);
        let widest = rows.iter().map(|label| lettering.width_of(label)).max().unwrap_or(0);
        let beside = if widest == 0 { GAP } else { widest + 3 * GAP };
        let is_labelled = columns.iter().any(|label| !label.is_empty());
        let above = if is_labelled { lettering.line_height() + 2 * GAP } else { GAP };
        let (width, height) = (beside + across * (cell.0 + GAP), above + down * (cell.1 + GAP));
        let paper = Pixels::new(width, height, PAPER.repeat(width as usize * height as usize));
        let mut grid = Self { paper, cell, corner: (beside, above) };
        for (column, label) in (0..).zip(columns) {
            let (x, _) = grid.place(column, 0);
            let lettering = TextRaster::fitting(label.chars().count(), cell.0, text);
            let indent = cell.0.saturating_sub(lettering.width_of(label)) / 2;
            lettering.draw(&mut grid.paper, label, (x + indent, GAP), INK);
        }
        for (row, label) in (0..).zip(rows) {
            let (x, y) = grid.place(0, row);
            let right = x.saturating_sub(GAP + GAP / 2 + lettering.width_of(label));
            let middle = y + cell.1.saturating_sub(lettering.line_height()) / 2;
            lettering.draw(&mut grid.paper, label, (right, middle), INK);
        }
        grid
    }

    /// Puts a picture into a cell, counted from the upper left.
    pub fn put(&mut self, column: u32, row: u32, picture: &Pixels) {
        let corner = self.place(column, row);
        lay(&mut self.paper, &at_size(picture, self.cell), corner);
    }

    /// The sheet, as far as it is filled.
    pub fn picture(&self) -> &Pixels {
        &self.paper
    }

    fn place(&self, column: u32, row: u32) -> (u32, u32) {
        (self.corner.0 + column * (self.cell.0 + GAP), self.corner.1 + row * (self.cell.1 + GAP))
    }
}

/// The size of `across` x `down` pictures on a sheet, at most their own.
pub(super) fn cell_that_fits((width, height): (u32, u32), across: u32, down: u32) -> (u32, u32) {
    let room = |count: u32| f64::from(SHEET_SIDE.saturating_sub((count + 1) * GAP).max(count));
    let scale = (room(across) / f64::from(across * width)).min(room(down) / f64::from(down * height));
    let side = |side: u32| ((f64::from(side) * scale.min(1.0)) as u32).max(1);
    (side(width), side(height))
}
