//! The sheet of an X/Y plot: pictures in a labelled grid.

use super::Pixels;
use super::animation::{at_size, paste};
use super::text_raster::TextRaster;

/// Largest side of a sheet that every program can open, in pixels.
pub(super) const MAX_SHEET_SIDE: u32 = 8192;
/// Pixels between the pictures of a sheet, and around them.
pub(super) const GAP: u32 = 8;
const SHEET_BACKGROUND: [u8; 3] = [255; 3];
const LABEL_COLOUR: [u8; 3] = [20, 20, 22];

/// A grid that is filled picture by picture. It needs no more memory than the sheet.
#[derive(Clone)]
pub struct Grid {
    sheet: Pixels,
    cell: (u32, u32),
    /// The upper left corner of the first picture.
    corner: (u32, u32),
}

impl Grid {
    /// An empty grid for pictures of `size` (width, height), scaled down if the sheet would be too large, with
    /// a label above each column and beside each row. A single row or column needs no label and may have an
    /// empty one.
    pub fn new(columns: &[String], rows: &[String], size: (u32, u32)) -> Self {
        let (across, down) = (columns.len().max(1) as u32, rows.len().max(1) as u32);
        let cell = fitting_cell(size, across, down);
        let text_size = (cell.0 as f32 / 22.0).clamp(12.0, 28.0);
        let text = TextRaster::new(text_size);
        let widest = rows.iter().map(|label| text.width_of(label)).max().unwrap_or(0);
        let beside = if widest == 0 { GAP } else { widest + 3 * GAP };
        let is_labelled = columns.iter().any(|label| !label.is_empty());
        let above = if is_labelled { text.line_height() + 2 * GAP } else { GAP };
        let (width, height) = (beside + across * (cell.0 + GAP), above + down * (cell.1 + GAP));
        let sheet = Pixels::filled(width, height, SHEET_BACKGROUND);
        let mut grid = Self { sheet, cell, corner: (beside, above) };
        for (column, label) in (0..).zip(columns) {
            let (x, _) = grid.cell_corner(column, 0);
            let text = TextRaster::fitting(label.chars().count(), cell.0, text_size);
            let indent = cell.0.saturating_sub(text.width_of(label)) / 2;
            text.draw(&mut grid.sheet, label, (x + indent, GAP), LABEL_COLOUR);
        }
        for (row, label) in (0..).zip(rows) {
            let (x, y) = grid.cell_corner(0, row);
            let right = x.saturating_sub(GAP + GAP / 2 + text.width_of(label));
            let middle = y + cell.1.saturating_sub(text.line_height()) / 2;
            text.draw(&mut grid.sheet, label, (right, middle), LABEL_COLOUR);
        }
        grid
    }

    /// Puts a picture into a cell; columns and rows are counted from the upper left.
    pub fn put(&mut self, column: u32, row: u32, picture: &Pixels) {
        let corner = self.cell_corner(column, row);
        paste(&mut self.sheet, &at_size(picture, self.cell), corner);
    }

    /// The sheet, with the pictures so far.
    pub fn picture(&self) -> &Pixels {
        &self.sheet
    }

    fn cell_corner(&self, column: u32, row: u32) -> (u32, u32) {
        (self.corner.0 + column * (self.cell.0 + GAP), self.corner.1 + row * (self.cell.1 + GAP))
    }
}

/// The size at which `across` x `down` pictures fit on a sheet, at most their own.
pub(super) fn fitting_cell((width, height): (u32, u32), across: u32, down: u32) -> (u32, u32) {
    let room = |count: u32| f64::from(MAX_SHEET_SIDE.saturating_sub((count + 1) * GAP).max(count));
    let scale = (room(across) / f64::from(across * width)).min(room(down) / f64::from(down * height));
    let side = |side: u32| ((f64::from(side) * scale.min(1.0)) as u32).max(1);
    (side(width), side(height))
}
