//! Looks into latent space and into words: what the open tab wants to see, asked one by one, the latest wish first.

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

/// A wish about looks into latent space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InspectCommand {
    /// Noise of this step of the schedule, from 0 on.
    NoiseStep(usize),
    /// The start image, or the finished picture.
    AtStartImage(bool),
}

/// What is looked at, and what was seen.
#[derive(Clone, Debug, Default)]
pub struct InspectState {
    /// The step that noise is added for, from 0 on; two thirds of the way if nobody said.
    noise_step: Option<usize>,
    /// The start image although there is a finished picture.
    pub at_start_image: bool,
    /// Of each kind of look the last answer.
    seen: Vec<(InspectRequest, Result<InspectResult, String>)>,
    asked: Option<(u64, InspectRequest)>,
    next: u64,
}

/// A picture that can be looked into.
#[derive(Clone, Debug)]
pub struct InspectSubject {
    pub at: ImageSource,
    pub seed: u64,
    pub is_start_image: bool,
}

impl InspectState {
    pub fn channels(&self) -> Option<Result<&[Channel], &str>> {
        self.answer(
            |seen| {
                if let InspectResult::Channels(channels) = seen { Some(channels.as_slice()) } else { None }
            },
            |look| matches!(look, InspectRequest::Channels(_) | InspectRequest::StepChannels { .. }),
        )
    }

    pub fn noised(&self) -> Option<Result<&Arc<Pixels>, &str>> {
        self.answer(
            |seen| if let InspectResult::Noised(pixels) = seen { Some(pixels) } else { None },
            |look| matches!(look, InspectRequest::AddNoise { .. }),
        )
    }

    pub fn round_trip(&self) -> Option<Result<&RoundTrip, &str>> {
        self.answer(
            |seen| if let InspectResult::RoundTrip(trip) = seen { Some(trip) } else { None },
            |look| matches!(look, InspectRequest::RoundTrip(_)),
        )
    }

    /// What was asked of the last word, and the answer.
    pub(crate) fn word(&self) -> Option<(&InspectRequest, Result<&TokenTrace, &str>)> {
        let (look, seen) = self.seen.iter().find(|(look, _)| matches!(look, InspectRequest::Word { .. }))?;
        match seen {
            Ok(InspectResult::Word(stages)) => Some((look, Ok(stages))),
            Ok(_) => None,
            Err(text) => Some((look, Err(text))),
        }
    }

    pub(crate) fn answer<'a, T: ?Sized>(
        &'a self,
        as_kind: impl Fn(&'a InspectResult) -> Option<&'a T>,
        is_kind: impl Fn(&InspectRequest) -> bool,
    ) -> Option<Result<&'a T, &'a str>> {
        let (_, seen) = self.seen.iter().find(|(look, _)| is_kind(look))?;
        match seen {
            Ok(seen) => as_kind(seen).map(Ok),
            Err(text) => Some(Err(text)),
        }
    }
}

/// Two looks of a kind take each other's place.
fn is_same_kind(a: &InspectRequest, b: &InspectRequest) -> bool {
    let kind = |look: &InspectRequest| match look {
        InspectRequest::Channels(_) | InspectRequest::StepChannels { .. } => 0,
        InspectRequest::AddNoise { .. } => 1,
        InspectRequest::RoundTrip(_) => 2,
        InspectRequest::Word { .. } => 3,
        InspectRequest::Edited { .. } => 4,
    };
    kind(a) == kind(b)
}

impl AppState {
    /// The pictures that there are: the finished one, and the start image.
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

    /// The one that is looked into.
    pub fn subject(&self) -> Option<InspectSubject> {
        let mut subjects = self.subjects();
        let at = subjects.iter().position(|subject| subject.is_start_image == self.inspect.at_start_image);
        (!subjects.is_empty()).then(|| subjects.swap_remove(at.unwrap_or(0)))
    }

    /// The step that noise is added for, from 0 on, and how much noise that is.
    pub fn noise_step(&self) -> (usize, f32) {
        let steps = self.shared.recipe.steps.clamp(1, 1000) as usize;
        let step = self.inspect.noise_step.unwrap_or(steps * 2 / 3).min(steps - 1);
        let stable_diffusion = || NoiseSchedule::scaled_linear(0.00085, 0.012, 1000);
        let trained =
            self.shared.model_info().and_then(|info| self.shared.recipe.noise_schedule(&info.scheduler).ok());
        let noise = trained.unwrap_or_else(stable_diffusion);
        let recipe = Recipe { steps: steps as u32, ..self.shared.recipe.clone() };
        // What is wrong with a rho is told under its field.
        let sigmas = recipe.sigmas(&noise).unwrap_or_else(|_| recipe.schedule.sigmas(steps, &noise));
        (step, sigmas[step])
    }

