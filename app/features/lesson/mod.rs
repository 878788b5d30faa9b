//! The lesson inside: nine stops from noise to guided pictures, and what each sets up on the desk.
//!
//! It follows fast.ai's Lesson 9A (2022) in its order. A stop is a page of the Lesson tab; a trial is an
//! experiment that a button of a page sets up, as the commands that a person could have given by hand.

pub(crate) mod experiment;
pub(crate) mod handle;
pub(crate) mod nav;
pub(crate) mod page;
pub mod pages;
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

    /// What it is about, in the words of the trade.
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

    /// From 1 on.
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
    pub stop: LessonPage,
    /// The strength that image to image is explained with, while there is no start image.
    pub strength: f32,
    /// The desk before the first trial, until it is put back.
    #[serde(alias = "before", skip_serializing_if = "Option::is_none")]
    pub previous: Option<SavedWorkspace>,
}

impl Default for LessonProgress {
    fn default() -> Self {
        Self { stop: LessonPage::default(), strength: NOTEBOOK_STRENGTH, previous: None }
    }
}

/// What a trial may change of the desk, as it was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SavedWorkspace {
    pub recipe: Recipe,
    pub views: Views,
    pub seed_locked: bool,
    /// A picture was made with the recipe's seed, so that the next one gets another unless it is locked.
    pub is_seed_used: bool,
    /// Of the sheet: across, and down. No sheet outlives the window.
    #[serde(skip)]
    pub sides: Option<(AxisField, Option<AxisField>)>,
}

/// A wish about the lesson.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LessonCommand {
    GoTo(LessonPage),
    /// `now` in seconds of any clock that goes on.
    SetUp {
        experiment: Experiment,
        now: f64,
    },
    Strength(f32),
    /// The desk as it was before the first trial.
    PutBack,
}
