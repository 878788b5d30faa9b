//! Errors are shown where they arose. Each slot of the window holds at most one sentence.

use std::collections::BTreeMap;

use engine::recipe::RecipeError;

/// The place in the window where an error is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorSlot {
    Model,
    /// The Words tab: reading, editing and mixing prompts.
    Words,
    StartImage,
    Steps,
    Guidance,
    Strength,
    Pictures,
    /// The sampler's options.
    Sampler,
    /// The schedule's options and the betas.
    Schedule,
    Size,
    /// Under the button: the run itself failed.
    Run,
    /// In the status bar: pictures could not be saved.
    Output,
}

/// The current errors by slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Errors(BTreeMap<ErrorSlot, String>);

impl Errors {
    pub fn at(&self, place: ErrorSlot) -> Option<&str> {
        self.0.get(&place).map(String::as_str)
    }

    pub fn set(&mut self, place: ErrorSlot, text: impl Into<String>) {
        self.0.insert(place, text.into());
    }

    pub fn clear(&mut self, place: ErrorSlot) {
        self.0.remove(&place);
    }

    /// The most important one, for the status bar to repeat.
    pub fn first(&self) -> Option<&str> {
        self.0.values().next().map(String::as_str)
    }
}

/// The slot of the field that a value came from.
pub fn slot_for(error: &RecipeError) -> ErrorSlot {
    match error {
        RecipeError::Steps(_) => ErrorSlot::Steps,
        RecipeError::Batch(_) | RecipeError::OneAtATime(_) => ErrorSlot::Pictures,
        RecipeError::SamplerOption { .. } => ErrorSlot::Sampler,
        RecipeError::Rho(_)
        | RecipeError::StepsCoincide { .. }
        | RecipeError::Beta(_)
        | RecipeError::BetasFall { .. }
        | RecipeError::TrainSteps(_)
        | RecipeError::NothingLeft(_) => ErrorSlot::Schedule,
        RecipeError::Side { .. } => ErrorSlot::Size,
        RecipeError::CfgScale(_) | RecipeError::Guide(_) | RecipeError::TooManyGuides(_) => {
            ErrorSlot::Guidance
        }
        RecipeError::ClipSkip(_)
        | RecipeError::TooManyEdits(_)
        | RecipeError::Edit { .. }
        | RecipeError::TooManyMixed(_)
        | RecipeError::MixWeight(_)
        | RecipeError::MixArc => ErrorSlot::Words,
        RecipeError::BranchStep { .. }
        | RecipeError::BranchSize { .. }
        | RecipeError::BranchFrom(_)
        | RecipeError::BranchStart
        | RecipeError::TooManyBranches
        | RecipeError::TooMuchPaint => ErrorSlot::Run,
        RecipeError::Strength(_) | RecipeError::NothingToRun { .. } => ErrorSlot::Strength,
    }
}
