//! More or less colourful.

use serde::{Deserialize, Serialize};

use super::{GuideError, LossFunction, PrepareArgs, PreparedLoss, deviation, expect_unit_target, prepared};

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

    fn prepare(&self, _: &PrepareArgs<'_>) -> Result<PreparedLoss, GuideError> {
        let target = self.target;
        prepared(move |picture| {
            let mean = picture.pixels.clone().mean_dim(1);
            let variance = (picture.pixels.clone() - mean).square().mean_dim(1);
            (picture.mean(deviation(variance)) - target).square()
        })
    }
}
