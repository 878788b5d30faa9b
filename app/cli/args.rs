//! What can be asked for on the command line.

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args as ClapArgs, Parser, Subcommand};
use engine::device::{DeviceChoice, DeviceSelector, Precision};

use super::concept_args::ConceptArgs;
use super::film_args::FilmArgs;
use super::sampling_args::SamplingArgs;
use super::text_args::TextArgs;
use super::tokens::TokensArgs;
use super::words::WordsArgs;
use super::xy_plot::SheetArgs;
use crate::hub::{MAIN, STABLE_DIFFUSION_1_5};

/// A studio for Stable Diffusion that shows its work. Without a command it opens its window.
#[derive(Debug, Parser)]
#[command(
    name = "tidepool",
    version = env!("TIDEPOOL_VERSION"),
    max_term_width = 100,
    // Of an option given twice the later one counts, so that an alias can be overruled.
    args_override_self = true
)]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make pictures from a prompt
    Render(Box<RenderArgs>),
    /// Compare values of a recipe: every combination in one labelled picture
    Sheet(Box<SheetArgs>),
    /// Show the tokens of a prompt
    Tokens(TokensArgs),
    /// Name the words nearest to a word's embedding, as it is or edited, or save it as a concept
    Words(WordsArgs),
    /// Say what a file is; for a picture: its recipe
    Inspect(InspectArgs),
    /// List the models on this machine: those in the window's folders, or in one
    Models(ModelsArgs),
    /// Get a model from the Hugging Face Hub
    Get(GetArgs),
    /// Write the tensors of pickles (.ckpt, .pt, .bin) into .safetensors files beside them
    Convert(ConvertArgs),
    /// List the graphics adapters, what each can do, and which one is used and why
    Devices(DevicesArgs),
    /// Measure how fast this machine makes pictures
    Bench(BenchArgs),
}

#[derive(Debug, ClapArgs)]
pub struct RenderArgs {
    /// What to see
    #[arg(required_unless_present = "continue_from")]
    pub prompt: Option<String>,
    /// The picture; several are numbered out-1.png, out-2.png, ... [default: tidepool-N.png, with
    /// the first N that is free]
    #[arg(short, long, value_name = "OUT.png")]
    pub output: Option<PathBuf>,
    /// What not to see
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub negative: Option<String>,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub text: TextArgs,
    #[command(flatten)]
    pub concepts: ConceptArgs,
    /// Start from this picture instead of from noise
    #[arg(long, value_name = "IMG")]
    pub init: Option<PathBuf>,
    /// How much of the start picture to give up, 0 (none) to 1 (all) [default: 0.75]
    #[arg(long, value_name = "S", requires = "init", allow_negative_numbers = true)]
    pub strength: Option<f32>,
    /// The same as a number of steps to skip
    #[arg(long, value_name = "K", requires = "init", conflicts_with = "strength")]
    pub start_step: Option<u32>,
    /// Go on from a step of a trace: all is as it was there, but for what is said here
    #[arg(
        long = "continue",
        value_name = "T.safetensors",
        requires = "from",
        conflicts_with_all = ["init", "size", "batch"]
    )]
    pub continue_from: Option<PathBuf>,
    /// The step to go on from: x.K of the trace is kept as it is
    #[arg(long, value_name = "K", requires = "continue_from")]
    pub from: Option<u32>,
    /// Steps from noise to picture, 1 to 1000 [default: 20]
    #[arg(long, value_name = "N")]
    pub steps: Option<u32>,
    /// Guidance: how strictly the picture follows the prompt [default: 7.5]
    #[arg(long, value_name = "G", allow_negative_numbers = true)]
    pub cfg: Option<f32>,
    /// 0 to 2^64-1; the same seed makes the same picture. -1 or `random` picks one and says which
    /// [default: random]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub seed: Option<Seed>,
    /// Width and height in pixels, multiples of 8 [default: what the model was trained at]
    #[arg(long, value_name = "WxH", allow_hyphen_values = true)]
    pub size: Option<Size>,
    /// Pictures to make at once, 1 to 8; picture i has the seed + i [default: 1]
    #[arg(long, value_name = "N")]
    pub batch: Option<u32>,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// Write every step's numbers, for checking and to go on from: a safetensors file
    #[arg(long, value_name = "T.safetensors")]
    pub trace: Option<PathBuf>,
    /// Write where the words of the prompt look: the (first) picture, and a light on it for each word.
    /// It takes a pass of the UNet for each step
    #[arg(long, value_name = "A.png")]
    pub attention: Option<PathBuf>,
    #[command(flatten)]
    pub film: FilmArgs,
    /// Print one JSON object instead of the paths
    #[arg(long)]
    pub json: bool,
}

/// Which model, and where it runs.
#[derive(Debug, ClapArgs)]
pub struct ModelArgs {
    /// A folder in diffusers layout, a checkpoint in one file, `demo` for the model inside the program,
    /// or one of `tidepool models` by its name, the first digits of its hash, or owner/name
    #[arg(long, value_name = "MODEL", default_value = "demo")]
    pub model: PathBuf,
    /// A VAE to use over the model's own: a file or a folder of diffusers
    #[arg(long, value_name = "FILE")]
    pub vae: Option<PathBuf>,
    #[command(flatten)]
    pub device: DeviceArgs,
}

