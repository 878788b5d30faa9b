//! Inspection requests: what the open tab shows, requested one at a time, the latest first.

pub(crate) mod panel;

use std::sync::Arc;

use engine::diffusion::{NoiseSchedule, StepView};
use engine::images::Pixels;
use engine::inspect::latents::{Channel, RoundTrip};
use engine::inspect::token::TokenTrace;
use engine::prompt::EmbeddingEdit;
use engine::recipe::{Recipe, Start};
use engine::session::{ImageSource, InspectRequest, InspectResult, Request};

use super::state::AppState;
use crate::features::effect::Effect;
use crate::features::settings::Tab;
use crate::features::words::{Saving, TokenRef};

/// A request of the Inspect tab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InspectCommand {
    /// Adds the noise of this step of the schedule, counted from 0.
    NoiseStep(usize),
    /// The start image, or the finished picture.
    AtStartImage(bool),
}

/// The requests and their results.
#[derive(Clone, Debug, Default)]
pub struct InspectState {
    /// The step whose noise is added, counted from 0; two thirds of the way by default.
    noise_step: Option<usize>,
    /// Inspect the start image although there is a finished picture.
    pub at_start_image: bool,
    /// The last result of each kind of request.
    results: Vec<(InspectRequest, Result<InspectResult, String>)>,
    pending: Option<(u64, InspectRequest)>,
    next: u64,
}

/// A picture that can be inspected.
#[derive(Clone, Debug)]
pub struct InspectSubject {
    pub at: ImageSource,
    pub seed: u64,
    pub is_start_image: bool,
}

impl InspectState {
    pub(crate) fn handle(&mut self, command: InspectCommand) {
        match command {
            InspectCommand::NoiseStep(step) => self.noise_step = Some(step),
            InspectCommand::AtStartImage(is_so) => self.at_start_image = is_so,
        }
    }

    pub fn channels(&self) -> Option<Result<&[Channel], &str>> {
        self.answer(
            |result| {
                if let InspectResult::Channels(channels) = result { Some(channels.as_slice()) } else { None }
            },
            |request| matches!(request, InspectRequest::Channels(_) | InspectRequest::StepChannels { .. }),
        )
    }

    pub fn noised(&self) -> Option<Result<&Arc<Pixels>, &str>> {
        self.answer(
            |result| if let InspectResult::Noised(pixels) = result { Some(pixels) } else { None },
            |request| matches!(request, InspectRequest::AddNoise { .. }),
        )
    }

    pub fn round_trip(&self) -> Option<Result<&RoundTrip, &str>> {
        self.answer(
            |result| if let InspectResult::RoundTrip(trip) = result { Some(trip) } else { None },
            |request| matches!(request, InspectRequest::RoundTrip(_)),
        )
    }

    /// The last request about a word, and its result.
    pub(crate) fn word(&self) -> Option<(&InspectRequest, Result<&TokenTrace, &str>)> {
        let (request, result) =
            self.results.iter().find(|(request, _)| matches!(request, InspectRequest::Token { .. }))?;
        match result {
            Ok(InspectResult::Token(stages)) => Some((request, Ok(stages))),
            Ok(_) => None,
            Err(text) => Some((request, Err(text))),
        }
    }

    pub(crate) fn answer<'a, T: ?Sized>(
        &'a self,
        as_kind: impl Fn(&'a InspectResult) -> Option<&'a T>,
        is_kind: impl Fn(&InspectRequest) -> bool,
    ) -> Option<Result<&'a T, &'a str>> {
        let (_, result) = self.results.iter().find(|(request, _)| is_kind(request))?;
        match result {
            Ok(result) => as_kind(result).map(Ok),
            Err(text) => Some(Err(text)),
        }
    }
}

