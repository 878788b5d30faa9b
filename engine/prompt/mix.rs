//! Prompts mixed after the text encoder: their output embeddings, by weights.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

/// Further prompts beside the main one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mix {
    pub with: Vec<Mixed>,
    pub way: MixMethod,
}

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mixed {
    pub prompt: String,
    /// Its share, -2 to 2. The main prompt has what is left of 1.
    pub weight: f32,
}

/// How output embeddings meet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MixMethod {
    /// Along the straight line: `m E1 + (1 - m) E2`.
    #[default]
    Linear,
    /// Along the arc, position by position, so that no length is lost on the way (Shoemake, 1985).
    Spherical,
}

impl Mix {
    pub const WEIGHT: RangeInclusive<f32> = -2.0..=2.0;
    /// More prompts than anybody keeps apart.
    pub const MAX: usize = 16;

    /// The share of the main prompt.
    pub fn main_weight(&self) -> f32 {
        1.0 - self.with.iter().map(|mixed| mixed.weight).sum::<f32>()
    }
}

impl MixMethod {
    pub const ALL: [Self; 2] = [Self::Linear, Self::Spherical];

    /// Name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Spherical => "spherical",
        }
    }

    /// Name in the window.
    pub fn label(self) -> &'static str {
        match self {
            Self::Linear => "Linear",
            Self::Spherical => "Spherical",
        }
    }

    /// One sentence for a tooltip.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Linear => "The straight line between the prompts' embeddings, as in the lesson",
            Self::Spherical => "The arc between them, which keeps their length",
        }
    }
}

/// `PROMPT:0.4`, as it is written on the command line; the last colon counts.
impl std::str::FromStr for Mixed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.rsplit_once(':').and_then(|(prompt, weight)| {
            let weight = weight.trim().parse().ok().filter(|weight: &f32| weight.is_finite())?;
            Some(Self { prompt: prompt.trim().to_owned(), weight })
        });
        parsed.ok_or_else(|| format!("{text:?} is no prompt with a weight: write it as \"a leopard:0.4\""))
    }
}
