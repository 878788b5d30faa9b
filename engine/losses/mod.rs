//! Guidance by a loss: a number that is small when a picture is as wished, whose gradient steers sampling.
//!
//! Each loss is a file with a struct of its settings and a [`LossFunction`]; a line in `losses!` adds it to the
//! recipe, to the command line and to the tests. A [`LossGuide`] is a loss with its scale and its steps, and
//! [`pipeline`](crate::pipeline) takes the gradient.

mod brightness;
mod channel;
mod classifier;
mod clip;
mod contrast;
mod guide;
mod mask;
mod masked_picture;
mod palette;
mod picture;
pub(crate) mod picture_file;
mod region;
mod resize;
mod saturation;
mod small_picture;
mod smoothness;
mod symmetry;
mod tile;
mod training_free;

pub use brightness::Brightness;
pub use channel::{Channel, ColorChannel};
pub use classifier::Classifier;
pub use clip::{ClipPicture, ClipText};
pub use contrast::Contrast;
pub use guide::{GradientPath, GuideError, LossGuide, ScaleCurve};
pub use mask::Mask;
pub use masked_picture::MaskedPicture;
pub use palette::{Color, Palette};
pub use picture::Picture;
pub use picture_file::PictureFileError;
pub use region::Region;
pub use saturation::Saturation;
pub use small_picture::SmallPicture;
pub use smoothness::Smoothness;
pub use symmetry::{Symmetry, SymmetryAxis};
pub use tile::Tile;
pub use training_free::TrainingFree;

use std::fmt;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::checkpoint::{ClipModel, OpenError};

/// What a picture should look like, as a number that is 0 when it does.
pub trait LossFunction: Sized {
    /// On the command line and in files.
    const NAME: &'static str;
    /// In the window.
    const LABEL: &'static str;
    /// One line for a list: what it does.
    const HINT: &'static str;
    /// A scale that shows without breaking the picture, found on the built-in model with every fifth step guided.
    const SCALE: f32;

    /// Settings that show what it does.
    fn example() -> Self;

    /// Reads the settings: `what` is the text after a colon, `target` the number after an equals sign. A loss has none
    /// unless it says so.
    ///
    /// # Errors
    /// What is wrong, as a clause.
    fn parse(what: Option<&str>, target: Option<f32>) -> Result<Self, String> {
        expect_none(what, target)?;
        Ok(Self::example())
    }

    /// The settings as [`Self::parse`] reads them, with their colon and equals sign. A picture stands there as `FILE`.
    fn settings(&self) -> String {
        String::new()
    }

    /// A file may hold what the command line would not take.
    ///
    /// # Errors
    /// The first setting that is out of range.
    fn check(&self) -> Result<(), String> {
        let settings = self.settings();
        let (what, target) = guide::split_settings(&settings)?;
        Self::parse(what, target).map(|_| ())
    }

    /// The model that judges the picture, if it is not a part of the one that makes it.
    fn model(&self) -> Option<&Path> {
        None
    }

    /// # Errors
    /// If it needs none.
    fn set_model(&mut self, _: PathBuf) -> Result<(), String> {
        Err("it needs no model".into())
    }

    /// The loss as a function of the picture, with all that it needs loaded. Under a mask, a mean is the
    /// [picture's](MaskedPicture::mean).
    ///
    /// # Errors
    /// A sentence about what is missing or does not fit.
    fn prepare(&self, args: &PrepareArgs<'_>) -> Result<PreparedLoss, GuideError>;
}

/// From a picture, or a batch of them, to the loss of each, `[batch]`.
pub type PreparedLoss = Box<dyn Fn(&MaskedPicture) -> Tensor<1>>;

/// What a loss can be prepared with, besides its settings.
pub struct PrepareArgs<'a> {
    pub device: &'a Device,
    /// The start image at the size of the pictures, `[1, 3, height, width]` in 0..1.
    pub start: Option<Tensor<4>>,
    /// Opens the CLIP that is a part of the model.
    pub own_clip: &'a dyn Fn() -> Result<ClipModel, OpenError>,
}

fn prepared(loss: impl Fn(&MaskedPicture) -> Tensor<1> + 'static) -> Result<PreparedLoss, GuideError> {
    Ok(Box::new(loss))
}

