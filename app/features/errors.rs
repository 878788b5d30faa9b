//! Errors stand where they arose: each place of the desk holds at most one sentence.

use std::collections::BTreeMap;

use engine::recipe::RecipeError;

/// Where on the desk a sentence belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    Model,
    /// How the prompt is read, edited and mixed.
    Words,
    StartImage,
    Steps,
    Guidance,
    Strength,
    Pictures,
    /// The sampler's own fields.
    Sampler,
    /// The schedule's, and the betas.
    Schedule,
    Size,
    /// Under the button: the run itself failed.
    Run,
    /// In the status bar: pictures could not be kept.
    Output,
}

/// What is wrong at the moment, place by place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(BTreeMap<Place, String>);

impl Problems {
    pub fn at(&self, place: Place) -> Option<&str> {
        self.0.get(&place).map(String::as_str)
    }

    pub fn set(&mut self, place: Place, text: impl Into<String>) {
        self.0.insert(place, text.into());
    }

    pub fn clear(&mut self, place: Place) {
        self.0.remove(&place);
    }

    /// The most pressing one, for the status bar to repeat.
    pub fn first(&self) -> Option<&str> {
        self.0.values().next().map(String::as_str)
    }
}

/// The field that a value came from.
pub fn place_of(error: &RecipeError) -> Place {
    match error {
        RecipeError::Steps(_) => Place::Steps,
        RecipeError::Batch(_) | RecipeError::OneAtATime(_) => Place::Pictures,
        RecipeError::SamplerOption { .. } => Place::Sampler,
        RecipeError::Rho(_)
        | RecipeError::StepsCoincide { .. }
        | RecipeError::Beta(_)
        | RecipeError::BetasFall { .. }
        | RecipeError::TrainSteps(_)
        | RecipeError::NothingLeft(_) => Place::Schedule,
        RecipeError::Side { .. } => Place::Size,
        RecipeError::CfgScale(_) => Place::Guidance,
        RecipeError::ClipSkip(_)
        | RecipeError::TooManyEdits(_)
        | RecipeError::Edit { .. }
        | RecipeError::TooManyMixed(_)
        | RecipeError::MixWeight(_)
        | RecipeError::MixArc => Place::Words,
        RecipeError::BranchStep { .. }
        | RecipeError::BranchSize { .. }
        | RecipeError::BranchFrom(_)
        | RecipeError::BranchStart
        | RecipeError::TooManyBranches => Place::Run,
        RecipeError::Strength(_) | RecipeError::NothingToRun { .. } => Place::Strength,
    }
}