    /// The step whose channels are looked at, and the view of it.
    pub fn step_looked_into(&self) -> Option<(usize, StepView)> {
        let run = self.runs.current().filter(|run| !run.is_live())?;
        let step = self.film.pinned.or(Some(run.frames.last()?.step))?;
        Some((step, self.shared.settings.views.first()))
    }

    pub(crate) fn handle_look(&mut self, command: InspectCommand) {
        match command {
            InspectCommand::NoiseStep(step) => self.inspect.noise_step = Some(step),
            InspectCommand::AtStartImage(is_so) => self.inspect.at_start_image = is_so,
        }
    }

    /// Asks for the next thing that the open tab wants to see, if there is one. The engine is asked for one
    /// at a time, so that a hand on a slider gets what it wants last.
    pub(crate) fn look(&mut self) -> Vec<Effect> {
        let window = &self.shared.settings.window;
        let is_open = !window.right_folded || self.shared.drawer_open;
        if self.inspect.asked.is_some() || self.runs.live().is_some() || self.shared.model_info().is_none() {
            return Vec::new();
        }
        let wanted = match window.tab {
            _ if !is_open => Vec::new(),
            Tab::Inspect => self.wanted(),
            Tab::Words => self.word_looked_into().into_iter().collect(),
            Tab::Lesson if self.lesson_looks() => self.wanted(),
            _ => Vec::new(),
        };
        let is_new = |look: &InspectRequest| !self.inspect.seen.iter().any(|(seen, _)| seen == look);
        // What is to be saved comes first, whatever is open by now.
        let Some(look) = self.edits_to_save().into_iter().chain(wanted).find(is_new) else {
            return Vec::new();
        };
        self.inspect.next += 1;
        let id = self.inspect.next;
        self.inspect.asked = Some((id, look.clone()));
        vec![Effect::Send(Request::Inspect { id, look })]
    }

    pub(crate) fn wanted(&self) -> Vec<InspectRequest> {
        let subject = self.subject();
        let of_step = self.runs.current().zip(self.step_looked_into()).map(|(run, (step, view))| {
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

    pub(crate) fn receive_look(&mut self, id: u64, seen: Result<InspectResult, String>) -> Vec<Effect> {
        let Some((_, look)) = self.inspect.asked.take_if(|(asked, _)| *asked == id) else {
            return Vec::new();
        };
        if matches!(look, InspectRequest::Edited { .. }) {
            return self.receive_edited(seen);
        }
        self.inspect.seen.retain(|(other, _)| !is_same_kind(other, &look));
        self.inspect.seen.push((look, seen));
        Vec::new()
    }

    /// What became of a token on its way through the text encoder: of the last one that was answered, as
    /// long as it is this one, since while a slider is dragged the answers come behind.
    pub fn token_trace(&self, stand: TokenRef) -> Option<Result<&TokenTrace, &str>> {
        let (look, stages) = self.inspect.word()?;
        let InspectRequest::Word { recipe, step, part, place, .. } = look else { return None };
        let is_read = self.prompts.prompt.as_ref().is_some_and(|read| read.steps.contains(step));
        let is_same =
            recipe.prompt == self.shared.recipe.prompt && (*part, *place) == (stand.part, stand.place);
        let is_this = is_read && is_same;
        is_this.then_some(stages)
    }

    /// What edits make of their words, to become a concept.
    pub(crate) fn edits_to_save(&self) -> Option<InspectRequest> {
        let Saving { edits, .. } = self.words.saving.as_ref()?;
        Some(InspectRequest::Edited {
            recipe: self.recipe_of_words(edits),
            concepts: self.concepts.set.clone(),
        })
    }

    /// The stages of the chosen word.
    pub(crate) fn word_looked_into(&self) -> Option<InspectRequest> {
        let TokenRef { part, place } = self.stand_of(self.words.chosen.as_ref()?)?;
        let recipe = self.recipe_of_words(&self.shared.recipe.edits);
        let step = *self.prompts.prompt.as_ref()?.steps.start();
        Some(InspectRequest::Word { recipe, concepts: self.concepts.set.clone(), step, part, place })
    }

    /// What of the recipe changes what words become.
    pub(crate) fn recipe_of_words(&self, edits: &[EmbeddingEdit]) -> Box<Recipe> {
        let Recipe { prompt, text, steps, .. } = &self.shared.recipe;
        let (prompt, edits) = (prompt.clone(), edits.to_vec());
        Box::new(Recipe { prompt, edits, text: *text, steps: *steps, ..Recipe::default() })
    }

    /// What was seen was another model's, and so is what was to be saved.
    pub(crate) fn forget_looks(&mut self) {
        self.inspect.seen.clear();
        self.inspect.asked = None;
        self.words.saving = None;
    }
}
