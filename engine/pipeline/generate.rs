//! The main flow: a recipe becomes conditioning, the conditioning guides sampling, and the latents
//! that come out are decoded.

use std::sync::Arc;
use std::time::Instant;

use crate::concepts::ConceptRef;
use crate::cpu;
use crate::diffusion::Latents;
use crate::error::EngineError;
use crate::images::{Array, ImageError, Pixels};
use crate::pipeline::autoencoder::to_pictures;
use crate::pipeline::sampling::{Walk, Walked};
use crate::pipeline::{Frame, StopFlag};
use crate::prompt::{Source, TokenizedPrompt};
use crate::recipe::{Recipe, RecipeError};

/// A finished run, whole.
pub struct Generated {
    pub pictures: Vec<Arc<Pixels>>,
    pub film: Film,
    /// What was decoded, scaled as the UNet sees it.
    pub latents: Latents,
    /// `[batch, 3, height, width]` in 0..1, before it was rounded to 8 bits.
    pub image: Array,
    /// What the prompt says at the first step (that of the first part, if AND composes it),
    /// `[1, tokens, width]`.
    pub cond: Array,
    /// Absent at a guidance scale of 1.
    pub uncond: Option<Array>,
    /// Those that the prompts used.
    pub concepts: Vec<ConceptRef>,
    pub timings: Timings,
    /// Sentences about what went another way than it was asked to.
    pub notes: Vec<String>,
}

/// Where the time went, seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timings {
    pub text_secs: f64,
    pub encode_secs: f64,
    pub step_secs: Vec<f64>,
    pub decode_secs: f64,
    pub first_preview_secs: f64,
    /// Of the steps: what it took to record them and to show them.
    pub film_secs: f64,
    pub total_secs: f64,
}

impl Pipeline {
    /// Makes the pictures of a recipe.
    pub fn generate(
        &self,
        recipe: &Recipe,
        stop: &StopFlag,
        observe: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Generated, GenerateError> {
        let mut film = Film::default();
        let generated = self.generate_on(recipe, &mut film, stop, observe)?;
        Ok(Generated { film, ..generated })
    }

    /// The same, going on from a film: of this recipe, as far as it came, or of the run that the recipe
    /// leaves. Steps that are on it are not made again; whatever ends the run, it has those that were made.
    pub fn generate_on(
        &self,
        recipe: &Recipe,
        film: &mut Film,
        stop: &StopFlag,
        observe: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Generated, GenerateError> {
        recipe.check()?;
        let care = self.care(recipe)?;
        cpu::join_workers();
        let mut walk = Walk::new(self, &care, stop, observe);
        let Walked { latents, cond, uncond } = walk.walk(recipe, film, None)?;
        let (started, mut timings) = (walk.started, walk.timings);

        let decode_started = Instant::now();
        let image = self.decode_with(&latents, &care, stop)?;
        timings.decode_secs = decode_started.elapsed().as_secs_f64();
        timings.total_secs = started.elapsed().as_secs_f64();
        let pictures = to_pictures(&image);
        let concepts = self.concepts_in(recipe);
        let (film, notes) = (Film::default(), care.take_notes());
        Ok(Generated { pictures, film, latents, image, cond, uncond, concepts, timings, notes })
    }

    /// The concepts that a recipe uses, each once.
    pub fn concepts_in(&self, recipe: &Recipe) -> Vec<ConceptRef> {
        let prompts = self.prompts(recipe);
        let terms = recipe.edits.iter().flat_map(|edit| &edit.becomes);
        let edits = terms.filter_map(|term| match &term.of {
            Source::Word(word) => Some(Arc::new(self.tokenize(word))),
            Source::Id(_) => None,
        });
        let texts = prompts.readings().flat_map(TokenizedPrompt::texts).cloned().chain(edits);
        let mut used: Vec<ConceptRef> = Vec::new();
        for text in texts {
            for (_, concept) in text.concepts() {
                let concept = concept.reference();
                if !used.contains(&concept) {
                    used.push(concept);
                }
            }
        }
        used
    }
}
