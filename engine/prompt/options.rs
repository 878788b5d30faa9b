//! How a prompt is read: whose weights, what becomes of a long one, and how deep the encoder reads.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

/// Every choice about reading a prompt that changes what the model sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct TextOptions {
    pub weights: PromptWeights,
    pub long: PromptOverflow,
    /// Which layer's output is used, counted from the last one, 1. 2 suits models that were trained so.
    pub clip_skip: u32,
}

impl TextOptions {
    /// As many layers as any text encoder in use has. One that has fewer passes the embeddings on as they
    /// entered it, as `hidden_states[0]` of transformers.
    pub const CLIP_SKIP: RangeInclusive<u32> = 1..=24;

    /// The text as it stands, cut where the encoder ends: the lesson's way, and that of pictures whose
    /// recipe does not say.
    pub const PLAIN: Self = Self { weights: PromptWeights::None, long: PromptOverflow::Cut, clip_skip: 1 };

    pub(crate) fn plain() -> Self {
        Self::PLAIN
    }
}

impl Default for TextOptions {
    fn default() -> Self {
        Self { weights: PromptWeights::A1111, long: PromptOverflow::Chunk, clip_skip: 1 }
    }
}

/// Whose way of writing weights into a prompt, and whose arithmetic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PromptWeights {
    /// AUTOMATIC1111's: `(x)`, `(x:1.2)`, `[x]`, `BREAK`, `[a:b:0.5]`, `[a|b]`, `AND`.
    #[default]
    A1111,
    /// ComfyUI's: `(x)`, `(x:1.2)`.
    Comfy,
    /// Every letter is meant as it stands.
    None,
}

impl PromptWeights {
    pub const ALL: [Self; 3] = [Self::A1111, Self::Comfy, Self::None];

    /// Name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::A1111 => "a1111",
            Self::Comfy => "comfy",
            Self::None => "none",
        }
    }

    /// Name in the window.
    pub fn label(self) -> &'static str {
        match self {
            Self::A1111 => "A1111",
            Self::Comfy => "ComfyUI",
            Self::None => "None",
        }
    }

    /// One sentence for a tooltip.
    pub fn hint(self) -> &'static str {
        match self {
            Self::A1111 => "(word:1.2), [word], BREAK, [a:b:0.5], [a|b] and AND, as AUTOMATIC1111 reads them",
            Self::Comfy => "(word:1.2) as ComfyUI reads it, where weights act harder",
            Self::None => "Brackets are letters like any others",
        }
    }
}

/// What becomes of a prompt that is longer than the encoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PromptOverflow {
    /// It is read in chunks of 75 tokens, one after the other.
    #[default]
    Chunk,
    /// Its end is not read.
    Cut,
}

impl PromptOverflow {
    pub const ALL: [Self; 2] = [Self::Chunk, Self::Cut];

    /// Name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chunk => "chunks",
            Self::Cut => "cut",
        }
    }

    /// Name in the window.
    pub fn label(self) -> &'static str {
        match self {
            Self::Chunk => "In chunks",
            Self::Cut => "Cut off",
        }
    }

    /// One sentence for a tooltip.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Chunk => "What does not fit goes into a further chunk of 75 tokens",
            Self::Cut => "What does not fit is not read, as in the lesson",
        }
    }
}
