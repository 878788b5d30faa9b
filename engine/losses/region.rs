//! Staying like the start image.

use serde::{Deserialize, Serialize};

use super::{GuideError, LossFunction, PrepareArgs, PreparedLoss, prepared, resize::resize};

/// The mean squared distance from the start image. With a mask, the region that stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Region {}

impl LossFunction for Region {
    const NAME: &'static str = "region";
    const LABEL: &'static str = "Like the start image";
    const HINT: &'static str = "What the mask covers stays like the start image";
    const SCALE: f32 = 300.0;

    fn example() -> Self {
        Self {}
    }

    fn prepare(&self, args: &PrepareArgs<'_>) -> Result<PreparedLoss, GuideError> {
        let start = args.start.clone().ok_or_else(|| GuideError::Loss {
            loss: Self::NAME.into(),
            why: "there is no start image: choose one (--init), or remove the guide".into(),
        })?;
        prepared(move |picture| {
            // The preview is smaller than the picture.
            let [_, _, height, width] = picture.pixels.dims();
            let start = resize(start.clone(), width, height);
            picture.mean((picture.pixels.clone() - start).square())
        })
    }
}