/// Makes [`Loss`] from its variants, each of which is a [`LossFunction`].
macro_rules! losses {
    ($($loss:ident),*) => {
        /// Any loss, with its settings.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "loss", rename_all = "snake_case")]
        pub enum Loss {
            $($loss($loss)),*
        }

        impl Loss {
            /// One of each, with settings that show what it does.
            pub fn examples() -> Vec<Self> {
                vec![$(Self::$loss($loss::example())),*]
            }

            /// Reads a loss by its name; `None` if no loss has it.
            fn parse(name: &str, what: Option<&str>, target: Option<f32>) -> Option<Result<Self, String>> {
                match name {
                    $($loss::NAME => Some($loss::parse(what, target).map(Self::$loss)),)*
                    _ => None,
                }
            }

            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$loss(_) => $loss::NAME),*
                }
            }

            /// Name in the window.
            pub fn label(&self) -> &'static str {
                match self {
                    $(Self::$loss(_) => $loss::LABEL),*
                }
            }

            /// One line: what it does.
            pub fn hint(&self) -> &'static str {
                match self {
                    $(Self::$loss(_) => $loss::HINT),*
                }
            }

            /// A scale that shows without breaking the picture.
            pub fn default_scale(&self) -> f32 {
                match self {
                    $(Self::$loss(_) => $loss::SCALE),*
                }
            }

            /// The loss as a function: see [`LossFunction::prepare`].
            ///
            /// # Errors
            /// A sentence about what it needs and does not have.
            pub fn prepare(&self, args: &PrepareArgs<'_>) -> Result<PreparedLoss, GuideError> {
                match self {
                    $(Self::$loss(loss) => loss.prepare(args)),*
                }
            }

            /// # Errors
            /// The first setting that is out of range.
            fn check(&self) -> Result<(), GuideError> {
                let checked = match self {
                    $(Self::$loss(loss) => loss.check()),*
                };
                checked.map_err(|why| GuideError::Loss { loss: self.to_string(), why })
            }

            /// The model that judges the picture, if it is not a part of the one that makes it.
            pub fn model(&self) -> Option<&Path> {
                match self {
                    $(Self::$loss(loss) => loss.model()),*
                }
            }

            fn set_model(&mut self, model: PathBuf) -> Result<(), GuideError> {
                let set = match self {
                    $(Self::$loss(loss) => loss.set_model(model)),*
                };
                set.map_err(|why| GuideError::Loss { loss: self.to_string(), why })
            }
        }

        /// As the command line takes it: `channel:blue=0.9`.
        impl fmt::Display for Loss {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$loss(loss) => write!(f, "{}{}", $loss::NAME, loss.settings())),*
                }
            }
        }
    };
}

losses!(
    Channel,
    Palette,
    Brightness,
    Contrast,
    Saturation,
    Symmetry,
    Smoothness,
    Tile,
    Picture,
    Region,
    ClipText,
    ClipPicture,
    Classifier
);

/// The square root of a variance, whose gradient stays finite where the variance is 0.
fn deviation<const D: usize>(variance: Tensor<D>) -> Tensor<D> {
    (variance + 1e-6).sqrt()
}

/// The luma of each pixel (ITU-R BT.601), `[batch, 1, height, width]`.
fn luma(pixels: &Tensor<4>) -> Tensor<4> {
    let weights = Tensor::<1>::from_floats([0.299, 0.587, 0.114], &pixels.device()).reshape([1, 3, 1, 1]);
    (pixels.clone() * weights).sum_dim(1)
}

/// Refuses settings that a loss does not take.
fn expect_none(what: Option<&str>, target: Option<f32>) -> Result<(), String> {
    match (what, target) {
        (None, None) => Ok(()),
        (Some(what), _) => Err(format!("it takes nothing after a colon, but {what:?} is there")),
        (_, Some(target)) => Err(format!("it takes no target, but {target} is there")),
    }
}

/// The target of a loss that needs one in 0..1.
fn expect_unit_target(what: Option<&str>, target: Option<f32>) -> Result<f32, String> {
    expect_none(what, None)?;
    match target {
        Some(target) if (0.0..=1.0).contains(&target) => Ok(target),
        Some(target) => Err(format!("its target of {target} is out of range: 0 to 1")),
        None => Err("it needs a target from 0 to 1, such as =0.5".into()),
    }
}
