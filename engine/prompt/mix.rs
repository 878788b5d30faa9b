//! Prompts mixed after the text encoder: their output embeddings, by weights.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::choice::{impl_choice, impl_serde_by_name};

/// Prompts that are mixed into the main one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mix {
    #[serde(alias = "with")]
    pub prompts: Vec<Mixed>,
    #[serde(alias = "way")]
    pub method: MixMethod,
}

/// A prompt to mix in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mixed {
    pub prompt: String,
    /// Its share, -2 to 2. The main prompt has the rest of 1.
    pub weight: f32,
}

/// How output embeddings are interpolated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MixMethod {
    /// Along the straight line: `m E1 + (1 - m) E2`.
    #[default]
    Linear,
    /// Along the arc, position by position, which keeps their length (Shoemake, 1985).
    Spherical,
}

impl Mix {
    pub const WEIGHT: RangeInclusive<f32> = -2.0..=2.0;
    /// The most prompts that can be mixed in.
    pub const MAX: usize = 16;

    /// The share of the main prompt.
    pub fn main_weight(&self) -> f32 {
        1.0 - self.prompts.iter().map(|mixed| mixed.weight).sum::<f32>()
    }
}

impl_choice!(MixMethod);
impl_serde_by_name!(MixMethod);

impl MixMethod {
    #[rustfmt::skip]
    const TABLE: [(Self, &str, &str, &str); 2] = [
        (Self::Linear, "linear", "Linear", "The straight line between the prompts' embeddings, as in the lesson"),
        (Self::Spherical, "spherical", "Spherical", "The arc between them, which keeps their length"),
    ];
}

/// `PROMPT:0.4`, as on the command line; the last colon separates them.
impl std::str::FromStr for Mixed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.rsplit_once(':').and_then(|(prompt, weight)| {
            let weight = weight.trim().parse().ok().filter(|weight: &f32| weight.is_finite())?;
            Some(Self { prompt: prompt.trim().to_owned(), weight })
        });
        parsed.ok_or_else(|| format!("{text:?} is not a prompt with a weight: write it as \"a leopard:0.4\""))
    }
}
