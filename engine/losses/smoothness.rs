//! Smooth areas.

use serde::{Deserialize, Serialize};

use super::{GuideError, LossFunction, PrepareArgs, PreparedLoss, prepared};

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

    fn prepare(&self, _: &PrepareArgs<'_>) -> Result<PreparedLoss, GuideError> {
        prepared(|picture| {
            let [_, _, height, width] = picture.pixels.dims();
            let differences = |axis: usize, side: usize| {
                let (first, second) = (
                    picture.map(|x| x.narrow(axis, 0, side - 1)),
                    picture.map(|x| x.narrow(axis, 1, side - 1)),
                );
                first.mean_of_pairs(&second, (second.pixels.clone() - first.pixels.clone()).abs())
            };
            differences(2, height) + differences(3, width)
        })
    }
}
