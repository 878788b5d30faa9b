//! A loss with its scale, its steps, and the way its gradient is taken.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Loss, Mask, PictureFileError};
use crate::choice::{impl_choice, impl_serde_by_name};

/// A loss that guides sampling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossGuide {
    #[serde(flatten)]
    pub loss: Loss,
    /// The factor of the gradient: 0 does nothing, and the usual value depends on the loss.
    pub scale: f32,
    /// The steps whose index is a multiple of this are guided. 1 to 1000.
    pub every: u32,
    /// The first step that is guided, an index into the whole schedule.
    #[serde(default, skip_serializing_if = "is_default")]
    pub from: u32,
    /// The last step that is guided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u32>,
    #[serde(default)]
    pub through: GradientPath,
    /// How the scale changes from the first step of the schedule to the last.
    #[serde(default, skip_serializing_if = "is_default")]
    pub curve: ScaleCurve,
    /// Where it acts; everywhere if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<Mask>,
    /// It guides nothing, but keeps its settings.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub off: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// From what to what the gradient of a loss is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum GradientPath {
    Preview,
    #[default]
    Decoder,
    Unet,
}

impl_choice!(GradientPath);
impl_serde_by_name!(GradientPath);

impl GradientPath {
    #[rustfmt::skip]
    const TABLE: [(Self, &str, &str, &str); 3] = [
        (Self::Preview, "preview", "Preview", "Almost free: the loss of the small preview, which is a linear map of the latents"),
        (Self::Decoder, "decoder", "Decoder", "The lesson's: the loss of the decoded picture, with the predicted noise taken as constant. A guided step takes several decodings longer"),
        (Self::Unet, "unet", "UNet", "Exact: back through the decoder, the UNet and guidance. A guided step takes several steps longer"),
    ];
}

/// How the scale of a guide changes over the steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ScaleCurve {
    #[default]
    Constant,
    Linear,
    Cosine,
}

impl_choice!(ScaleCurve);
impl_serde_by_name!(ScaleCurve);

impl ScaleCurve {
    #[rustfmt::skip]
    const TABLE: [(Self, &str, &str, &str); 3] = [
        (Self::Constant, "constant", "Constant", "The same scale at every step, as in the lesson"),
        (Self::Linear, "linear", "Linear", "Falls evenly to nothing, so that the last steps draw details unhindered"),
        (Self::Cosine, "cosine", "Cosine", "Stays high at first, then falls to nothing: half a wave of the cosine"),
    ];

    /// The factor of the scale at a step of so many.
    pub fn at(self, step: usize, steps: usize) -> f32 {
        let passed = (step as f32 / steps.max(1) as f32).min(1.0);
        match self {
            Self::Constant => 1.0,
            Self::Linear => 1.0 - passed,
            Self::Cosine => 0.5 * (1.0 + (std::f32::consts::PI * passed).cos()),
        }
    }
}

/// Why a guide cannot be used: what, why, what to do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum GuideError {
    #[error("{0:?} is not a loss: choose one of {names}", names = names())]
    NoSuchLoss(String),
    #[error("The loss {loss} cannot be used, because {why}")]
    Loss { loss: String, why: String },
    #[error(
        "{0:?} is not an option of a guide: use scale=, every=, from=, to=, curve=, through=, mask=, model= and off="
    )]
    NoSuchOption(String),
    #[error("{value:?} does not fit {option}: {expected}")]
    Value { option: &'static str, value: String, expected: &'static str },
    #[error(transparent)]
    Picture(#[from] PictureFileError),
    /// The sentence of the file.
    #[error("{0}")]
    Model(String),
}

fn names() -> String {
    let names: Vec<&str> = Loss::examples().iter().map(Loss::name).collect();
    names.join(", ")
}

impl LossGuide {
    /// Recipes have at most as many guides.
    pub const MAX: usize = 16;
    /// The lesson guides every fifth step.
    pub const EVERY: u32 = 5;
    pub const SCALE: std::ops::RangeInclusive<f32> = -1e6..=1e6;

    /// A guide with usual settings.
    pub fn new(loss: Loss) -> Self {
        let scale = loss.default_scale();
        Self {
            loss,
            scale,
            every: Self::EVERY,
            from: 0,
            to: None,
            through: GradientPath::default(),
            curve: ScaleCurve::default(),
            mask: None,
            off: false,
        }
    }

    /// Whether it guides the step with this index in the whole schedule.
    pub fn guides(&self, step: usize) -> bool {
        let last = self.to.map_or(usize::MAX, |to| to as usize);
        !self.off
            && self.scale != 0.0
            && (self.from as usize..=last).contains(&step)
            && step.is_multiple_of(self.every as usize)
    }

    /// # Errors
    /// The first value that is out of range.
    pub fn check(&self) -> Result<(), GuideError> {
        if !Self::SCALE.contains(&self.scale) {
            let value = self.scale.to_string();
            return Err(GuideError::Value { option: "scale", value, expected: "choose -1000000 to 1000000" });
        }
        if !(1..=1000).contains(&self.every) {
            let value = self.every.to_string();
            return Err(GuideError::Value { option: "every", value, expected: "choose 1 to 1000" });
        }
        if self.mask.as_ref().is_some_and(Mask::is_black) {
            return Err(PictureFileError::BlackMask { path: None }.into());
        }
        self.loss.check()
    }
}

