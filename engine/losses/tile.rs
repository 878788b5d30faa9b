//! Seamless tiles.

use serde::{Deserialize, Serialize};

use super::{GuideError, LossFunction, PrepareArgs, PreparedLoss, prepared};

/// The mean squared difference of opposite edges, so that the picture continues beside a copy of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tile {}

impl LossFunction for Tile {
    const NAME: &'static str = "tile";
    const LABEL: &'static str = "Seamless tile";
    const HINT: &'static str = "Edges that continue on the other side, for a pattern";
    const SCALE: f32 = 80.0;

    fn example() -> Self {
        Self {}
    }

    fn prepare(&self, _: &PrepareArgs<'_>) -> Result<PreparedLoss, GuideError> {
        prepared(|picture| {
            let [_, _, height, width] = picture.pixels.dims();
            let seam = |axis: usize, side: usize| {
                let (first, last) =
                    (picture.map(|x| x.narrow(axis, 0, 1)), picture.map(|x| x.narrow(axis, side - 1, 1)));
                first.mean_of_pairs(&last, (last.pixels.clone() - first.pixels.clone()).square())
            };
            seam(2, height) + seam(3, width)
        })
    }
}