#[derive(Debug, ClapArgs)]
pub struct DeviceArgs {
    /// auto, cpu, gpu, or gpu:N as `tidepool devices` numbers them
    #[arg(long, value_name = "WHERE", default_value = "auto")]
    pub device: DeviceSelector,
    /// auto, f32 or f16
    #[arg(long, value_name = "KIND", default_value = "auto")]
    pub precision: Precision,
}

impl DeviceArgs {
    pub fn choice(&self) -> DeviceChoice {
        DeviceChoice { place: self.device, precision: self.precision }
    }
}

#[derive(Debug, ClapArgs)]
pub struct InspectArgs {
    /// A picture, a weight file or a model folder
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// List every tensor of a weight file or model: its name, shape and type
    #[arg(long)]
    pub shapes: bool,
    /// Also open the model, and print a SHA-256 over all its weights as they are loaded: models with
    /// the same weights have the same, whatever their files
    #[arg(long)]
    pub digest: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub struct ModelsArgs {
    /// Look through this folder alone: any folder of models, or that of A1111, Forge, ComfyUI or SwarmUI
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// Hash what is not hashed yet; every file is read from end to end once
    #[arg(long)]
    pub hash: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub struct GetArgs {
    /// Its name on the hub; Stable Diffusion 1.5 unless another is given
    #[arg(value_name = "OWNER/NAME", default_value = STABLE_DIFFUSION_1_5)]
    pub model: String,
    /// A branch, a tag or a commit
    #[arg(long, value_name = "R", default_value = MAIN)]
    pub revision: String,
    /// The full precision where the hub has it, at twice the size; a GPU computes in the half
    #[arg(long)]
    pub full: bool,
    /// One checkpoint of the repository in particular
    #[arg(long, value_name = "NAME", conflicts_with = "full")]
    pub file: Option<String>,
    /// Where models are kept; this one gets a folder of its own there [default: Tidepool's own]
    #[arg(long, value_name = "DIR")]
    pub into: Option<PathBuf>,
    /// Licence and size are fine: do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Print one JSON object instead of the path
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub struct ConvertArgs {
    /// Models and concepts; they stay as they are, and no file is written over
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub struct DevicesArgs {
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Hold the device against the CPU: every network of the built-in model and one gradient
    #[arg(long)]
    pub check: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub struct BenchArgs {
    /// `sd15-random` is Stable Diffusion 1.5 in shape, with random weights: nothing to download
    #[arg(long, value_name = "DIR|demo|sd15-random", default_value = "demo")]
    pub model: PathBuf,
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Width and height in pixels [default: what the model was trained at; 256x256 for sd15-random]
    #[arg(long, value_name = "WxH")]
    pub size: Option<Size>,
    /// Steps of each picture [default: 20; 3 for sd15-random]
    #[arg(long, value_name = "N")]
    pub steps: Option<u32>,
    /// Measure how long the model takes to open instead, and how much memory, beside the time that
    /// the disk takes to read the same bytes
    #[arg(long, conflicts_with_all = ["size", "steps"])]
    pub load: bool,
    /// Measure instead how fast the samplers' errors fall with the number of steps, on a denoiser whose
    /// pictures are known
    #[arg(long, conflicts_with_all = ["size", "steps", "load", "model"])]
    pub orders: bool,
    /// Pictures to time, after one to warm up; with --load, openings
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repeat: u32,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `WIDTHxHEIGHT`; whether it can be made is the recipe's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub width: u32,
    pub height: u32,
}

impl std::str::FromStr for Size {
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

impl std::str::FromStr for Seed {
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

/// Takes a name, shows the hints in the long help, gives the value.
pub fn one_of<T: Copy + PartialEq + Send + Sync + 'static, const N: usize>(
    choices: [(&'static str, &'static str, T); N],
) -> impl TypedValueParser<Value = T> {
    one_of_or(choices, &[])
}

/// [`one_of`], and hidden names that earlier versions had.
pub fn one_of_or<T: Copy + PartialEq + Send + Sync + 'static, const N: usize>(
    choices: [(&'static str, &'static str, T); N],
    aliases: &'static [(&'static str, T)],
) -> impl TypedValueParser<Value = T> {
    let names = choices.map(|(name, hint, value)| {
        let old = aliases.iter().filter(move |(_, of)| *of == value).map(|(alias, _)| *alias);
        PossibleValue::new(name).help(hint).aliases(old)
    });
    PossibleValuesParser::new(names).try_map(move |given| {
        let named = choices.iter().find(|(name, ..)| *name == given).map(|(.., value)| *value);
        let value =
            named.or_else(|| aliases.iter().find(|(alias, _)| *alias == given).map(|(_, value)| *value));
        value.ok_or("the parser lets only these names through")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_size_is_two_numbers() {
        assert_eq!("640x448".parse(), Ok(Size { width: 640, height: 448 }));
        for wrong in ["", "512", "x", "512x", "-8x8", "512x512x512", "big"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_seed_of_64_bits_can_be_given() {
        assert_eq!("0".parse(), Ok(Seed::Given(0)));
        assert_eq!("18446744073709551615".parse(), Ok(Seed::Given(u64::MAX)));
        assert_eq!("-1".parse(), Ok(Seed::Random));
        assert!("18446744073709551616".parse::<Seed>().is_err());
        assert!("-2".parse::<Seed>().is_err());
    }
}
