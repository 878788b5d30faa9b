//! Looks into latent space that the window asks for, one at a time.

use std::sync::Arc;

use super::JobId;
use crate::concepts::ConceptSet;
use crate::diffusion::{Latents, StepView};
use crate::images::Pixels;
use crate::inspect::latents::{Channel, RoundTrip, add_noise, channels};
use crate::inspect::token::TokenTrace;
use crate::pipeline::StopFlag;
use crate::pipeline::{GenerateError, Pipeline};
use crate::prompt::TokenPlace;
use crate::recipe::{Recipe, RecordedRun};

/// What to look at.
#[derive(Clone, Debug, PartialEq)]
pub enum InspectRequest {
    /// The channels of a recorded step, of one picture of its batch.
    StepChannels { job: JobId, step: usize, view: StepView, picture: usize },
    /// The channels of a picture, once encoded.
    Channels(ImageSource),
    /// A picture with noise of a seed, at a noise level, decoded.
    AddNoise { to: ImageSource, seed: u64, sigma: f32 },
    /// A picture, encoded and decoded again.
    RoundTrip(ImageSource),
    /// A token of a recipe's prompt on its way through the text encoder, at a step of the run. `part`
    /// counts what AND composes.
    Word { recipe: Box<Recipe>, concepts: ConceptSet, step: usize, part: usize, place: TokenPlace },
    /// What a recipe's edits put in the place of their words, in the order of the prompt.
    Edited { recipe: Box<Recipe>, concepts: ConceptSet },
}

/// The middle of a picture, at a size that can be encoded.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageSource {
    pub pixels: Arc<Pixels>,
    pub width: u32,
    pub height: u32,
}

/// The answer to a [`InspectRequest`].
#[derive(Clone, Debug, PartialEq)]
pub enum InspectResult {
    Channels(Vec<Channel>),
    Noised(Arc<Pixels>),
    RoundTrip(RoundTrip),
    Word(Box<TokenTrace>),
    Edited(Vec<Vec<f32>>),
}

/// The picture that was encoded last: who drags the noise up and down encodes it once.
#[derive(Default)]
pub(super) struct EncodeCache(Option<(ImageSource, Latents)>);

impl InspectRequest {
    /// The concepts that it needs known.
    pub(super) fn concepts(&self) -> Option<&ConceptSet> {
        match self {
            Self::Word { concepts, .. } | Self::Edited { concepts, .. } => Some(concepts),
            _ => None,
        }
    }
}

impl EncodeCache {
    fn of(
        &mut self,
        pipeline: &Pipeline,
        at: &ImageSource,
        stop: &StopFlag,
    ) -> Result<Latents, GenerateError> {
        if let Some((known, latents)) = &self.0
            && Arc::ptr_eq(&known.pixels, &at.pixels)
            && (known.width, known.height) == (at.width, at.height)
        {
            return Ok(latents.clone());
        }
        let latents = pipeline.encode(&at.pixels, (at.width, at.height), stop)?;
        self.0 = Some((at.clone(), latents.clone()));
        Ok(latents)
    }

    /// Answers a look; `run_of` finds the recorded run of a job, as long as it is kept.
    pub fn answer<'a>(
        &mut self,
        pipeline: &Pipeline,
        run_of: impl Fn(JobId) -> Option<&'a RecordedRun>,
        look: &InspectRequest,
        stop: &StopFlag,
    ) -> Result<InspectResult, String> {
        let text = |error: GenerateError| error.to_string();
        match look {
            InspectRequest::StepChannels { job, step, view, picture } => {
                let recorded = run_of(*job).and_then(|run| run.trajectory.step(*step));
                let latents = recorded.and_then(|recorded| view.latents(recorded));
                let latents = latents.filter(|latents| *picture < latents.batch());
                let seen = latents.map(|latents| InspectResult::Channels(channels(&latents, *picture)));
                seen.ok_or_else(|| "The numbers of this step are no longer kept: run it again".into())
            }
            InspectRequest::Channels(at) => {
                Ok(InspectResult::Channels(channels(&self.of(pipeline, at, stop).map_err(text)?, 0)))
            }
            InspectRequest::AddNoise { to, seed, sigma } => {
                let x0 = self.of(pipeline, to, stop).map_err(text)?;
                let pictures = pipeline.pictures(&add_noise(&x0, *seed, *sigma), stop).map_err(text)?;
                Ok(InspectResult::Noised(Arc::clone(&pictures[0])))
            }
            InspectRequest::RoundTrip(at) => {
                let x0 = self.of(pipeline, at, stop).map_err(text)?;
                let trip = pipeline.round_trip(&at.pixels, (at.width, at.height), &x0, stop);
                Ok(InspectResult::RoundTrip(trip.map_err(text)?))
            }
            InspectRequest::Word { recipe, step, part, place, .. } => {
                let stages = pipeline.token_trace(recipe, *step, *part, *place).map_err(text)?;
                Ok(InspectResult::Word(Box::new(stages)))
            }
            InspectRequest::Edited { recipe, .. } => {
                Ok(InspectResult::Edited(pipeline.edited_vectors(recipe, &recipe.edits).map_err(text)?))
            }
        }
    }
}
