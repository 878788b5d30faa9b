//! More or less colourful.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{LossFunction, deviation, expect_unit_target, mean_of_each};

/// The squared distance of the mean saturation from a value. The saturation of a pixel is the standard deviation of its red,
/// green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saturation {
    /// 0 (grey) to 0.47 (pure colours).
    pub target: f32,
}

impl LossFunction for Saturation {
    const NAME: &'static str = "saturation";
    const LABEL: &'static str = "Saturation";
    const HINT: &'static str = "How colourful, 0 (grey) to 0.47 (pure colours)";
    const SCALE: f32 = 800.0;

    fn example() -> Self {
        Self { target: 0.2 }
    }

    fn parse(what: Option<&str>, target: Option<f32>) -> Result<Self, String> {
        Ok(Self { target: expect_unit_target(what, target)? })
    }

    fn settings(&self) -> String {
        format!("={}", self.target)
    }

    fn loss(&self, picture: Tensor<4>) -> Tensor<1> {
        let mean = picture.clone().mean_dim(1);
        let variance = (picture - mean).square().mean_dim(1);
        (mean_of_each(deviation(variance)) - self.target).square()
    }
}
