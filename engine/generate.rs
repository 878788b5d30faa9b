//! The main flow: a recipe becomes conditioning, the conditioning guides sampling, and the latents
//! that come out are decoded.

use std::sync::Arc;
use std::time::Instant;

use crate::concepts::ConceptRef;
use crate::cpu;
pub use crate::diffusion::{Film, RecordedStep};
use crate::diffusion::{Halt, Latents};
use crate::images::{Array, ImageError, Pixels};
pub use crate::pipeline::Pipeline;
use crate::recipe::{Recipe, RecipeError};
use crate::session::{Frame, StopFlag};
use crate::stages::to_pictures;
use crate::text::{Reading, Source};
use crate::walk::{Walk, Walked};

/// What a run tells while it goes on.
pub enum Progress<'a> {
    /// `sigmas` has `steps + 1` entries, of which those from `start_step` on are run.
    Started {
        sigmas: &'a [f32],
        start_step: usize,
    },
    Step(Frame),
}

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

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    #[error(transparent)]
    StartImage(#[from] ImageError),
    #[error(
        "The steps at hand are of latents {found:?} and this model makes {expected:?} of a picture like that: go on with the model that they were made with"
    )]
    OtherLatents { found: [usize; 4], expected: [usize; 4] },
    #[error("Step {step} cannot be branched from: that run was over after {steps} steps")]
    EndedBefore { step: usize, steps: usize },
    #[error("There is no such word in the prompt any more: choose another")]
    NoSuchToken,
    #[error("\"{0}\" is not in the prompt: write it there, or forget its edit")]
    NoSuchEdited(String),
    #[error(
        "The edit of \"{letters}\" asks for the id {id}, and this model has {words} words: choose a smaller one"
    )]
    NoSuchId { letters: String, id: u32, words: usize },
    #[error("The edit of \"{letters}\" asks for {word:?}, which is no word to this model: choose another")]
    NoSuchWord { letters: String, word: String },
    #[error(
        "A picture of {width} x {height} needs about {} even in small pieces, and {} of memory are free. Choose a smaller size, or close other programs",
        gigabytes(*.needed),
        gigabytes(*.free)
    )]
    TooLarge { width: u32, height: u32, needed: u64, free: u64 },
    #[error(
        "Memory ran out even for small pieces ({0}). Choose a smaller size, close other programs, or use the CPU"
    )]
    OutOfMemory(String),
    #[error("Stopped")]
    Stopped,
    #[error("{0}")]
    Device(String),
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

impl From<Halt> for GenerateError {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Stopped => Self::Stopped,
            Halt::OutOfMemory(words) => Self::OutOfMemory(words),
            Halt::Failed(text) => Self::Device(text),
        }
    }
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
        let (film, notes) = (Film::default(), care.into_notes());
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
        let texts = prompts.readings().flat_map(Reading::texts).cloned().chain(edits);
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
