//! A brighter or darker picture.

use serde::{Deserialize, Serialize};

use super::{GuideError, LossFunction, PrepareArgs, PreparedLoss, expect_unit_target, luma, prepared};

/// The squared distance of the mean luma from a value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Brightness {
    /// 0 (black) to 1 (white).
    pub target: f32,
}

impl LossFunction for Brightness {
    const NAME: &'static str = "brightness";
    const LABEL: &'static str = "Brightness";
    const HINT: &'static str = "The mean brightness, 0 (black) to 1 (white)";
    const SCALE: f32 = 100.0;

    fn example() -> Self {
        Self { target: 0.3 }
    }

    fn parse(what: Option<&str>, target: Option<f32>) -> Result<Self, String> {
        Ok(Self { target: expect_unit_target(what, target)? })
    }

    fn settings(&self) -> String {
        format!("={}", self.target)
    }

    fn prepare(&self, _: &PrepareArgs<'_>) -> Result<PreparedLoss, GuideError> {
        let target = self.target;
        prepared(move |picture| (picture.mean(luma(&picture.pixels)) - target).square())
    }
}
