//! More or less contrast.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{LossFunction, deviation, expect_unit_target, luma, mean_of_each};

/// The squared distance of the standard deviation of the luma from a value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contrast {
    /// 0 (one grey) to 0.5 (half black, half white); photographs have about 0.2.
    pub target: f32,
}

impl LossFunction for Contrast {
    const NAME: &'static str = "contrast";
    const LABEL: &'static str = "Contrast";
    const HINT: &'static str = "The spread of brightness, 0 (one grey) to 0.5";
    const SCALE: f32 = 400.0;

    fn example() -> Self {
        Self { target: 0.35 }
    }

    fn parse(what: Option<&str>, target: Option<f32>) -> Result<Self, String> {
        Ok(Self { target: expect_unit_target(what, target)? })
    }

    fn settings(&self) -> String {
        format!("={}", self.target)
    }

    fn loss(&self, picture: Tensor<4>) -> Tensor<1> {
        let luma = luma(picture);
        let mean = mean_of_each(luma.clone()).reshape([-1, 1, 1, 1]);
        let variance = mean_of_each((luma - mean).square());
        (deviation(variance) - self.target).square()
    }
}
