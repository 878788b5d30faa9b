//! More or less of a colour channel: the lesson's `blue_loss`.

use serde::{Deserialize, Serialize};

use super::{GuideError, LossFunction, PrepareArgs, PreparedLoss, prepared};
use crate::choice::{impl_choice, impl_serde_by_name};

/// The mean distance of a channel from a value, `mean |channel - target|` (fast.ai's lesson).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Channel {
    pub channel: ColorChannel,
    /// 0..1
    pub target: f32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColorChannel {
    Red,
    Green,
    Blue,
}

impl_choice!(ColorChannel);
impl_serde_by_name!(ColorChannel);

impl ColorChannel {
    const TABLE: [(Self, &str, &str, &str); 3] = [
        (Self::Red, "red", "Red", "The red channel"),
        (Self::Green, "green", "Green", "The green channel"),
        (Self::Blue, "blue", "Blue", "The blue channel, as in the lesson"),
    ];
}

impl LossFunction for Channel {
    const NAME: &'static str = "channel";
    const LABEL: &'static str = "Colour channel";
    const HINT: &'static str = "A colour channel near a value";
    const SCALE: f32 = 60.0;

    fn example() -> Self {
        Self { channel: ColorChannel::Blue, target: 0.9 }
    }

    fn parse(what: Option<&str>, target: Option<f32>) -> Result<Self, String> {
        let channel = what.and_then(ColorChannel::from_name);
        let channel = channel.ok_or("it needs :red, :green or :blue")?;
        let target = super::expect_unit_target(None, Some(target.unwrap_or(0.9)))?;
        Ok(Self { channel, target })
    }

    fn settings(&self) -> String {
        format!(":{}={}", self.channel.name(), self.target)
    }

    fn prepare(&self, _: &PrepareArgs<'_>) -> Result<PreparedLoss, GuideError> {
        let Self { channel, target } = *self;
        prepared(move |picture| {
            let channel = picture.pixels.clone().narrow(1, channel as usize, 1);
            picture.mean((channel - target).abs())
        })
    }
}
