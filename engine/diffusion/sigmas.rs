//! Schedules: which noise levels the steps visit.

use serde::{Deserialize, Serialize};

/// The schedules that users know by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    #[default]
    Lesson,
    Karras,
}

impl Schedule {
    pub const ALL: [Self; 2] = [Self::Lesson, Self::Karras];

    /// Name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lesson => "lesson",
            Self::Karras => "karras",
        }
    }

    /// Name in the window.
    pub fn label(self) -> &'static str {
        match self {
            Self::Lesson => "Lesson",
            Self::Karras => "Karras",
        }
    }

    /// One sentence for a tooltip.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Lesson => "Even timesteps over the training schedule, as in the fast.ai lesson",
            Self::Karras => "Spends its steps where the noise is low (Karras et al., 2022)",
        }
    }
}

/// The noise levels that a model was trained at: sigma of each training timestep, ascending.
#[derive(Clone, Debug, PartialEq)]
pub struct NoiseSchedule {
    pub training_sigmas: Vec<f32>,
}
