//! How a prompt is read: the syntax of its weights, the handling of long prompts, and clip skip.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::choice::{impl_choice, impl_serde_by_name};

/// The options for reading a prompt that change what the model sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct TextOptions {
    pub weights: PromptWeights,
    #[serde(alias = "long")]
    pub overflow: PromptOverflow,
    /// Which layer's output is used, counted from the last layer, which is 1. Some models were trained with 2.
    pub clip_skip: u32,
}

impl TextOptions {
    /// The upper end is the number of layers of the largest text encoder in use. An encoder with fewer layers
    /// returns its input embeddings, as `hidden_states[0]` of transformers.
    pub const CLIP_SKIP: RangeInclusive<u32> = 1..=24;

    /// The text without syntax, truncated to the encoder's input: as in the lesson, and in pictures whose recipe
    /// has no text options.
    pub const PLAIN: Self =
        Self { weights: PromptWeights::None, overflow: PromptOverflow::Truncate, clip_skip: 1 };

    pub(crate) fn plain() -> Self {
        Self::PLAIN
    }
}

impl Default for TextOptions {
    fn default() -> Self {
        Self { weights: PromptWeights::A1111, overflow: PromptOverflow::Chunk, clip_skip: 1 }
    }
}

/// Whose syntax for prompt weights, and whose arithmetic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PromptWeights {
    /// AUTOMATIC1111's: `(x)`, `(x:1.2)`, `[x]`, `BREAK`, `[a:b:0.5]`, `[a|b]`, `AND`.
    #[default]
    A1111,
    /// ComfyUI's: `(x)`, `(x:1.2)`.
    Comfy,
    /// The prompt has no syntax.
    None,
}

impl_choice!(PromptWeights);
impl_serde_by_name!(PromptWeights);

impl PromptWeights {
    #[rustfmt::skip]
    const TABLE: [(Self, &str, &str, &str); 3] = [
        (Self::A1111, "a1111", "A1111", "(word:1.2), [word], BREAK, [a:b:0.5], [a|b] and AND, as AUTOMATIC1111 reads them"),
        (Self::Comfy, "comfy", "ComfyUI", "(word:1.2) as ComfyUI reads it, where weights have a stronger effect"),
        (Self::None, "none", "None", "Brackets have no special meaning"),
    ];
}

/// How a prompt is read that is longer than the text encoder's input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PromptOverflow {
    /// In chunks of 75 tokens, one after the other.
    #[default]
    Chunk,
    /// Without its end.
    Truncate,
}

// Earlier versions called them "chunks" and "cut".
impl_choice!(PromptOverflow, "chunks" => Chunk, "cut" => Truncate);
impl_serde_by_name!(PromptOverflow);

impl PromptOverflow {
    #[rustfmt::skip]
    const TABLE: [(Self, &str, &str, &str); 2] = [
        (Self::Chunk, "chunk", "In chunks", "What does not fit goes into further chunks of 75 tokens"),
        (Self::Truncate, "truncate", "Truncated", "What does not fit is ignored, as in the lesson"),
    ];
}
