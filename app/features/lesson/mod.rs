//! The lesson: nine pages from noise to guided pictures, with experiments.
//!
//! It follows the order of fast.ai's Lesson 9A (2022). An experiment is a button of a
//! page that gives the commands a user could have given by hand.

pub(crate) mod experiment;
mod handle;
pub(crate) mod nav;
pub(crate) mod page;
mod pages;
pub(crate) mod panel;

use engine::recipe::Recipe;
use serde::{Deserialize, Serialize};

use crate::features::canvas::views::Views;
use crate::features::xy_plot::AxisField;
pub use experiment::Experiment;

/// A page of the lesson.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LessonPage {
    #[default]
    Loop,
    Autoencoder,
    Noise,
    StartImage,
    Text,
    Prediction,
    Guidance,
    Samplers,
    Losses,
}

impl LessonPage {
    pub const ALL: [Self; 9] = [
        Self::Loop,
        Self::Autoencoder,
        Self::Noise,
        Self::StartImage,
        Self::Text,
        Self::Prediction,
        Self::Guidance,
        Self::Samplers,
        Self::Losses,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Self::Loop => "Out of noise, in six lines",
            Self::Autoencoder => "A smaller picture to work on",
            Self::Noise => "How much noise, and when",
            Self::StartImage => "Starting in the middle",
            Self::Text => "What a prompt becomes",
            Self::Prediction => "The picture it expects",
            Self::Guidance => "Past the prompt",
            Self::Samplers => "Ways down the hill",
            Self::Losses => "Steering by a measure",
        }
    }

    /// Its subject, in the field's terms.
    pub fn subject(self) -> &'static str {
        match self {
            Self::Loop => "The sampling loop",
            Self::Autoencoder => "The autoencoder",
            Self::Noise => "Noise and schedules",
            Self::StartImage => "Image to image",
            Self::Text => "Text, one stage at a time",
            Self::Prediction => "UNet and predicted x0",
            Self::Guidance => "Classifier-free guidance",
            Self::Samplers => "Samplers",
            Self::Losses => "Guidance by a loss",
        }
    }

    /// The page number, from 1.
    pub fn number(self) -> usize {
        self as usize + 1
    }

    pub fn next(self) -> Option<Self> {
        Self::ALL.get(self as usize + 1).copied()
    }

    pub fn previous(self) -> Option<Self> {
        Some(Self::ALL[(self as usize).checked_sub(1)?])
    }
}

/// As in the notebook of the lesson, which begins at step 12 of 30.
pub(crate) const NOTEBOOK_STRENGTH: f32 = 0.6;

/// Where the lesson was left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LessonProgress {
    #[serde(alias = "stop")]
    pub page: LessonPage,
    /// The strength shown on the image-to-image page while there is no start image.
    pub strength: f32,
    /// The workspace before the first experiment, until it is restored.
    #[serde(alias = "before", skip_serializing_if = "Option::is_none")]
    pub previous: Option<SavedWorkspace>,
}

impl Default for LessonProgress {
    fn default() -> Self {
        Self { page: LessonPage::default(), strength: NOTEBOOK_STRENGTH, previous: None }
    }
}

/// The parts of the workspace that an experiment may change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SavedWorkspace {
    pub recipe: Recipe,
    pub views: Views,
    pub seed_locked: bool,
    /// The recipe's seed was used, so that the next picture gets another unless it is locked.
    pub is_seed_used: bool,
    /// The axes of the X/Y plot: x, and y. Plots are not kept between starts.
    #[serde(skip)]
    pub sides: Option<(AxisField, Option<AxisField>)>,
}

/// A request about the lesson.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LessonCommand {
    GoTo(LessonPage),
    /// `now` is in seconds of any steady clock.
    SetUp {
        experiment: Experiment,
        now: f64,
    },
    Strength(f32),
    /// Restores the workspace.
    PutBack,
}
