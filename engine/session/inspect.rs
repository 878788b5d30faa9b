//! Inspection of latents and tokens for the window, one request at a time.

use std::sync::Arc;

use super::JobId;
use crate::concepts::ConceptSet;
use crate::diffusion::{Latents, StepView};
use crate::images::Pixels;
use crate::inspect::latents::{Channel, RoundTrip, add_noise, channels, round_trip};
use crate::inspect::token::{TokenTrace, edited_vectors, token_trace};
use crate::pipeline::{GenerateError, Pipeline, StopFlag};
use crate::prompt::TokenPlace;
use crate::recipe::{Recipe, RecordedRun};

/// What to inspect.
#[derive(Clone, Debug, PartialEq)]
pub enum InspectRequest {
    /// The channels of a recorded step, of one picture of its batch.
    StepChannels { job: JobId, step: usize, view: StepView, picture: usize },
    /// The channels of a picture's latents.
    Channels(ImageSource),
    /// A picture with the noise of a seed at a noise level, decoded.
    AddNoise { to: ImageSource, seed: u64, sigma: f32 },
    /// A picture, encoded and decoded again.
    RoundTrip(ImageSource),
    /// A token of a recipe's prompt at each stage of the text encoder, at a step of the run. `part` is the index of
    /// the part that AND composes.
    Token { recipe: Box<Recipe>, concepts: ConceptSet, step: usize, part: usize, place: TokenPlace },
    /// The vectors with which a recipe's edits replace their words, in the order of the prompt.
    EditedVectors { recipe: Box<Recipe>, concepts: ConceptSet },
}

/// A picture, to be cropped and resized to a size that can be encoded.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageSource {
    pub pixels: Arc<Pixels>,
    pub width: u32,
    pub height: u32,
}

/// The result of an [`InspectRequest`].
#[derive(Clone, Debug, PartialEq)]
pub enum InspectResult {
    Channels(Vec<Channel>),
    Noised(Arc<Pixels>),
    RoundTrip(RoundTrip),
    Token(Box<TokenTrace>),
    EditedVectors(Vec<Vec<f32>>),
}

/// The last encoded picture, so that dragging the noise level encodes it only once.
#[derive(Default)]
pub(super) struct EncodeCache(Option<(ImageSource, Latents)>);

impl InspectRequest {
    /// The concepts that it depends on.
    pub(super) fn concepts(&self) -> Option<&ConceptSet> {
        match self {
            Self::Token { concepts, .. } | Self::EditedVectors { concepts, .. } => Some(concepts),
            _ => None,
        }
    }
}

impl EncodeCache {
    fn encode(
        &mut self,
        pipeline: &Pipeline,
        image: &ImageSource,
        stop: &StopFlag,
    ) -> Result<Latents, GenerateError> {
        if let Some((known, latents)) = &self.0
            && Arc::ptr_eq(&known.pixels, &image.pixels)
            && (known.width, known.height) == (image.width, image.height)
        {
            return Ok(latents.clone());
        }
        let latents = pipeline.encode(&image.pixels, (image.width, image.height), stop)?;
        self.0 = Some((image.clone(), latents.clone()));
        Ok(latents)
    }

    /// Answers a request. `run_of` finds the recorded run of a job, if it is still kept.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn answer<'a>(
        &mut self,
        pipeline: &Pipeline,
        run_of: impl Fn(JobId) -> Option<&'a RecordedRun>,
        request: &InspectRequest,
        stop: &StopFlag,
    ) -> Result<InspectResult, String> {
        let result = match request {
            InspectRequest::StepChannels { job, step, view, picture } => {
                let recorded = run_of(*job).and_then(|run| run.trajectory.step(*step));
                let latents = recorded.and_then(|recorded| view.latents(recorded));
                let latents = latents.filter(|latents| *picture < latents.batch());
                let latents =
                    latents.ok_or("The latents of this step are no longer in memory: run it again")?;
                Ok(InspectResult::Channels(channels(&latents, *picture)))
            }
            InspectRequest::Channels(image) => self
                .encode(pipeline, image, stop)
                .map(|latents| InspectResult::Channels(channels(&latents, 0))),
            InspectRequest::AddNoise { to, seed, sigma } => self
                .encode(pipeline, to, stop)
                .and_then(|x0| pipeline.pictures(&add_noise(&x0, *seed, *sigma), stop))
                .map(|mut pictures| InspectResult::Noised(pictures.swap_remove(0))),
            InspectRequest::RoundTrip(image) => self
                .encode(pipeline, image, stop)
                .and_then(|x0| round_trip(pipeline, &image.pixels, (image.width, image.height), &x0, stop))
                .map(InspectResult::RoundTrip),
            InspectRequest::Token { recipe, step, part, place, .. } => {
                token_trace(pipeline, recipe, *step, *part, *place)
                    .map(|trace| InspectResult::Token(Box::new(trace)))
            }
            InspectRequest::EditedVectors { recipe, .. } => {
                edited_vectors(pipeline, recipe, &recipe.edits).map(InspectResult::EditedVectors)
            }
        };
        result.map_err(|error| error.to_string())
    }
}
