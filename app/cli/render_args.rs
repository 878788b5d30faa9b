//! What a picture is made from, on the command line: the arguments of `render`, which `xy-plot` takes too.

use std::path::PathBuf;

use clap::Args;
use engine::inspect::trajectory_map::MapView;
use engine::losses::{GradientPath, Loss, LossGuide, ScaleCurve};

use super::animation_args::AnimationArgs;
use super::concept_args::ConceptArgs;
use super::sampling_args::SamplingArgs;
use super::shared_args::{ModelArgs, Seed, Size, one_of};
use super::text_args::TextArgs;
use super::training_free_args::TrainingFreeArgs;

#[derive(Debug, Args)]
pub struct RenderArgs {
    /// What to draw
    #[arg(required_unless_present_any = ["continue_from", "recipe"])]
    pub prompt: Option<String>,
    /// The picture to write; several are numbered out-1.png, out-2.png, ... [default: tidepool-N.png,
    /// with the first N that is free]
    #[arg(short, long, value_name = "OUT.png")]
    pub output: Option<PathBuf>,
    /// Negative prompt: what to avoid
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub negative: Option<String>,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub text: TextArgs,
    #[command(flatten)]
    pub concepts: ConceptArgs,
    /// Start image: start from this picture instead of from noise
    #[arg(long, value_name = "IMG")]
    pub init: Option<PathBuf>,
    /// How much of the start image to replace, 0 (none) to 1 (all) [default: 0.75]
    #[arg(long, value_name = "S", requires = "init", allow_negative_numbers = true)]
    pub strength: Option<f32>,
    /// The strength as a number of steps to skip
    #[arg(long, value_name = "K", requires = "init", conflicts_with = "strength")]
    pub start_step: Option<u32>,
    /// Use the recipe in this picture, except for the options given here
    #[arg(long, value_name = "IMG", conflicts_with = "continue_from")]
    pub recipe: Option<PathBuf>,
    /// Continue from a step of a trace: its recipe is used, except for the options given here
    #[arg(
        long = "continue",
        value_name = "T.safetensors",
        requires = "from",
        conflicts_with_all = ["init", "size", "batch"]
    )]
    pub continue_from: Option<PathBuf>,
    /// The step to continue from: the run starts from x.K of the trace
    #[arg(long, value_name = "K", requires = "continue_from")]
    pub from: Option<u32>,
    /// Paint this picture, where it is not transparent, over the picture that was predicted at the step to continue from
    #[arg(long, value_name = "IMG", requires = "continue_from")]
    pub paint: Option<PathBuf>,
    /// The part of the steps to come in which the model cannot paint over --paint, 0 to 1 [default: 1]
    #[arg(long, value_name = "PART", requires = "paint")]
    pub hold: Option<f32>,
    /// Draw the noise anew where this picture is white, at the step to continue from
    #[arg(long, value_name = "MASK", requires = "continue_from")]
    pub fresh_noise: Option<PathBuf>,
    /// The seed of the fresh noise [default: 0]
    #[arg(long, value_name = "N", requires = "fresh_noise")]
    pub fresh_noise_seed: Option<u64>,
    /// Sampling steps, 1 to 1000 [default: 20]
    #[arg(long, value_name = "N")]
    pub steps: Option<u32>,
    /// Guidance scale: how closely the picture follows the prompt [default: 7.5]
    #[arg(long, value_name = "G", allow_negative_numbers = true)]
    pub cfg: Option<f32>,
    /// Guide the picture by the gradient of a loss besides the prompt, such as channel:blue=0.9. Can be repeated
    #[arg(long = "guide", value_name = "LOSS", long_help = guide_help())]
    pub guides: Vec<LossGuide>,
    #[command(flatten)]
    pub training_free: TrainingFreeArgs,
    /// 0 to 2^64-1; the same seed makes the same picture. -1 or `random` chooses one and prints it
    /// [default: random]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub seed: Option<Seed>,
    /// Width and height in pixels, multiples of 8 [default: the model's native size]
    #[arg(long, value_name = "WxH", allow_hyphen_values = true)]
    pub size: Option<Size>,
    /// Pictures to make at once, 1 to 8; picture i has the seed + i [default: 1]
    #[arg(long, value_name = "N")]
    pub batch: Option<u32>,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// Write the latents of every step, to check them or to continue from them: a safetensors file
    #[arg(long, value_name = "T.safetensors")]
    pub trace: Option<PathBuf>,
    /// Write the (first) picture beside its attention map for each word of the prompt. This takes one
    /// more UNet pass per step
    #[arg(long, value_name = "A.png")]
    pub attention: Option<PathBuf>,
    /// Write the way of each picture from noise as a map: all steps on the plane of their two principal components
    #[arg(long, value_name = "MAP.png")]
    pub map: Option<PathBuf>,
    /// The latents that the map shows
    #[arg(long, value_name = "WHAT", default_value = MapView::default().name(), value_parser = one_of(MapView::ALL, MapView::name, MapView::hint, &[]), requires = "map")]
    pub map_view: MapView,
    #[command(flatten)]
    pub animation: AnimationArgs,
    /// Print one JSON object instead of the paths
    #[arg(long)]
    pub json: bool,
}

/// The losses and their options.
fn guide_help() -> String {
    let mut help =
        "Guide the picture by the gradient of a loss besides the prompt. Can be repeated. The losses:\n"
            .to_owned();
    help.extend(Loss::examples().iter().map(|loss| format!("- {loss}: {}\n", loss.hint())));
    let paths = GradientPath::ALL.map(GradientPath::name).join(", ");
    let curves = ScaleCurve::ALL.map(ScaleCurve::name).join(", ");
    help + &format!(
        "After it, separated by commas: scale=, every= (5: every fifth step), from= and to= (steps), curve= ({curves}), \
         through= ({paths}), mask= (a picture, white where the guide acts), model= (for clip and classifier)"
    )
}
