//! How a prompt is read, edited and mixed, on the command line.

use clap::Args as ClapArgs;
use engine::prompt::{EmbeddingEdit, MixMethod, Mixed, PromptOverflow, PromptWeights};
use engine::recipe::Recipe;

use super::args::{one_of, one_of_or};

#[derive(Debug, ClapArgs)]
pub struct TextArgs {
    #[command(flatten)]
    pub reading: ReadingArgs,
    /// Change the embedding of a word: puppy=0.5*puppy+0.5*skunk, king=king-man+woman, puppy=#2368;
    /// also `, scale 1.5`, `, noise 0.3 seed 7`, `, no position`, and puppy[1] for the second puppy;
    /// may be repeated
    #[arg(long = "edit", value_name = "WORD=SUM")]
    pub edits: Vec<EmbeddingEdit>,
    /// Mix another prompt in by a weight; may be repeated, and the main prompt has what is left of 1
    #[arg(long, value_name = "PROMPT:W", allow_hyphen_values = true)]
    pub mix: Vec<Mixed>,
    /// How the prompts of a mix meet [default: linear]
    #[arg(long, value_name = "HOW", value_parser = one_of(MixMethod::ALL.map(|it| (it.name(), it.hint(), it))))]
    pub mix_way: Option<MixMethod>,
}

#[derive(Debug, ClapArgs)]
pub struct ReadingArgs {
    /// Whose weights a prompt is written with [default: a1111]
    #[arg(long, value_name = "WHOSE", value_parser = one_of(PromptWeights::ALL.map(|it| (it.name(), it.hint(), it))))]
    pub weights: Option<PromptWeights>,
    /// What becomes of a prompt that is too long for the text encoder [default: chunk]
    #[arg(long, value_name = "HOW", value_parser = one_of_or(PromptOverflow::ALL.map(|it| (it.name(), it.hint(), it)), PromptOverflow::ALIASES))]
    pub long: Option<PromptOverflow>,
    /// Use the output of the text encoder's layer that is the Nth from its end [default: 1]
    #[arg(long, value_name = "N")]
    pub clip_skip: Option<u32>,
}

impl TextArgs {
    /// Sets what was given; the rest of the recipe stays.
    pub fn write_into(&self, recipe: &mut Recipe) {
        self.reading.write_into(recipe);
        if !self.edits.is_empty() {
            recipe.edits.clone_from(&self.edits);
        }
        if !self.mix.is_empty() {
            recipe.mix.prompts.clone_from(&self.mix);
        }
        recipe.mix.method = self.mix_way.unwrap_or(recipe.mix.method);
    }
}

impl ReadingArgs {
    pub fn write_into(&self, recipe: &mut Recipe) {
        let text = &mut recipe.text;
        text.weights = self.weights.unwrap_or(text.weights);
        text.overflow = self.long.unwrap_or(text.overflow);
        text.clip_skip = self.clip_skip.unwrap_or(text.clip_skip);
    }
}
