//! Symmetric pictures.

use serde::{Deserialize, Serialize};

use super::{GuideError, LossFunction, PrepareArgs, PreparedLoss, prepared};
use crate::choice::{impl_choice, impl_serde_by_name};

/// The mean squared difference of a picture from its mirror image, or from itself turned by 180 degrees.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Symmetry {
    pub axis: SymmetryAxis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SymmetryAxis {
    LeftRight,
    UpDown,
    Rotation,
}

impl_choice!(SymmetryAxis);
impl_serde_by_name!(SymmetryAxis);

impl SymmetryAxis {
    const TABLE: [(Self, &str, &str, &str); 3] = [
        (Self::LeftRight, "left-right", "Left and right", "The right half mirrors the left one, like a face"),
        (Self::UpDown, "up-down", "Up and down", "The lower half mirrors the upper one, like a lake"),
        (Self::Rotation, "rotation", "Rotation", "The same picture upside down, like a playing card"),
    ];
}

impl LossFunction for Symmetry {
    const NAME: &'static str = "symmetry";
    const LABEL: &'static str = "Symmetry";
    const HINT: &'static str = "The picture and its mirror image: left-right, up-down or rotation";
    const SCALE: f32 = 300.0;

    fn example() -> Self {
        Self { axis: SymmetryAxis::LeftRight }
    }

    fn parse(what: Option<&str>, target: Option<f32>) -> Result<Self, String> {
        super::expect_none(None, target)?;
        let axis = what.and_then(SymmetryAxis::from_name);
        Ok(Self { axis: axis.ok_or("it needs :left-right, :up-down or :rotation")? })
    }

    fn settings(&self) -> String {
        format!(":{}", self.axis.name())
    }

    fn prepare(&self, _: &PrepareArgs<'_>) -> Result<PreparedLoss, GuideError> {
        let axis = self.axis;
        prepared(move |picture| {
            let mirrored = picture.map(|x| match axis {
                SymmetryAxis::LeftRight => x.flip([3]),
                SymmetryAxis::UpDown => x.flip([2]),
                SymmetryAxis::Rotation => x.flip([2, 3]),
            });
            picture.mean_of_pairs(&mirrored, (picture.pixels.clone() - mirrored.pixels.clone()).square())
        })
    }
}
