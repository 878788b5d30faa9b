//! Seamless tiles.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{LossFunction, mean_of_each};

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

    fn loss(&self, picture: Tensor<4>) -> Tensor<1> {
        let [_, _, height, width] = picture.dims();
        let seam = |axis: usize, side: usize| {
            let (first, last) =
                (picture.clone().narrow(axis, 0, 1), picture.clone().narrow(axis, side - 1, 1));
            mean_of_each((last - first).square())
        };
        seam(2, height) + seam(3, width)
    }
}