/// `channel:blue=0.9`
fn parse_loss(text: &str) -> Result<Loss, GuideError> {
    let text = text.trim();
    let unreadable = |why: String| GuideError::Loss { loss: text.into(), why };
    let (name, settings) = text.split_at(text.find([':', '=']).unwrap_or(text.len()));
    let (what, target) = split_settings(settings).map_err(unreadable)?;
    let loss = Loss::parse(name.trim(), what, target);
    loss.ok_or_else(|| GuideError::NoSuchLoss(name.trim().into()))?.map_err(unreadable)
}

/// `:blue=0.9`: what stands after the colon, and the number after the equals sign.
pub(super) fn split_settings(settings: &str) -> Result<(Option<&str>, Option<f32>), String> {
    let (what, target) = match settings.strip_prefix(':') {
        None => (None, settings),
        Some(rest) => {
            let rest = rest.trim_start();
            let end = match rest.strip_prefix(QUOTES) {
                Some(quoted) => {
                    let quote = &rest[..1];
                    2 + quoted
                        .find(quote)
                        .ok_or_else(|| format!("the quotation mark {quote} is not closed"))?
                }
                None => rest.find('=').unwrap_or(rest.len()),
            };
            (Some(unquoted(rest[..end].trim())), rest[end..].trim())
        }
    };
    let target = match target.strip_prefix('=') {
        None if target.is_empty() => None,
        None => return Err(format!("{target:?} is too much")),
        Some(text) => {
            let number = text.trim().parse::<f32>().ok().filter(|target| target.is_finite());
            Some(number.ok_or_else(|| format!("{text:?} is not a number"))?)
        }
    };
    Ok((what, target))
}

/// Around a text that may contain commas and equals signs.
const QUOTES: [char; 2] = ['\'', '"'];

/// The parts between commas that are not within quotation marks, which open after a colon or an equals sign.
fn split_at_commas(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut quote, mut before) = (Vec::new(), 0, None, ' ');
    for (at, letter) in text.char_indices() {
        match quote {
            Some(open) if letter == open => quote = None,
            Some(_) => {}
            None if QUOTES.contains(&letter) && [':', '='].contains(&before) => quote = Some(letter),
            None if letter == ',' => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            None => {}
        }
        before = letter;
    }
    parts.push(&text[start..]);
    parts
}

fn unquoted(text: &str) -> &str {
    let inner = |quote| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    QUOTES.into_iter().find_map(inner).unwrap_or(text)
}

/// In quotation marks that it does not contain.
pub(super) fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') { '"' } else { '\'' };
    format!("{quote}{}{quote}", text.replace(quote, "\u{2019}"))
}

/// `channel:blue=0.9,scale=200,every=5,from=10,to=40,through=decoder,mask=face.png`
impl FromStr for LossGuide {
    type Err = GuideError;

    fn from_str(text: &str) -> Result<Self, GuideError> {
        let mut parts = split_at_commas(text).into_iter();
        let mut guide = Self::new(parse_loss(parts.next().unwrap_or_default())?);
        for part in parts {
            let (option, value) =
                part.split_once('=').ok_or_else(|| GuideError::NoSuchOption(part.into()))?;
            let value = unquoted(value.trim());
            let refuse = |option, expected| GuideError::Value { option, value: value.into(), expected };
            let step = |option| value.parse().map_err(|_| refuse(option, "write a number of steps"));
            match option.trim() {
                "scale" => guide.scale = value.parse().map_err(|_| refuse("scale", "write a number"))?,
                "every" => guide.every = step("every")?,
                "from" => guide.from = step("from")?,
                "to" => guide.to = Some(step("to")?),
                "through" => {
                    let path = GradientPath::from_name(value);
                    guide.through =
                        path.ok_or_else(|| refuse("through", "choose preview, decoder or unet"))?;
                }
                "curve" => {
                    let curve = ScaleCurve::from_name(value);
                    guide.curve =
                        curve.ok_or_else(|| refuse("curve", "choose constant, linear or cosine"))?;
                }
                "mask" => guide.mask = Some(Mask::load(Path::new(value))?),
                "model" => guide.loss.set_model(value.into())?,
                "off" => {
                    guide.off = value.parse().map_err(|_| refuse("off", "write true or false"))?;
                }
                other => return Err(GuideError::NoSuchOption(other.into())),
            }
        }
        guide.check()?;
        Ok(guide)
    }
}

/// As [`FromStr`] reads it, but for the mask, whose file is not known.
impl fmt::Display for LossGuide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { loss, scale, every, from, to, through, curve, mask: _, off } = self;
        write!(f, "{loss},scale={scale},every={every}")?;
        if *from > 0 {
            write!(f, ",from={from}")?;
        }
        if let Some(to) = to {
            write!(f, ",to={to}")?;
        }
        if *curve != ScaleCurve::default() {
            write!(f, ",curve={}", curve.name())?;
        }
        write!(f, ",through={}", through.name())?;
        if let Some(model) = loss.model() {
            write!(f, ",model={}", quoted(&model.display().to_string()))?;
        }
        if *off {
            write!(f, ",off=true")?;
        }
        Ok(())
    }
}
