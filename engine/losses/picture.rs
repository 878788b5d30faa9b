//! The composition of another picture.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{GuideError, LossFunction, PrepareArgs, PreparedLoss, SmallPicture, prepared};

/// The mean squared distance from a small picture, at its size: large shapes and colours, no details.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    pub picture: SmallPicture,
}

impl Picture {
    /// The pixels of the longer side, unless another number is chosen.
    pub const SIDE: u32 = 16;
    const MAX_SIDE: u32 = 64;
}

impl LossFunction for Picture {
    const NAME: &'static str = "picture";
    const LABEL: &'static str = "Another picture";
    const HINT: &'static str = "The large shapes and colours of another picture";
    const SCALE: f32 = 200.0;

    /// A light sky over dark ground.
    fn example() -> Self {
        let [sky, ground] = [[0xa8, 0xc8, 0xe8], [0x40, 0x58, 0x30]];
        Self { picture: SmallPicture::new(1, 2, [sky, ground].concat()) }
    }

    fn parse(what: Option<&str>, target: Option<f32>) -> Result<Self, String> {
        let path = what.ok_or("it needs a picture, such as :photo.jpg")?;
        let side = target.unwrap_or(Self::SIDE as f32);
        if !(1.0..=Self::MAX_SIDE as f32).contains(&side) {
            return Err(format!("{side} pixels are out of range: 1 to {}", Self::MAX_SIDE));
        }
        let picture = SmallPicture::load(Path::new(path), side as u32);
        Ok(Self { picture: picture.map_err(|error| format!("its file cannot be. {error}"))? })
    }

    fn settings(&self) -> String {
        ":FILE".into()
    }

    fn check(&self) -> Result<(), String> {
        self.picture.expect_side(Self::MAX_SIDE)
    }

    fn prepare(&self, args: &PrepareArgs<'_>) -> Result<PreparedLoss, GuideError> {
        let (width, height) = self.picture.size();
        let wanted = self.picture.to_tensor(args.device);
        prepared(move |picture| {
            let small = picture.resized(width as usize, height as usize);
            small.mean((small.pixels.clone() - wanted.clone()).square())
        })
    }
}
