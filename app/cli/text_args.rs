//! How prompts are read, edited and mixed, on the command line.

use clap::Args;
use engine::prompt::{EmbeddingEdit, MixMethod, Mixed, PromptOverflow, PromptWeights};
use engine::recipe::Recipe;

use super::shared_args::one_of;

#[derive(Debug, Args)]
pub struct TextArgs {
    #[command(flatten)]
    pub prompt_options: PromptOptionArgs,
    /// Change the embedding of a word: puppy=0.5*puppy+0.5*skunk, king=king-man+woman, puppy=#2368.
    /// Append `, scale 1.5`, `, noise 0.3 seed 7` or `, no position`; puppy`[1]` is the second puppy. Can
    /// be repeated
    #[arg(long = "edit", value_name = "WORD=SUM")]
    pub edits: Vec<EmbeddingEdit>,
    /// Mix in another prompt with a weight; the main prompt keeps the rest up to 1. Can be repeated
    #[arg(long, value_name = "PROMPT:W", allow_hyphen_values = true)]
    pub mix: Vec<Mixed>,
    /// How mixed prompts are interpolated [default: linear]
    #[arg(long, alias = "mix-way", value_name = "HOW", value_parser = one_of(MixMethod::ALL, MixMethod::name, MixMethod::hint, &[]))]
    pub mix_method: Option<MixMethod>,
}

#[derive(Debug, Args)]
pub struct PromptOptionArgs {
    /// Whose syntax for weights the prompt uses [default: a1111]
    #[arg(long, value_name = "WHOSE", value_parser = one_of(PromptWeights::ALL, PromptWeights::name, PromptWeights::hint, &[]))]
    pub weights: Option<PromptWeights>,
    /// What to do with a prompt that is too long for the text encoder [default: chunk]
    #[arg(long, alias = "long", value_name = "HOW", value_parser = one_of(PromptOverflow::ALL, PromptOverflow::name, PromptOverflow::hint, PromptOverflow::ALIASES))]
    pub overflow: Option<PromptOverflow>,
    /// Clip skip: use the output of the text encoder's Nth layer from the end [default: 1]
    #[arg(long, value_name = "N")]
    pub clip_skip: Option<u32>,
}

impl TextArgs {
    /// Sets the given options; the rest of the recipe is unchanged.
    pub fn write_into(&self, recipe: &mut Recipe) {
        self.prompt_options.write_into(recipe);
        if !self.edits.is_empty() {
            recipe.edits.clone_from(&self.edits);
        }
        if !self.mix.is_empty() {
            recipe.mix.prompts.clone_from(&self.mix);
        }
        recipe.mix.method = self.mix_method.unwrap_or(recipe.mix.method);
    }
}

impl PromptOptionArgs {
    pub fn write_into(&self, recipe: &mut Recipe) {
        let text = &mut recipe.text;
        text.weights = self.weights.unwrap_or(text.weights);
        text.overflow = self.overflow.unwrap_or(text.overflow);
        text.clip_skip = self.clip_skip.unwrap_or(text.clip_skip);
    }
}