/// Requests of the same kind replace each other.
fn is_same_kind(a: &InspectRequest, b: &InspectRequest) -> bool {
    let kind = |request: &InspectRequest| match request {
        InspectRequest::Channels(_) | InspectRequest::StepChannels { .. } => 0,
        InspectRequest::AddNoise { .. } => 1,
        InspectRequest::RoundTrip(_) => 2,
        InspectRequest::Token { .. } => 3,
        InspectRequest::EditedVectors { .. } => 4,
    };
    kind(a) == kind(b)
}

impl AppState {
    /// The pictures that can be inspected: the finished one, and the start image.
    pub fn subjects(&self) -> Vec<InspectSubject> {
        let finished = self.runs.current().and_then(|run| {
            let index = self.film.picture.unwrap_or(0).min(run.pictures.len().saturating_sub(1));
            let pixels = Arc::clone(run.pictures.get(index)?);
            let (width, height) = (pixels.width, pixels.height);
            let seed = run.recipe.seed.wrapping_add(index as u64);
            Some(InspectSubject { at: ImageSource { pixels, width, height }, seed, is_start_image: false })
        });
        let has_start =
            matches!(self.shared.recipe.start, Start::Image { .. }) && self.shared.recipe.check().is_ok();
        let start = self.start_picture.as_ref().filter(|_| has_start).map(|picture| {
            let (pixels, width, height) =
                (Arc::clone(&picture.pixels), self.shared.recipe.width, self.shared.recipe.height);
            InspectSubject {
                at: ImageSource { pixels, width, height },
                seed: self.shared.recipe.seed,
                is_start_image: true,
            }
        });
        finished.into_iter().chain(start).collect()
    }

    /// The picture that is inspected.
    pub fn subject(&self) -> Option<InspectSubject> {
        let mut subjects = self.subjects();
        let at = subjects.iter().position(|subject| subject.is_start_image == self.inspect.at_start_image);
        (!subjects.is_empty()).then(|| subjects.swap_remove(at.unwrap_or(0)))
    }

    /// The step whose noise is added, counted from 0, and its sigma.
    pub fn noise_step(&self) -> (usize, f32) {
        let steps = self.shared.recipe.steps.clamp(1, 1000) as usize;
        let step = self.inspect.noise_step.unwrap_or(steps * 2 / 3).min(steps - 1);
        let stable_diffusion = || NoiseSchedule::scaled_linear(0.00085, 0.012, 1000);
        let trained =
            self.shared.model_info().and_then(|info| self.shared.recipe.noise_schedule(&info.scheduler).ok());
        let noise = trained.unwrap_or_else(stable_diffusion);
        let recipe = Recipe { steps: steps as u32, ..self.shared.recipe.clone() };
        // An invalid rho is reported under its field.
        let sigmas = recipe.sigmas(&noise).unwrap_or_else(|_| recipe.schedule.sigmas(steps, &noise));
        (step, sigmas[step])
    }

    /// The step and view whose channels are inspected.
    pub fn inspected_step(&self) -> Option<(usize, StepView)> {
        let run = self.runs.current().filter(|run| !run.is_live())?;
        let step = self.film.pinned.or(Some(run.frames.last()?.step))?;
        Some((step, self.shared.settings.views.first()))
    }

    /// Requests the next thing that the open tab shows, if any. The engine gets one request
    /// at a time, so that a drag on a slider ends with its last value.
    pub(crate) fn request_inspection(&mut self) -> Vec<Effect> {
        let window = &self.shared.settings.window;
        let is_open = !window.right_folded || self.shared.drawer_open;
        if self.inspect.pending.is_some() || self.runs.live().is_some() || self.shared.model_info().is_none()
        {
            return Vec::new();
        }
        let wanted = match window.tab {
            _ if !is_open => Vec::new(),
            Tab::Inspect => self.wanted(),
            Tab::Words => self.inspected_word().into_iter().collect(),
            Tab::Lesson if self.lesson_inspects() => self.wanted(),
            _ => Vec::new(),
        };
        let is_new =
            |wanted: &InspectRequest| !self.inspect.results.iter().any(|(request, _)| request == wanted);
        // A concept to save comes first, whatever tab is open.
        let Some(request) = self.edits_to_save().into_iter().chain(wanted).find(is_new) else {
            return Vec::new();
        };
        self.inspect.next += 1;
        let id = self.inspect.next;
        self.inspect.pending = Some((id, request.clone()));
        vec![Effect::Send(Request::Inspect { id, request })]
    }

