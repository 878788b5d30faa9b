//! Smooth areas.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{LossFunction, mean_of_each};

/// Total variation (Rudin, Osher and Fatemi, 1992), anisotropic: the mean difference between neighbours across and down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Smoothness {}

impl LossFunction for Smoothness {
    const NAME: &'static str = "smoothness";
    const LABEL: &'static str = "Smoothness";
    const HINT: &'static str = "Large areas of one colour";
    const SCALE: f32 = 150.0;

    fn example() -> Self {
        Self {}
    }

    fn loss(&self, picture: Tensor<4>) -> Tensor<1> {
        let [_, _, height, width] = picture.dims();
        let differences = |axis: usize, side: usize| {
            let (first, second) =
                (picture.clone().narrow(axis, 0, side - 1), picture.clone().narrow(axis, 1, side - 1));
            mean_of_each((second - first).abs())
        };
        differences(2, height) + differences(3, width)
    }
}
