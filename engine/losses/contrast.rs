//! More or less contrast.

use serde::{Deserialize, Serialize};

use super::{
    GuideError, LossFunction, PrepareArgs, PreparedLoss, deviation, expect_unit_target, luma, prepared,
};

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

    fn prepare(&self, _: &PrepareArgs<'_>) -> Result<PreparedLoss, GuideError> {
        let target = self.target;
        prepared(move |picture| {
            let luma = luma(&picture.pixels);
            let mean = picture.mean(luma.clone()).reshape([-1, 1, 1, 1]);
            let variance = picture.mean((luma - mean).square());
            (deviation(variance) - target).square()
        })
    }
}
