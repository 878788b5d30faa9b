//! Arguments that several commands share: the model, the device, and how sizes, seeds and names are
//! written.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use engine::device::{DeviceChoice, DeviceSelector, Precision};

/// Which model, and where it runs.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// A folder in diffusers layout, a single-file checkpoint, `demo` for the built-in model, or a model
    /// listed by `tidepool models`: its name, the first digits of its hash, or owner/name
    #[arg(long, value_name = "MODEL", default_value = "demo")]
    pub model: PathBuf,
    /// A VAE to use instead of the model's own: a file or a folder in diffusers layout
    #[arg(long, value_name = "FILE")]
    pub vae: Option<PathBuf>,
    #[command(flatten)]
    pub device: DeviceArgs,
}

#[derive(Debug, Args)]
pub struct DeviceArgs {
    /// auto, cpu, gpu, or gpu:N with the number that `tidepool devices` shows
    #[arg(long, value_name = "WHERE", default_value = "auto")]
    pub device: DeviceSelector,
    /// auto, f32 or f16
    #[arg(long, value_name = "KIND", default_value = "auto")]
    pub precision: Precision,
}

impl DeviceArgs {
    pub fn choice(&self) -> DeviceChoice {
        DeviceChoice { device: self.device, precision: self.precision }
    }
}

/// `WIDTHxHEIGHT`. Any two numbers parse; [`engine::recipe::Recipe::check`] says which sizes work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub width: u32,
    pub height: u32,
}

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split_once(['x', 'X', '×'])
            .and_then(|(width, height)| {
                Some(Self { width: width.trim().parse().ok()?, height: height.trim().parse().ok()? })
            })
            .ok_or("a size is WIDTHxHEIGHT in pixels, such as 512x512")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seed {
    Given(u64),
    Random,
}

impl FromStr for Seed {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "random" | "-1" => Ok(Self::Random),
            number => number
                .parse()
                .map(Self::Given)
                .map_err(|_| "a seed is a whole number from 0 to 18446744073709551615, or `random`"),
        }
    }
}

/// Parses the name of one of `all`; the long help shows the hints. `old_names` are accepted and not shown.
pub fn one_of<T: Copy + PartialEq + Send + Sync + 'static, const N: usize>(
    all: [T; N],
    name: fn(T) -> &'static str,
    hint: fn(T) -> &'static str,
    old_names: &'static [(&'static str, T)],
) -> impl TypedValueParser<Value = T> {
    let possible_value = |value| {
        let old = old_names.iter().filter(|(_, old_value)| *old_value == value);
        PossibleValue::new(name(value)).help(hint(value)).aliases(old.map(|(old_name, _)| *old_name))
    };
    PossibleValuesParser::new(all.map(possible_value)).try_map(move |given| {
        let current = all.into_iter().map(|value| (name(value), value));
        let known = current.chain(old_names.iter().copied()).find(|(name, _)| *name == given);
        known.map(|(_, value)| value).ok_or("the parser accepts only these names")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_two_numbers() {
        assert_eq!("640x448".parse(), Ok(Size { width: 640, height: 448 }));
        for wrong in ["", "512", "x", "512x", "-8x8", "512x512x512", "big"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_64_bit_seed_is_accepted() {
        assert_eq!("0".parse(), Ok(Seed::Given(0)));
        assert_eq!("18446744073709551615".parse(), Ok(Seed::Given(u64::MAX)));
        assert_eq!("-1".parse(), Ok(Seed::Random));
        assert!("18446744073709551616".parse::<Seed>().is_err());
        assert!("-2".parse::<Seed>().is_err());
    }
}
