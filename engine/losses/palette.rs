//! Pictures in a few colours.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

use super::{GuideError, LossFunction, PrepareArgs, PreparedLoss, prepared};

/// The mean squared distance of each pixel from its nearest colour, where near colours share a pixel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Palette {
    /// 1 to 16.
    pub colors: Vec<Color>,
}

/// Red, green and blue, 0 to 255. Written as `#rrggbb`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Color(pub [u8; 3]);

/// The squared distance at which a second colour counts e times less than the nearest one: a fifth of the range of a
/// channel. With less of it a pixel that lies between two colours has no say in the choice.
const SOFTNESS: f32 = 0.04;

impl Palette {
    pub const MAX_COLORS: usize = 16;
}

impl LossFunction for Palette {
    const NAME: &'static str = "palette";
    const LABEL: &'static str = "Palette";
    const HINT: &'static str = "Only these colours";
    const SCALE: f32 = 100.0;

    fn example() -> Self {
        Self { colors: vec![Color([0x1d, 0x35, 0x57]), Color([0xe6, 0x39, 0x46]), Color([0xf1, 0xfa, 0xee])] }
    }

    fn parse(what: Option<&str>, target: Option<f32>) -> Result<Self, String> {
        super::expect_none(None, target)?;
        let what = what.ok_or("it needs colours, such as :#1d3557+#e63946")?;
        let colors = what.split('+').map(Color::from_str).collect::<Result<Vec<_>, _>>()?;
        if colors.len() > Self::MAX_COLORS {
            return Err(format!(
                "it takes {} colours at most, but {} are there",
                Self::MAX_COLORS,
                colors.len()
            ));
        }
        Ok(Self { colors })
    }

    fn settings(&self) -> String {
        let colors: Vec<String> = self.colors.iter().map(Color::to_string).collect();
        format!(":{}", colors.join("+"))
    }

    fn prepare(&self, _: &PrepareArgs<'_>) -> Result<PreparedLoss, GuideError> {
        let colors: Vec<[f32; 3]> =
            self.colors.iter().map(|Color(rgb)| rgb.map(|value| f32::from(value) / 255.0)).collect();
        prepared(move |picture| {
            let distances = colors.iter().map(|color| {
                let color = Tensor::<1>::from_floats(*color, &picture.pixels.device()).reshape([1, 3, 1, 1]);
                (picture.pixels.clone() - color).square().sum_dim(1)
            });
            let distances = Tensor::cat(distances.collect(), 1);
            let shares = activation::softmax(-distances.clone() / SOFTNESS, 1);
            picture.mean((shares * distances).sum_dim(1))
        })
    }
}

impl FromStr for Color {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim().trim_start_matches('#');
        let value = u32::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 6);
        let [_, r, g, b] =
            value.ok_or_else(|| format!("{text:?} is not a colour: write #rrggbb"))?.to_be_bytes();
        Ok(Self([r, g, b]))
    }
}

impl TryFrom<String> for Color {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Color> for String {
    fn from(color: Color) -> Self {
        color.to_string()
    }
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [r, g, b] = self.0;
        write!(f, "#{r:02x}{g:02x}{b:02x}")
    }
}