    pub(crate) fn wanted(&self) -> Vec<InspectRequest> {
        let subject = self.subject();
        let of_step = self.runs.current().zip(self.inspected_step()).map(|(run, (step, view))| {
            InspectRequest::StepChannels {
                job: run.job.id,
                step,
                view,
                picture: self.film.picture.unwrap_or(0),
            }
        });
        let channels =
            of_step.or(subject.as_ref().map(|subject| InspectRequest::Channels(subject.at.clone())));
        let noised = subject.as_ref().map(|subject| InspectRequest::AddNoise {
            to: subject.at.clone(),
            seed: subject.seed,
            sigma: self.noise_step().1,
        });
        let round_trip = subject.map(|subject| InspectRequest::RoundTrip(subject.at));
        channels.into_iter().chain(noised).chain(round_trip).collect()
    }

    pub(crate) fn receive_inspection(
        &mut self,
        id: u64,
        result: Result<InspectResult, String>,
    ) -> Vec<Effect> {
        let Some((_, request)) = self.inspect.pending.take_if(|(pending, _)| *pending == id) else {
            return Vec::new();
        };
        if matches!(request, InspectRequest::EditedVectors { .. }) {
            return self.receive_edited(result);
        }
        self.inspect.results.retain(|(other, _)| !is_same_kind(other, &request));
        self.inspect.results.push((request, result));
        Vec::new()
    }

    /// The stages of a token: of the last answered request, as long as
    /// it is this token, since answers lag behind while a slider is dragged.
    pub fn token_trace(&self, stand: TokenRef) -> Option<Result<&TokenTrace, &str>> {
        let (request, stages) = self.inspect.word()?;
        let InspectRequest::Token { recipe, step, part, place, .. } = request else { return None };
        let is_read = self.prompts.prompt.as_ref().is_some_and(|read| read.steps.contains(step));
        let is_same =
            recipe.prompt == self.shared.recipe.prompt && (*part, *place) == (stand.part, stand.place);
        let is_this = is_read && is_same;
        is_this.then_some(stages)
    }

    /// The request for the embeddings of edits, to save as a concept.
    pub(crate) fn edits_to_save(&self) -> Option<InspectRequest> {
        let Saving { edits, .. } = self.words.saving.as_ref()?;
        Some(InspectRequest::EditedVectors {
            recipe: self.recipe_of_words(edits),
            concepts: self.concepts.set.clone(),
        })
    }

    /// The request for the stages of the selected word.
    pub(crate) fn inspected_word(&self) -> Option<InspectRequest> {
        let TokenRef { part, place } = self.prompts.stand_of(self.words.chosen.as_ref()?)?;
        let recipe = self.recipe_of_words(&self.shared.recipe.edits);
        let step = *self.prompts.prompt.as_ref()?.steps.start();
        Some(InspectRequest::Token { recipe, concepts: self.concepts.set.clone(), step, part, place })
    }

    /// The recipe reduced to what affects embeddings.
    pub(crate) fn recipe_of_words(&self, edits: &[EmbeddingEdit]) -> Box<Recipe> {
        let Recipe { prompt, text, steps, .. } = &self.shared.recipe;
        let (prompt, edits) = (prompt.clone(), edits.to_vec());
        Box::new(Recipe { prompt, edits, text: *text, steps: *steps, ..Recipe::default() })
    }

    /// Drops all results, which belong to another model.
    pub(crate) fn forget_looks(&mut self) {
        self.inspect.results.clear();
        self.inspect.pending = None;
        self.words.saving = None;
    }
}
